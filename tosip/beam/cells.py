"""A frame, or a part of it, averaged in cells.

A large spot is measured in cells of many pixels, so that time does not grow with its size, and a
frame is searched in at most 512 x 512 blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tosip.beam.outcome import Outcome, WithheldError

SMALLEST_FRAME = 16  # rows and columns
COARSEST = 512  # blocks along the frame's longer side
COLOUR_AXIS = {"RGB1": 2, "RGB2": 1, "RGB3": 0}

Floats = NDArray[np.float64]
Pixels = NDArray[Any]


@dataclass(frozen=True)
class Cells:
    """A part of the frame in cells of `side` x `side` pixels.

    `values` are the means, (rows, columns); `calm` those without each cell's brightest pixel, so
    that no hot pixel shows; `x` and `y` are the middles of the columns and rows in the frame, in
    px.
    """

    side: int
    values: Floats
    calm: Floats
    x: Floats
    y: Floats


def as_planes(image: Pixels, color_mode: str) -> Pixels:
    """Return a view, (colours, rows, columns); WithheldError if the frame is too small."""
    if image.ndim == 3:
        unnamed = 2 if image.shape[2] == 3 else 0
        image = np.moveaxis(image, COLOUR_AXIS.get(color_mode, unnamed), 0)
    planes = image[np.newaxis] if image.ndim == 2 else image
    if planes.ndim != 3 or min(planes.shape[1:]) < SMALLEST_FRAME or not planes.size:
        size = " x ".join(map(str, image.shape))
        message = f"expected at least {SMALLEST_FRAME} rows and columns, got {size}"
        raise WithheldError(Outcome.UNUSABLE, message)
    return planes


def rounding(planes: Pixels) -> float:
    """Return the noise that integers have from rounding: their step by the root of 12."""
    return 1 / math.sqrt(12 * len(planes)) if planes.dtype.kind in "iu" else 0.0


def blocks_of(planes: Pixels) -> Cells:
    """Average the whole frame in blocks; WithheldError if pixels are not finite."""
    blocks = average(planes, max(4, math.ceil(max(planes.shape[1:]) / COARSEST)))
    bad = int(np.count_nonzero(~np.isfinite(blocks.values)))
    if bad:
        message = f"{bad} of {blocks.values.size} blocks hold pixels that are NaN or infinite"
        raise WithheldError(Outcome.UNUSABLE, message)
    return blocks


def average(planes: Pixels, side: int, left: int = 0, top: int = 0) -> Cells:
    """Average whole cells and colours; `left` and `top` are the part's place in the frame."""
    rows, columns = (size // side for size in planes.shape[1:])
    x = left + (np.arange(columns) + 0.5) * side - 0.5
    y = top + (np.arange(rows) + 0.5) * side - 0.5
    if side == 1:
        values = planes.mean(axis=0, dtype=np.float64)
        return Cells(side, values, values, x, y)
    sums, most = np.empty((rows, columns)), np.empty((rows, columns))
    for row in range(rows):
        band = planes[:, row * side : (row + 1) * side, : columns * side]
        pixels = band[0] if len(band) == 1 else band.mean(axis=0)
        sums[row] = pixels.sum(axis=0, dtype=np.float64).reshape(columns, side).sum(axis=1)
        most[row] = pixels.max(axis=0).reshape(columns, side).max(axis=1)
    return Cells(side, sums / side**2, (sums - most) / (side**2 - 1), x, y)


def part(
    planes: Pixels, place: tuple[float, float], reach: tuple[float, float], side: int
) -> Cells:
    """Average the part that reaches `reach` px around `place`, both (x, y)."""
    ranges = []
    for middle, distance, size in zip(place, reach, reversed(planes.shape[1:])):
        first = min(max(math.floor(middle - distance), 0), size - side)
        ranges.append((first, min(max(math.ceil(middle + distance) + 1, first + side), size)))
    (left, right), (top, bottom) = ranges
    return average(planes[:, top:bottom, left:right], side, left, top)
