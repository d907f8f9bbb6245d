"""The stars of one frame: where they are, how wide, how round.

`frame.measure_frame` does it all, with the rooms beside it in this order: the level and noise of
the `sky`, `bright` pixels, `saturation`, `peaks`, and for frames far from focus `blobs` in `blocks`
of pixels; then `survey` chooses stars and an aperture, `cutouts` measures each star by its
`growth` of light and its `moments`, and `sample` throws out what is unlike the rest.

Needs NumPy and SciPy and nothing else of TOSIP; never changes a frame, never copies a whole one.
All sums run in a fixed order: the same frame gives the same figures to the last bit.
"""
