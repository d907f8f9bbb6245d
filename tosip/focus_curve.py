"""The curve of half-flux diameter against focus position, fitted to a static sweep.

Defocus adds in quadrature to what the star's image is in focus, so the curve is a hyperbola with
the asymptotes of a V: a parabola bends too little near focus and too much far from it. The fit is
robust (a bad frame pulls little) and weighted. It is refused, with a reason, when it cannot be
trusted to move a focus motor by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

Floats = NDArray[np.float64]

FEWEST_POINTS = 5
LEAST_R_SQUARED = 0.85
SOFTENING = 0.05  # relative residual beyond which a point counts less


@dataclass(frozen=True)
class FocusCurve:
    """Half-flux diameter sqrt(floor^2 + slope^2 (position - best)^2) over focus positions.

    `best` is in the positions' units, `floor` in the diameters', `slope` in diameters per position.
    `points` counts the points used. Figures are NaN where there was nothing to fit; `reason` says
    why a curve is not `accepted`.
    """

    best: float = math.nan
    floor: float = math.nan
    slope: float = math.nan
    r_squared: float = math.nan
    points: int = 0
    accepted: bool = False
    reason: str = ""

    def at(self, position: float) -> float:
        """Return the diameter that the curve has at a position."""
        return math.hypot(self.floor, self.slope * (position - self.best))


def fit_focus_curve(
    positions: ArrayLike, diameters: ArrayLike, weights: ArrayLike | None = None
) -> FocusCurve:
    """Fit a focus sweep: one diameter, in any unit, and one weight, for each position.

    Points that are not finite, not positive or of no weight are dropped. Weights are those of
    squared residuals, relative to the curve: for n stars, n. The hyperbola is that of L. Weber and
    S. Brady, "Fast auto-focus method and software for CCD-based telescopes" (2001).
    """
    x, y = np.asarray(positions, dtype=np.float64), np.asarray(diameters, dtype=np.float64)
    w = np.ones_like(y) if weights is None else np.asarray(weights, dtype=np.float64)
    if not x.ndim == y.ndim == w.ndim == 1 or not len(x) == len(y) == len(w):
        raise ValueError(
            "fit_focus_curve: expected three lists of one length, "
            f"got shapes {x.shape}, {y.shape}, {w.shape}"
        )
    good = np.isfinite(x) & np.isfinite(y) & np.isfinite(w) & (y > 0) & (w > 0)
    x, y, w = x[good], y[good], w[good]
    distinct = np.unique(x)
    if len(distinct) < FEWEST_POINTS:
        reason = f"expected at least {FEWEST_POINTS} positions, got {len(distinct)}"
        return FocusCurve(points=len(x), reason=reason)
    curve = _fit(x, y, w)
    reason = _objection(curve, distinct)
    return replace(curve, accepted=not reason, reason=reason)


def _fit(x: Floats, y: Floats, w: Floats) -> FocusCurve:
    """Fit in scaled units, from several starts: the sweep's lowest point may be an outlier."""
    middle, span, height = float(x.mean()), float(np.ptp(x)), float(np.median(y))
    position, diameter = (x - middle) / span, y / height
    root = np.sqrt(w / w.mean())

    def residuals(values: Floats) -> Floats:
        model = np.hypot(values[1], values[2] * (position - values[0]))
        # Relative: a diameter's error grows with it.
        return np.asarray(root * (model - diameter) / diameter)

    steepest = 2 * float(np.ptp(diameter)) + 0.1
    starts: Sequence[float] = np.quantile(position, [0.15, 0.5, 0.85]).tolist()
    fits = [
        least_squares(
            residuals,
            [start, float(diameter.min()), steepest],
            loss="soft_l1",
            f_scale=SOFTENING,
            x_scale="jac",
        )
        for start in [float(position[diameter.argmin()]), *starts]
    ]
    best = min(fits, key=lambda fit: float(fit.cost))
    centre, floor, slope = (float(value) for value in best.x)
    model = np.hypot(floor, slope * (position - centre))
    total = float(np.sum(w * (diameter - np.average(diameter, weights=w)) ** 2))
    left = float(np.sum(w * (diameter - model) ** 2))
    return FocusCurve(
        best=centre * span + middle,
        floor=abs(floor) * height,
        slope=abs(slope) * height / span,
        r_squared=1 - left / total if total > 0 else 0.0,
        points=len(x),
    )


def _objection(curve: FocusCurve, positions: Floats) -> str:
    """Say what is wrong with a curve; `positions` are distinct and sorted."""
    if not curve.r_squared >= LEAST_R_SQUARED:
        return f"expected R^2 of at least {LEAST_R_SQUARED}, got {curve.r_squared:.2f}"
    low, high = float(positions[1]), float(positions[-2])
    if not low <= curve.best <= high:
        return (
            f"expected a minimum more than a step from the sweep's ends, {low:g} to {high:g}, "
            f"got {curve.best:g}"
        )
    return ""
