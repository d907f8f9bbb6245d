"""A frame's pixels as algorithms see them: colours last, undefined pixels NaN if they ask for it.

This module runs in the user's interpreter: the standard library and NumPy, Python 3.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tosip.names import UNDEFINED_PIXELS, UNDEFINED_VALUE

# Which axis of NumPy's shape has the colours, by areaDetector's colour mode.
_COLOUR_AXES = {"RGB1": 2, "RGB2": 1, "RGB3": 0}
_COLOURS = 3


def colours_last(pixels: np.ndarray[Any, Any], color_mode: str) -> np.ndarray[Any, Any]:
    """Return a view with the axes (rows, columns, colours); without colours the array itself."""
    axis = _COLOUR_AXES.get(color_mode, 2)
    if axis == 2 or pixels.ndim != 3 or pixels.shape[axis] != _COLOURS:
        return pixels
    return np.moveaxis(pixels, axis, 2)


def undefined_as_nan(
    pixels: np.ndarray[Any, Any], attributes: Mapping[str, Any]
) -> np.ndarray[Any, Any]:
    """Return floats with NaN where the frame's attributes say that a pixel is undefined.

    Integers become float32, those of more than 16 bits float64; floats stay as they are, and are
    not copied. The copy is read-only.
    """
    if pixels.dtype.kind == "f":
        return pixels
    floats = pixels.astype(np.float32 if pixels.dtype.itemsize <= 2 else np.float64)
    value = attributes.get(UNDEFINED_VALUE)
    if attributes.get(UNDEFINED_PIXELS) and isinstance(value, int):
        floats[pixels == value] = np.nan
    floats.flags.writeable = False
    return floats
