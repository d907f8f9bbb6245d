"""Adaptive moments: centre, size and shape of a star, weighted so that noise far out counts little.

The weight is a Gaussian that takes on the star's own shape (Bernstein & Jarvis 2002, AJ 123, 583,
section 3; Hirata & Seljak 2003). Under a weight W a Gaussian star M shows moments V with
1/V = 1/M + 1/W, which gives the next W = M, and a centre moved by W / (W + M) of its way. The
weight stays wide enough for the pixels to sample it.

The pixel's own width is part of the recorded image and is not taken out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tosip.stars.arrays import Floats, Singles

ROUNDS = 6
LEAST_WEIGHT = 0.5  # px^2
LEAST_MOMENT = 0.04  # px^2, a fifth of a pixel wide
MOST_CORRELATED = 0.98
PIXEL_VARIANCE = 1 / 12  # px^2, of a square pixel along any direction
FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))


class Moments(NamedTuple):
    """Central second moments (px^2) of stars."""

    xx: Floats
    yy: Floats
    xy: Floats

    @property
    def determinant(self) -> Floats:
        """The square of the area, but for a factor."""
        return self.xx * self.yy - self.xy**2


def adaptive_moments(cuts: Floats, radius: int) -> tuple[Floats, Floats, Moments]:
    """Return centres (y, x; px from the middle) and second moments of cut-outs without sky."""
    count, light = len(cuts), cuts.astype(np.float32)
    cy, cx = np.zeros(count), np.zeros(count)
    wide = np.full(count, (radius / 4.0) ** 2)
    moments = Moments(wide, wide, np.zeros(count))
    for _ in range(ROUNDS):
        xx, yy, xy = moments
        weight = Moments(np.maximum(xx, LEAST_WEIGHT), np.maximum(yy, LEAST_WEIGHT), xy)
        my, mx, seen = _weighted_moments(light, cy, cx, weight)
        moments = _without_weight(seen, weight, radius)
        gain = 1 + (moments.xx + moments.yy) / (weight.xx + weight.yy)
        # What has no light or no width stays where it is; `cutouts` throws it out later.
        cx = np.clip(np.nan_to_num(cx + mx * gain), -radius, radius)
        cy = np.clip(np.nan_to_num(cy + my * gain), -radius, radius)
    return cy, cx, moments


def _weighted_moments(
    cuts: Singles, cy: Floats, cx: Floats, weight: Moments
) -> tuple[Floats, Floats, Moments]:
    """Return first moments (y, x) about a centre and second moments under a Gaussian."""
    grid = np.arange(cuts.shape[1]) - cuts.shape[1] // 2
    dx, dy = grid - cx[:, None], grid - cy[:, None]
    light = _gaussian(dy, dx, weight)
    light *= cuts
    across = light.sum(axis=1).astype(np.float64)
    along = light.sum(axis=2).astype(np.float64)
    total = across.sum(axis=1)
    mx, my = (across * dx).sum(axis=1) / total, (along * dy).sum(axis=1) / total
    vxx = (across * dx**2).sum(axis=1) / total - mx**2
    vyy = (along * dy**2).sum(axis=1) / total - my**2
    light *= dx.astype(np.float32)[:, None, :]
    vxy = (light.sum(axis=2) * dy).sum(axis=1) / total - mx * my
    return my, mx, Moments(vxx, vyy, vxy)


def _gaussian(dy: Floats, dx: Floats, shape: Moments) -> Singles:
    """Draw Gaussians of the given moments, in single precision."""
    determinant = shape.determinant
    along_x = (-0.5 * shape.yy / determinant).astype(np.float32)[:, None] * (dx**2).astype(
        np.float32
    )
    along_y = ((-0.5 * shape.xx / determinant)[:, None] * dy**2).astype(np.float32)
    mixed = ((shape.xy / determinant)[:, None] * dy).astype(np.float32)
    power = along_x[:, None, :] + along_y[:, :, None]
    power += mixed[:, :, None] * dx.astype(np.float32)[:, None, :]
    return np.asarray(np.exp(power, out=power))


def _without_weight(seen: Moments, weight: Moments, radius: int) -> Moments:
    """Solve 1/M = 1/V - 1/W for M, kept between a fifth of a pixel and the aperture."""
    v, w = seen.determinant, weight.determinant
    axx = seen.xx / v - weight.xx / w
    ayy = seen.yy / v - weight.yy / w
    axy = seen.xy / v - weight.xy / w
    a = axx * ayy - axy**2
    sound = (a > 0) & (axx > 0) & (v > 0)
    largest = float(radius**2)
    xx = np.where(sound, np.clip(axx / a, LEAST_MOMENT, largest), largest)
    yy = np.where(sound, np.clip(ayy / a, LEAST_MOMENT, largest), largest)
    most = MOST_CORRELATED * np.sqrt(xx * yy)
    return Moments(xx, yy, np.where(sound, np.clip(axy / a, -most, most), 0.0))
