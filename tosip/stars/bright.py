"""The pixels that stand out of the sky: few, and all that the search for peaks looks at.

The frame is compared with its sky one row of cells at a time, which stays in the processor's cache.
A bad frame may stand out everywhere; of each row of cells only the brightest pixels are kept, which
bounds the time.
"""

from __future__ import annotations

import numpy as np

from tosip.stars.arrays import Image, Places, in_type_of
from tosip.stars.sky import Sky

MOST_PIXELS = 10_000  # in a row of cells


def bright_pixels(image: Image, sky: Sky, sigmas: float) -> tuple[Places, Places]:
    """Return rows and columns of the pixels that stand `sigmas` above their cell's sky."""
    limits = in_type_of(image, sky.level + sigmas * sky.noise)
    columns = image.shape[1]
    across = np.minimum(np.arange(columns) // sky.pitch, limits.shape[1] - 1)
    found = []
    for band, limit in zip(sky.bands(len(image)), limits):
        strip = image[band]
        found.append(
            _brightest(strip, np.flatnonzero(strip > limit[across])) + band.start * columns
        )
    places = np.concatenate(found)
    return places // columns, places % columns


def _brightest(strip: Image, places: Places) -> Places:
    if len(places) <= MOST_PIXELS:
        return places
    values = strip[places // strip.shape[1], places % strip.shape[1]]
    cut = np.partition(values, -MOST_PIXELS)[-MOST_PIXELS]
    kept: Places = places[values >= cut][:MOST_PIXELS]
    return kept
