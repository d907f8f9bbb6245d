"""Where the frame is saturated: there, and in the wings of what is, no star is measured.

The level comes from whoever knows it, else from the frame: stars have peaks, and where the
brightest pixels are as bright as their neighbours it was the detector that stopped counting.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from tosip.stars.arrays import Flags, Image, Places
from tosip.stars.peaks import AROUND, starlike
from tosip.stars.sky import Sky

SQUARE = 16  # px, of the map of spoilt areas
MOST_TOPS = 10_000
FLAT = 0.99  # of the brightest pixel


def learn_saturation(image: Image, y: Places, x: Places) -> float:
    """Return the level at which pixels count as saturated, learnt from the frame's bright pixels.

    The brightest pixel, if three of its eight neighbours reach 99 % of it: an unsaturated star is
    never so flat. Else the end of the pixels' type.
    """
    full = float(np.iinfo(image.dtype).max) if image.dtype.kind in "iu" else math.inf
    y, x = _off_the_edge(image, y, x)
    if not len(y):
        return full
    values = image[y, x].astype(np.float64)
    brightest = values.max()
    tops = np.flatnonzero(values >= FLAT * brightest)[:MOST_TOPS]
    flat = sum(image[y[tops] + dy, x[tops] + dx] >= FLAT * brightest for dy, dx in AROUND)
    return min(full, 0.98 * float(brightest)) if np.any(flat >= 3) else full


def saturated_areas(
    image: Image, sky: Sky, level: float, y: Places, x: Places
) -> tuple[Flags, int]:
    """Map where saturated stars and their wings are, for `is_spoilt`; also count the stars."""
    squares = np.zeros((image.shape[0] // SQUARE + 1, image.shape[1] // SQUARE + 1), dtype=bool)
    full = image[y, x] >= level
    y, x = _off_the_edge(image, y[full], x[full])
    star = starlike(image, sky, y, x)  # a hot pixel or a cosmic ray may be full too
    squares[y[star] // SQUARE, x[star] // SQUARE] = True
    count = int(ndimage.label(squares, np.ones((3, 3)))[1])
    return ndimage.maximum_filter(squares, 5), count


def is_spoilt(spoilt: Flags, y: Places, x: Places) -> Flags:
    """Tell which pixels lie in the areas that `saturated_areas` mapped."""
    return np.asarray(spoilt[y // SQUARE, x // SQUARE])


def _off_the_edge(image: Image, y: Places, x: Places) -> tuple[Places, Places]:
    inside = (y >= 1) & (x >= 1) & (y < image.shape[0] - 1) & (x < image.shape[1] - 1)
    return y[inside], x[inside]
