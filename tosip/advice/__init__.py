"""When is a focus run justified? The answer from the figures of one exposure after the other.

`Adviser.observe` takes the figures of one exposure of all cameras and returns the advice. Its
parts: `exposure` is the data, `reference` what each camera showed after the last focus run,
`monitor` and `diversity` the witnesses that separate defocus from seeing, `clouds` the extinction,
`groups` the cameras that left the field, `gain` the minutes that a focus run would save.

Widths are half-flux diameters in arcsec, their squares are areas in arcsec^2: seeing, optics and
defocus add up in the square. Times are Unix seconds. Pure functions and small dataclasses: no
pixels, no clock, NumPy only.
"""
