"""Refuses sizes that look right and are wrong: of saturated, cut and faint beams."""

from __future__ import annotations

import math

import numpy as np

from tosip.beam.cells import Pixels
from tosip.beam.outcome import Outcome, WithheldError
from tosip.beam.search import Measured
from tosip.beam.spot import Spot

CLEAR = 4.0  # sigma from the centroid to the edge: beyond is 0.01 % of a Gaussian
FAINTEST = 0.2  # error of the size


def saturated_pixels(planes: Pixels, spot: Spot, level: float, limit: float) -> int:
    """Count the beam's saturated pixels, of any colour.

    `limit` is the level of saturation, 0 for the integers' greatest value. A top that is cut off
    lower than that counts, too: many converters have fewer bits than the pixels.
    """
    part = planes
    for axis, place, sigma in zip((1, 2), (spot.y, spot.x), reversed(spot.sigmas)):
        first, last = math.floor(place - 3 * sigma), math.ceil(place + 3 * sigma) + 1
        part = part[(slice(None),) * axis + (slice(max(first, 0), last),)]
    greatest = np.iinfo(part.dtype).max if part.dtype.kind in "iu" else math.inf
    full = np.asarray((part >= (limit or greatest)).any(axis=0))
    count = sum(in_company(part, row, column, level) for row, column in np.argwhere(full))
    return max(count, *(flat_top(plane, level) for plane in part))


def in_company(planes: Pixels, row: int, column: int, level: float) -> bool:
    """Whether a pixel is the beam's: a quarter of its light is in its neighbourhood, too."""
    around = planes[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].max(axis=0)
    own = float(planes[:, row, column].max()) - level
    return float(np.median(around)) - level >= own / 4


def flat_top(plane: Pixels, level: float) -> int:
    """Count the pixels of a cut-off top: many have the greatest level, few the ones below it.

    A beam that is flat by nature has steep sides, so few pixels between: it is let pass.
    """
    top = float(plane.max())
    height = top - level
    if not height > 0:
        return 0
    _, counts = np.unique(plane[plane >= top - 0.1 * height], return_counts=True)
    most, below = int(counts[-1]), counts[-4:-1]
    if most < 10 or most <= 3 * below.sum() / max(len(below), 1):
        return 0
    sides = np.count_nonzero((plane > level + 0.5 * height) & (plane < level + 0.9 * height))
    return most if sides > 0.05 * most else 0


def refuse_clipped(spot: Spot, shape: tuple[int, ...]) -> None:
    """Raise WithheldError if the frame's edge may cut light off."""
    rows, columns = shape
    sigma_x, sigma_y = spot.sigmas
    nearest = min(
        min(spot.x + 0.5, columns - 0.5 - spot.x) / sigma_x,
        min(spot.y + 0.5, rows - 0.5 - spot.y) / sigma_y,
    )
    if nearest < CLEAR:
        message = f"the frame's edge is {nearest:.2f} sigma from the centroid: expected {CLEAR:g}"
        raise WithheldError(Outcome.CLIPPED, message)


def refuse_faint(measured: Measured, threshold: float) -> None:
    """Raise WithheldError if the background's noise alone makes the size or the light uncertain."""
    spot, covariance = measured.spot, measured.covariance(measured.noise)
    size_errors = np.sqrt(np.diag(covariance)[2:4]) / (2 * spot.xx, 2 * spot.yy)
    count = np.count_nonzero(measured.inside)
    level_error = math.sqrt(measured.background.covariance[0, 0])
    error = math.hypot(math.sqrt(count) * measured.noise, count * level_error)
    if size_errors.max() > FAINTEST or measured.total < threshold * error:
        percent = 100 * size_errors.max()
        message = f"too faint: the noise makes its size uncertain by {percent:.0f} %"
        raise WithheldError(Outcome.NO_BEAM, message)
