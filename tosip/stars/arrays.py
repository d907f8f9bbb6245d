"""Names for the kinds of arrays that pass between the rooms of this package."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]  # (rows, columns), of any real number type
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


def sums_by_name(name: NDArray[Any], weight: Floats, count: int) -> Floats:
    """Add up the weights of each of the names 0 to count - 1, in the order in which they come."""
    return np.asarray(np.bincount(name, weight, count), dtype=np.float64)


def in_type_of(image: Image, limits: Floats) -> Image:
    """Turn limits into the image's own type, so that comparing converts no pixel.

    A pixel is above the result just when it is above the limit.
    """
    if image.dtype.kind == "f":
        return limits.astype(image.dtype)
    span = np.iinfo(image.dtype)
    # float(span.max) may round up, out of the type: stay below.
    highest = np.nextafter(float(span.max), 0) if span.bits > 32 else float(span.max)
    return np.clip(np.floor(limits), float(span.min), highest).astype(image.dtype)
