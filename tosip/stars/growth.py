"""Half-flux diameters, from how a star's light grows with the radius of a circle around it.

The growth curve counts each pixel's light as spread evenly over it: by subpixels in the core,
farther out by a straight edge one pixel deep. That widens the star by one pixel's variance, which
is taken off again, as of a Gaussian: HFD^2 = 8 ln 2 sigma^2. What is left is the star as recorded,
the pixel's own width included.
"""

from __future__ import annotations

import numpy as np

from tosip.stars.arrays import Floats, sums_by_name
from tosip.stars.moments import FWHM_PER_SIGMA, PIXEL_VARIANCE

STEP = 0.1  # px, of the growth curve
HALF_PIXEL = round(0.5 / STEP)  # steps
CORE = 3  # px to each side of the middle
SUBPIXELS = 5
LEAST_SQUARE = 0.01  # px^2, of an HFD


def half_flux_diameters(
    cuts: Floats, centre_y: Floats, centre_x: Floats, radius: int
) -> tuple[Floats, Floats]:
    """Return diameters (px) of the circles with half of the light, and the light (counts).

    Of cut-outs without sky, with centres in px from the middle; NaN where there is no light.
    """
    bins = round((radius + 1) / STEP)
    core, outside = _split(cuts)
    fine = (np.arange(core.shape[1]) + 0.5) / SUBPIXELS - CORE - 0.5
    grid = np.arange(cuts.shape[1]) - cuts.shape[1] // 2
    hard = _by_distance(core, fine - centre_y[:, None], fine - centre_x[:, None], bins)
    soft = _by_distance(outside, grid - centre_y[:, None], grid - centre_x[:, None], bins)
    summed = np.cumsum(np.cumsum(soft, axis=1), axis=1)
    edge = (summed[:, 2 * HALF_PIXEL :] - summed[:, : -2 * HALF_PIXEL]) / (2 * HALF_PIXEL)
    growth = np.cumsum(hard, axis=1)[:, HALF_PIXEL:-HALF_PIXEL] + edge
    return _half_way(growth, radius)


def _split(cuts: Floats) -> tuple[Floats, Floats]:
    """Return the cores in subpixels, and the cut-outs without their cores."""
    middle = cuts.shape[1] // 2
    inner = slice(middle - CORE, middle + CORE + 1)
    core = cuts[:, inner, inner] / SUBPIXELS**2
    outside = cuts.copy()
    outside[:, inner, inner] = 0.0
    return core.repeat(SUBPIXELS, axis=1).repeat(SUBPIXELS, axis=2), outside


def _by_distance(light: Floats, dy: Floats, dx: Floats, bins: int) -> Floats:
    """Sum each star's light in rings of `STEP` pixels; what lies beyond the last is left out."""
    distance = np.sqrt((dy**2)[:, :, None] + (dx**2)[:, None, :])
    ring = np.minimum(distance * (1 / STEP), bins).astype(np.intp)
    ring += (np.arange(len(light)) * (bins + 1))[:, None, None]
    sums = sums_by_name(ring.ravel(), light.ravel(), len(light) * (bins + 1))
    return sums.reshape(len(light), bins + 1)[:, :bins]


def _half_way(growth: Floats, radius: int) -> tuple[Floats, Floats]:
    """Find where growth curves first pass half of their value at `radius`; return that too.

    growth[:, i] holds the light out to i + HALF_PIXEL + 1 steps.
    """
    flux = growth[:, round(radius / STEP) - HALF_PIXEL - 1]
    wanted = flux[:, None] / 2
    at = np.maximum(1, (growth >= wanted).argmax(axis=1))[:, None]
    above, below = np.take_along_axis(growth, at, 1), np.take_along_axis(growth, at - 1, 1)
    part = np.clip((wanted - below) / (above - below), 0.0, 1.0)
    crossing = ((at + part + HALF_PIXEL) * STEP)[:, 0]
    square = (2 * crossing) ** 2 - FWHM_PER_SIGMA**2 * PIXEL_VARIANCE
    return np.where(flux > 0, np.sqrt(np.maximum(square, LEAST_SQUARE)), np.nan), flux
