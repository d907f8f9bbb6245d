"""Control characters in FITS headers are blanks, for the gateway and the drivers alike.

FITS allows none, but cameras pad with NUL, and programs write tabs and line ends.
"""

_BLANKS = bytes(32 if b < 32 or b == 127 else b for b in range(256))


def blank_controls(header: bytes | bytearray) -> bytes:
    """Return header bytes with a blank in place of each control character."""
    return bytes(header.translate(_BLANKS))
