"""Second moments of a spot: centroid, sizes, axes, and their errors.

Moments and widths as in ISO 11146-1: a width is 4 sigma, along the long axis
2 sqrt(2) sqrt(xx + yy + sqrt((xx - yy)^2 + 4 xy^2)).
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from tosip.beam.cells import Cells, Floats

WIDEST_ANGLE_ERROR = 10.0  # degrees: a round spot has none


@dataclass(frozen=True)
class Spot:
    """A centroid (px) and central second moments (px^2)."""

    x: float
    y: float
    xx: float
    yy: float
    xy: float

    @property
    def sigmas(self) -> tuple[float, float]:
        """Sizes along the rows and along the columns."""
        return math.sqrt(self.xx), math.sqrt(self.yy)

    @property
    def is_one(self) -> bool:
        """Whether the moments are those of a spot: positive and finite along every axis."""
        inside = self.xx > 0 and self.yy > 0 and self.xx * self.yy > self.xy**2
        return inside and all(map(math.isfinite, astuple(self)))

    def axes(self) -> tuple[float, float, float]:
        """Return the sizes along the long and short axis, and the long axis' angle (radians)."""
        half_sum, half_difference = (self.xx + self.yy) / 2, (self.xx - self.yy) / 2
        spread = math.hypot(half_difference, self.xy)
        short = math.sqrt(max(half_sum - spread, 0.0))
        return math.sqrt(half_sum + spread), short, 0.5 * math.atan2(self.xy, half_difference)

    def reach(self, area: float) -> tuple[float, float]:
        """Return how far an area of `area` beam widths reaches along the rows and columns."""
        long, short, angle = self.axes()
        cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
        half_long, half_short = 2 * area * long, 2 * area * short  # a width is 4 sigma
        return half_long * cosine + half_short * sine, half_long * sine + half_short * cosine

    def covers(self, cells: Cells, area: float) -> NDArray[np.bool_]:
        """Return which cells are in the rectangle of `area` beam widths along the spot's axes."""
        long, short, angle = self.axes()
        dx, dy = offsets(cells, self)
        along = np.abs(dx * math.cos(angle) + dy * math.sin(angle)) <= 2 * area * long
        across = np.abs(dy * math.cos(angle) - dx * math.sin(angle)) <= 2 * area * short
        return np.asarray(along & across)

    def between(self, other: Spot) -> Spot:
        """Return the spot halfway to another."""
        return Spot(*((one + two) / 2 for one, two in zip(astuple(self), astuple(other))))

    def agrees(self, other: Spot, covariance: Floats) -> bool:
        """Whether two spots are the same, to half a percent of their size or to the error."""
        change = np.abs(np.subtract(astuple(self), astuple(other)))
        sizes = 0.005 * np.array([*self.sigmas, 2 * self.xx, 2 * self.yy, self.xx + self.yy])
        return bool((change < np.maximum(np.sqrt(np.diag(covariance)), sizes)).all())


def offsets(cells: Cells, spot: Spot) -> tuple[Floats, Floats]:
    """Return the cells' distances from the centroid, x and y, each (rows, columns)."""
    dx, dy = np.broadcast_arrays(cells.x - spot.x, (cells.y - spot.y)[:, np.newaxis])
    return dx, dy


def moments(cells: Cells, light: Floats) -> Spot:
    """Return centroid and second moments; the width of a cell is taken out, a pixel's is not."""
    total = float(light.sum())
    along, down = light.sum(axis=0), light.sum(axis=1)
    x, y = float((along * cells.x).sum()) / total, float((down * cells.y).sum()) / total
    dx, dy = cells.x - x, cells.y - y
    own = (cells.side**2 - 1) / 12  # Sheppard's correction
    return Spot(
        x,
        y,
        float((along * dx**2).sum()) / total - own,
        float((down * dy**2).sum()) / total - own,
        float((light * dx * dy[:, np.newaxis]).sum()) / total,
    )


@dataclass(frozen=True)
class Axes:
    """Sizes and angle (degrees) of second moments, and their standard errors in this order.

    The angle is NaN if its error is too large for it to mean anything.
    """

    x: float
    y: float
    long: float
    short: float
    angle: float
    errors: tuple[float, ...]


def axes_of(spot: Spot, covariance: Floats) -> Axes:
    """Return the axes of a spot whose (xx, yy, xy) has this covariance, by its derivatives."""
    long, short, angle = spot.axes()
    half_difference = (spot.xx - spot.yy) / 2
    spread = math.hypot(half_difference, spot.xy) or math.nan
    cosine, sine = half_difference / spread, spot.xy / spread  # of twice the angle
    sigma_x, sigma_y = spot.sigmas
    slopes = np.array(
        [
            [1 / (2 * sigma_x), 0, 0],
            [0, 1 / (2 * sigma_y), 0],
            [(1 + cosine) / (4 * long), (1 - cosine) / (4 * long), sine / (2 * long)],
            [(1 - cosine) / (4 * short), (1 + cosine) / (4 * short), -sine / (2 * short)],
            np.degrees([-sine / 4, sine / 4, cosine / 2]) / spread,
        ]
    )
    errors = np.sqrt(np.einsum("ij,jk,ik->i", slopes, covariance, slopes))
    degrees = math.degrees(angle)
    if errors[4] > WIDEST_ANGLE_ERROR or math.isnan(spread):
        degrees = errors[4] = math.nan
    return Axes(sigma_x, sigma_y, long, short, degrees, tuple(errors.tolist()))


def scaled(spot: Spot, covariance: Floats, scales: tuple[float, float]) -> Axes:
    """Return the axes in the units of `scales`, (x, y) per px."""
    sx, sy = scales
    factors = np.array([sx * sx, sy * sy, sx * sy])
    moments = np.array([spot.xx, spot.yy, spot.xy]) * factors
    return axes_of(Spot(spot.x, spot.y, *moments.tolist()), covariance * np.outer(factors, factors))
