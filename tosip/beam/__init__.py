"""Measures one beam spot: where it is, its second moments, and a Gaussian fit.

`cells` averages the frame or a part of it, `spot` has the moments, `background` the light that is
not the beam's, `search` finds the spot and settles its size, `checks` refuses what must not be
published, `gaussian` fits. Needs NumPy and SciPy.
"""
