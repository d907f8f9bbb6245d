"""Bundles: frames that failed, kept so that `tosip replay` sees them fail again.

A bundle is a folder, `VAR/bundles/PORT/TIME-frameID`, of

    frame.fits       the pixels, bit for bit; any viewer opens it
    code/MODULE.py   the algorithm's file, and what it imports from beside it, as the worker ran it
    bundle.json      everything else

`bundle.json` is one object of seven sections:

    format       {"name": "tosip bundle", "version": 1}
    failure      kind (exception, died, timed out), stage, error, traceback, printed (last lines),
                 time (when it was kept, UTC)
    plugin       port, source (the port that the frame came from), timeout (s)
    code         file, class (or null), hash, modules (by name: file, package, sha256), interpreter,
                 python and numpy (the worker's versions)
    frame        unique_id, timestamp, shape (NumPy's), dtype, color_mode, sha256 (of frame.fits)
    attributes   values by name
    params       values by declared name, as the algorithm saw them

Values are JSON's true, false, whole numbers (int), numbers with a point or exponent (float) and
text; {"float": "nan"}, "inf" and "-inf" is what JSON has no number for; {"dtype": NumPy's name,
"base64": little-endian bytes} is a 1-D array.

A bundle is data: nothing in it is believed unchecked, and reading one runs nothing. A folder that
is renamed is nobody's to clear away any more, and can still be replayed.
"""
