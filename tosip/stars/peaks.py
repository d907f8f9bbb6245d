"""Peaks: the places that may be stars, and which of them are too sharp to be.

A peak is a bright pixel above all others of the 7 x 7 around it. Light that came through the optics
is spread by them: a hot pixel has no bright neighbours and the track of a cosmic ray has two, while
a star lights all eight. Peaks that are no stars stay in the list, not usable, since they still
disturb the stars beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tosip.stars.arrays import Flags, Floats, Image, Places
from tosip.stars.sky import Sky

MOST_PEAKS = 6_000
REACH = 3  # px to each side that a peak is the highest of
SHARPEST = 0.15  # of the peak: the least mean of four neighbours that optics can give
FAINTEST = 0.02  # of the peak: the least mean of the faintest four of eight neighbours
CROSS = ((0, 1), (1, 0), (0, -1), (-1, 0))
CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
AROUND = CROSS + CORNERS


@dataclass(frozen=True)
class Candidates:
    """Places that may be stars, brightest first; `usable` ones may be measured."""

    y: Places
    x: Places
    height: Floats
    usable: Flags


def find_peaks(image: Image, sky: Sky, y: Places, x: Places) -> Candidates:
    """Make candidates of the peaks among bright pixels."""
    y, x = highest_around(image, y, x)
    height = image[y, x] - sky.level[sky.cells(y, x)]
    usable = starlike(image, sky, y, x)
    order = np.argsort(-height, kind="stable")[:MOST_PEAKS]
    return Candidates(y[order], x[order], height[order], usable[order])


def highest_around(image: Image, y: Places, x: Places) -> tuple[Places, Places]:
    """Keep the pixels that are the highest of the 7 x 7 around them, in the middle of the frame."""
    rows, columns = image.shape
    inside = (y >= REACH) & (x >= REACH) & (y < rows - REACH) & (x < columns - REACH)
    places, pixels = (y * columns + x)[inside], image.ravel()
    here = pixels[places]
    span = range(-REACH, REACH + 1)
    near = [(dy, dx) for dy in span for dx in span if dy or dx]
    # The nearest first: they rule out most.
    for dy, dx in sorted(near, key=lambda offset: offset[0] ** 2 + offset[1] ** 2):
        there = pixels[places + (dy * columns + dx)]
        # Of equal pixels the first counts.
        keep = here > there if (dy, dx) < (0, 0) else here >= there
        places, here = places[keep], here[keep]
    return places // columns, places % columns


def starlike(image: Image, sky: Sky, y: Places, x: Places) -> Flags:
    """Tell which pixels, not at the edge, have neighbours as bright as optics would make them.

    A star lights the faintest four of its neighbours to several percent of its own pixel.
    """
    level, noise = (grid[sky.cells(y, x)] for grid in (sky.level, sky.noise))
    height = image[y, x] - level
    around = np.stack([image[y + dy, x + dx] - level for dy, dx in AROUND])
    sharp = around[: len(CROSS)].mean(axis=0) < SHARPEST * height
    faintest = np.sort(around, axis=0)[:4].mean(axis=0)
    return np.asarray(~sharp & (faintest > np.maximum(noise, FAINTEST * height)))
