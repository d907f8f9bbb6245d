"""Bins of 2 x 2 pixels, in which a mosaic of colour filters is even."""

from __future__ import annotations

import numpy as np

from tosip.stars.arrays import Image


def binned(image: Image, saturation: float) -> Image:
    """Return the means of 2 x 2 pixels as float32; a bin with a saturated pixel is saturated.

    `saturation` is 0 or NaN where the level is unknown. An odd last row or column is left out.
    """
    rows, columns = (length // 2 * 2 for length in image.shape)
    corners = [image[y:rows:2, x:columns:2] for y in (0, 1) for x in (0, 1)]
    total = corners[0].astype(np.float32)
    for corner in corners[1:]:
        total += corner
    total /= 4
    if saturation > 0:
        for corner in corners:
            total[corner >= saturation] = saturation
    return total
