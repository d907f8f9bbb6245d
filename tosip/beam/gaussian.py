"""Fits a Gaussian of any orientation on a constant background, by least squares.

All cells weigh the same. Their noise is not the same, it grows with the light, so the covariance is
one that holds for unequal noise (White, Econometrica 48 (1980) 817), with the correction HC3 for
few cells (MacKinnon and White, J. Econometrics 29 (1985) 305). Both assume that the noise of
different cells is independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from tosip.beam.cells import Floats
from tosip.beam.outcome import Outcome, WithheldError
from tosip.beam.search import Measured
from tosip.beam.spot import Spot

MOST_EVALUATIONS = 200
ALLOWED_SHIFT = 3.0  # sigma between the centroid and the Gaussian's centre


@dataclass(frozen=True)
class Gaussian:
    """A fitted Gaussian on the background `level`.

    `covariance` is that of (x, y, xx, yy, xy, amplitude, level); `residuals` are the cells'
    differences, (rows, columns). `misfit` is the root of the residuals' smooth part, squared, by
    the Gaussian, squared: 0 is a perfect fit, whatever the noise.
    """

    spot: Spot
    amplitude: float
    level: float
    covariance: Floats
    residuals: Floats
    misfit: float


def fit(measured: Measured) -> Gaussian:
    """Fit the light of a spot; WithheldError if there is no Gaussian in it.

    In units of the spot's sizes and height, so that all seven parameters are near 1.
    """
    cells, spot, light = measured.cells, measured.spot, measured.every
    (sigma_x, sigma_y), height = spot.sigmas, float(light.max())
    u = np.broadcast_to((cells.x - spot.x) / sigma_x, light.shape).ravel()
    v = np.repeat((cells.y - spot.y) / sigma_y, len(cells.x))
    correlation = spot.xy / (sigma_x * sigma_y)
    steepness = 1 / (1 - correlation**2)
    start = [1.0, 0.0, 0.0, steepness, -correlation * steepness, steepness, 0.0]
    try:
        found, _ = optimize.curve_fit(
            lambda at, *p: model(at, p)[0],
            (u, v),
            light.ravel() / height,
            start,
            jac=lambda at, *p: model(at, p)[1],
            maxfev=MOST_EVALUATIONS,
        )
        values, slopes = model((u, v), found)
        residuals = light - height * values.reshape(light.shape)
        covariance = robust_covariance(slopes, residuals.ravel() / height)
        return in_pixels(measured, found, covariance, residuals, height)
    except (RuntimeError, ValueError, np.linalg.LinAlgError) as error:
        raise WithheldError(Outcome.FIT_FAILED, f"no Gaussian fits: {error}") from error


def model(at: tuple[Floats, Floats], p: Any) -> tuple[Floats, Floats]:
    """Return the Gaussian and its derivatives by amplitude, centre, inverse moments and level."""
    amplitude, u0, v0, uu, uv, vv, level = p
    u, v = at[0] - u0, at[1] - v0
    exponent = -0.5 * (uu * u * u + 2 * uv * u * v + vv * v * v)
    shape = np.exp(np.minimum(exponent, 50.0))  # the iteration may pass where it is no peak
    own = amplitude * shape
    slopes = [
        shape,
        own * (uu * u + uv * v),
        own * (uv * u + vv * v),
        -0.5 * own * u * u,
        -own * u * v,
        -0.5 * own * v * v,
        np.ones_like(u),
    ]
    return own + level, np.stack(slopes, axis=1)


def robust_covariance(slopes: Floats, residuals: Floats) -> Floats:
    """Return the covariance of the parameters, for noise that differs from cell to cell."""
    inverse = np.linalg.inv(products(slopes))
    leverage = np.einsum("ij,jk,ik->i", slopes, inverse, slopes)
    weighted = slopes * (residuals / (1 - leverage))[:, np.newaxis]
    return np.asarray(inverse @ products(weighted) @ inverse)


def products(columns: Floats) -> Floats:
    """Return the sums of the columns' products, always added in the same order."""
    return np.asarray(np.einsum("ki,kj->ij", columns, columns))


def in_pixels(
    measured: Measured, found: Floats, covariance: Floats, residuals: Floats, height: float
) -> Gaussian:
    """Turn the fit's parameters into the frame's units; ValueError if it is no peak."""
    amplitude, u0, v0, uu, uv, vv, level = found.tolist()
    if not (amplitude > 0 and uu > 0 and uu * vv > uv * uv and math.hypot(u0, v0) < ALLOWED_SHIFT):
        raise ValueError("no peak where the light is")
    cells, (sx, sy) = measured.cells, measured.spot.sigmas
    units = np.outer((sx, sy), (sx, sy))
    inverse = np.linalg.inv(np.array([[uu, uv], [uv, vv]]))
    wide = inverse * units
    own = (cells.side**2 - 1) / 12
    (xx, xy), (_, yy) = wide - own * np.eye(2)
    spot = Spot(measured.spot.x + sx * u0, measured.spot.y + sy * v0, xx, yy, xy)
    if not spot.is_one:
        raise ValueError("narrower than a pixel")
    volume = math.sqrt(float(np.linalg.det(wide)))
    # A cell's mean is lower than the peak, and its image wider: the light is the same.
    peak = height * volume / math.sqrt(xx * yy - xy * xy)
    slopes = np.zeros((7, 7))
    slopes[0, 1], slopes[1, 2], slopes[5, 0], slopes[6, 6] = sx, sy, peak, height
    slopes[2:5, 3:6] = moment_slopes(inverse, units)
    smooth = neighbours(residuals) / (math.pi * volume * (amplitude * height / cells.side) ** 2)
    return Gaussian(
        spot,
        amplitude * peak,
        measured.background.level + level * height,
        slopes @ covariance @ slopes.T,
        residuals,
        math.sqrt(max(smooth, 0.0)),
    )


def moment_slopes(inverse: Floats, units: Floats) -> Floats:
    """Return the derivatives of (xx, yy, xy) by (uu, uv, vv): d(P^-1) = -P^-1 dP P^-1."""
    columns = []
    for row, column in ((0, 0), (0, 1), (1, 1)):
        change = np.zeros((2, 2))
        change[row, column] = change[column, row] = 1.0
        moved = -inverse @ change @ inverse * units
        columns.append([moved[0, 0], moved[1, 1], moved[0, 1]])
    return np.array(columns).T


def neighbours(residuals: Floats) -> float:
    """Return the sum of the residuals' squares without noise.

    Noise differs from cell to cell, so the products of neighbours have none of it on average; what
    a Gaussian cannot describe is smooth.
    """
    across = float((residuals[:, 1:] * residuals[:, :-1]).sum())
    return (across + float((residuals[1:] * residuals[:-1]).sum())) / 2
