"""The light that is not the beam's: a plane, measured where the beam is not.

A plane, for stray light is rarely even: in an area of 3 beam widths a slope of a percent of the
peak would spoil the moments. ISO/TR 11146-3 asks for a background from outside of that area.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tosip.beam.cells import Cells, Floats
from tosip.beam.spot import Spot

ENOUGH = 50  # blocks for a plane


@dataclass(frozen=True)
class Plane:
    """A background, `terms` at, along x, and along y from a place; its errors and its noise.

    `covariance` is that of the terms; `noise` is one pixel's.
    """

    x: float
    y: float
    terms: Floats
    covariance: Floats
    noise: float

    @property
    def level(self) -> float:
        """The background at the plane's own place."""
        return float(self.terms[0])

    def under(self, cells: Cells) -> Floats:
        """Return the background of each cell."""
        level, along, down = self.terms
        shift = (cells.y - self.y)[:, np.newaxis] * down
        return np.asarray(level + (cells.x - self.x) * along + shift)

    def fixed_at(self, level: float) -> Plane:
        """Return a level that is given instead, with the noise that was measured."""
        return Plane(self.x, self.y, np.array([level, 0, 0]), np.zeros((3, 3)), self.noise)


def border_plane(blocks: Cells, values: Floats, least_noise: float) -> Plane:
    """Measure the background along the frame's border, from the blocks' values or calm values."""
    chosen = np.ones(values.shape, bool)
    chosen[1:-1, 1:-1] = False
    place = float(blocks.x.mean()), float(blocks.y.mean())
    return plane_through(blocks, values, chosen, place, least_noise)


def plane_around(blocks: Cells, spot: Spot, area: float, least_noise: float) -> Plane:
    """Measure the background outside of the measured area, near it if that is enough."""
    reach_x, reach_y = spot.reach(area)
    away_x = np.abs(blocks.x - spot.x) - blocks.side / 2
    away_y = (np.abs(blocks.y - spot.y) - blocks.side / 2)[:, np.newaxis]
    outside = (away_x > reach_x) | (away_y > reach_y)
    near = outside & (away_x < 2 * reach_x) & (away_y < 2 * reach_y)
    place = (spot.x, spot.y)
    if outside.sum() < ENOUGH:
        outside[[0, -1]] = outside[:, [0, -1]] = True
    chosen = near if near.sum() >= ENOUGH else outside
    return plane_through(blocks, blocks.values, chosen, place, least_noise)


def plane_through(
    blocks: Cells,
    values: Floats,
    chosen: NDArray[np.bool_],
    place: tuple[float, float],
    least_noise: float,
) -> Plane:
    """Fit a plane to the chosen blocks, twice: the second time without outliers."""
    rows, columns = np.nonzero(chosen)
    x, y = blocks.x[columns] - place[0], blocks.y[rows] - place[1]
    terms = np.stack([np.ones(len(x)), x, y], axis=1)
    data = values[rows, columns]
    least = least_noise / blocks.side
    kept = np.ones(len(x), bool)
    for _ in range(2):
        solution, *_ = np.linalg.lstsq(terms[kept], data[kept], rcond=None)
        residuals = data - terms @ solution
        middle = float(np.median(residuals))
        scatter = max(1.4826 * float(np.median(np.abs(residuals - middle))), least)
        kept = np.abs(residuals - middle) <= 4 * scatter
    solution, *_ = np.linalg.lstsq(terms[kept], data[kept], rcond=None)
    spread = float(np.std(data[kept] - terms[kept] @ solution))
    noise = max(spread * math.sqrt(kept.sum() / max(kept.sum() - 3, 1)), least)
    covariance = np.linalg.pinv(terms[kept].T @ terms[kept]) * noise**2
    return Plane(*place, np.asarray(solution, np.float64), covariance, noise * blocks.side)
