"""The second look, for frames far from focus: connected patches of light, each one star.

Strong defocus breaks a star into many peaks that disqualify each other. In sums of 4 x 4 pixels
(`blocks`) a donut is one connected patch, and its centre of light is its hole. A patch as narrow as
a star in focus must have a star's peak as well, or it is a cosmic ray.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tosip.stars.arrays import Flags, Floats, Image, Places, Singles, sums_by_name
from tosip.stars.blocks import BLOCK, light_in_blocks
from tosip.stars.moments import PIXEL_VARIANCE
from tosip.stars.peaks import MOST_PEAKS, Candidates, starlike
from tosip.stars.sky import Sky

COMPACT = 3.0  # px: patches of a smaller radius must have a star's sharp peak
TYPICAL = 50  # patches, the brightest, whose median radius tells how wide the frame's stars are


def find_blobs(image: Image, sky: Sky) -> tuple[Candidates, float]:
    """Make candidates of the patches of light; also return their typical radius (px)."""
    flux, y, x, radius = _patches(*light_in_blocks(image, sky))
    if not len(flux):
        return Candidates(y, x, flux, np.empty(0, dtype=bool)), 0.0
    compact = radius <= COMPACT
    y, x = _to_brightest(image, y, x, compact)
    usable = ~compact | starlike(image, sky, y, x)
    return Candidates(y, x, flux, usable), float(np.median(radius[:TYPICAL]))


def _patches(light: Singles, bright: Flags) -> tuple[Floats, Places, Places, Floats]:
    """Return light, centre (px) and root mean square radius (px) of patches, brightest first."""
    patches, count = ndimage.label(bright)
    places = np.flatnonzero(bright)
    y, x = places // bright.shape[1], places % bright.shape[1]
    weight, name = light.ravel()[places].astype(np.float64), patches.ravel()[places] - 1
    flux = sums_by_name(name, weight, count)
    middle_y = sums_by_name(name, weight * y, count) / flux
    middle_x = sums_by_name(name, weight * x, count) / flux
    spread = (y - middle_y[name]) ** 2 + (x - middle_x[name]) ** 2
    # What block and smoothing add, both axes together: 2 (1 + 9) / 12.
    variance = sums_by_name(name, weight * spread, count) / flux - 20 * PIXEL_VARIANCE
    order = np.argsort(-flux, kind="stable")[:MOST_PEAKS]
    row, column = (
        np.rint(middle[order] * BLOCK + (BLOCK - 1) / 2).astype(np.intp)
        for middle in (middle_y, middle_x)
    )
    return flux[order], row, column, np.sqrt(np.maximum(variance[order], 0)) * BLOCK


def _to_brightest(image: Image, y: Places, x: Places, compact: Flags) -> tuple[Places, Places]:
    """Move `compact` places to the brightest of 9 x 9 pixels, and all of them off the edge."""
    y, x = (np.clip(at, 5, size - 6) for at, size in zip((y, x), image.shape))
    grid = np.arange(-4, 5)
    around = image[y[compact, None, None] + grid[:, None], x[compact, None, None] + grid]
    brightest = around.reshape(-1, 81).argmax(axis=1)
    y[compact] += brightest // 9 - 4
    x[compact] += brightest % 9 - 4
    return y, x
