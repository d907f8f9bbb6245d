"""Measuring stars: each is cut out, loses the sky of a ring around it, and is measured alone.

All stars of a frame are measured in one aperture, so that they compare.
"""

from __future__ import annotations

import math

import numpy as np

from tosip.stars.arrays import Floats, Image, Places
from tosip.stars.growth import half_flux_diameters
from tosip.stars.moments import FWHM_PER_SIGMA, adaptive_moments
from tosip.stars.sample import Stars

LEAST_SNR = 20.0
NARROWEST = 0.3  # px: the least minor-axis sigma


def margin_of(radius: int) -> int:
    """Return how far (px) the ring for the sky around an aperture reaches."""
    return radius + max(4, radius // 4)


def measure(image: Image, y: Places, x: Places, radius: int, noise: Floats) -> Stars:
    """Measure the stars at the given pixels and return those that look like stars.

    `noise` is the sky's, per pixel, at each star; no star may be nearer to an edge than the margin.
    """
    cuts, noise = _cut_out(image, y, x, radius, noise)
    centre_y, centre_x, (xx, yy, xy) = adaptive_moments(cuts, radius)
    hfd, flux = half_flux_diameters(cuts, centre_y, centre_x, radius)
    size, e1, e2 = xx + yy, (xx - yy) / (xx + yy), 2 * xy / (xx + yy)
    stretch = np.hypot(e1, e2)
    minor, major = size * (1 - stretch) / 2, size * (1 + stretch) / 2
    fwhm = FWHM_PER_SIGMA * (xx * yy - xy**2) ** 0.25
    snr = flux / (noise * math.sqrt(math.pi) * hfd)
    good = (snr >= LEAST_SNR) & (minor >= NARROWEST**2) & (major < radius**2)
    good &= np.hypot(centre_y, centre_x) <= max(1.5, radius / 4)
    return Stars(hfd, fwhm, 1 - np.sqrt(minor / major), e1, e2, snr).only(good)


def _cut_out(
    image: Image, y: Places, x: Places, radius: int, noise: Floats
) -> tuple[Floats, Floats]:
    """Return cut-outs, (stars, rows, columns), without sky, and the noise at each.

    Stars with pixels that are no numbers are left out.
    """
    margin = margin_of(radius)
    edge = margin - radius
    grid = np.arange(-margin, margin + 1)
    distance = np.hypot(grid[:, None], grid)
    windows = np.lib.stride_tricks.sliding_window_view(image, distance.shape)
    cuts = windows[y - margin, x - margin]
    if image.dtype.kind == "f":
        whole = (np.isfinite(cuts) | (distance > radius)).all(axis=(1, 2))
        cuts, noise = cuts[whole].astype(np.float64), noise[whole]
    sky = local_sky(cuts[:, (distance > radius) & (distance <= margin)], noise)
    cuts = cuts[:, edge:-edge, edge:-edge] - sky[:, None, None]
    cuts[~np.isfinite(cuts)] = 0.0  # the corners, outside the aperture
    return cuts, noise


def local_sky(ring: Image, noise: Floats) -> Floats:
    """Return the clipped mean of each ring's pixels, (stars, pixels).

    A mean, since a median moves in steps of the camera's counts, which many pixels multiply.
    """
    level = np.median(ring, axis=1) if np.isfinite(ring).all() else np.nanmedian(ring, axis=1)
    for _ in range(2):
        near = np.abs(ring - level[:, None]) <= 3 * noise[:, None]
        count = near.sum(axis=1)
        mean = np.where(near, ring, 0.0).sum(axis=1) / np.maximum(count, 1)
        level = np.where(count > 0, mean, level)
    return level
