"""Previews: frames binned to a size that every client and network can take."""

from dataclasses import dataclass
from typing import Any

import numpy as np

PREVIEW_SIZE = 512  # px, along X and along Y

Pixels = np.ndarray[Any, Any]

# Which axes of NumPy's shape are Y and X in an array with colours.
_AXES = {"RGB1": (0, 1), "RGB2": (0, 2), "RGB3": (1, 2)}


@dataclass(frozen=True)
class Binned:
    """Pixels of the same type and number of axes; `factors` are the binning of each axis."""

    pixels: Pixels
    factors: tuple[int, ...]
    color_mode: str


def bin_pixels(pixels: Pixels, color_mode: str, size: int = PREVIEW_SIZE) -> Binned:
    """Average squares of pixels so that X and Y become at most `size` long.

    Both have the same factor, so that a pixel stays square, as far as the shorter one is that long.
    As in areaDetector, what is left over at the far edges is cut off. Means of integers are rounded
    to the nearest, exactly, halves up. A NaN makes its whole square NaN. A Bayer mosaic that is
    averaged has no colours any more: Mono.
    """
    axes = _image_axes(pixels.ndim, color_mode)
    factor = max((-(-pixels.shape[axis] // size) for axis in axes), default=1)
    factors = [1] * pixels.ndim
    for axis in axes:
        factors[axis] = min(factor, pixels.shape[axis])
    if factor == 1:
        return Binned(pixels, tuple(factors), color_mode)
    mode = "Mono" if color_mode == "Bayer" else color_mode
    return Binned(_means(pixels, factors), tuple(factors), mode)


def _image_axes(dimensions: int, color_mode: str) -> tuple[int, ...]:
    if dimensions == 3 and color_mode in _AXES:
        return _AXES[color_mode]
    return tuple(range(dimensions))[-2:]


def _means(pixels: Pixels, factors: list[int]) -> Pixels:
    area = int(np.prod(factors))
    kind = pixels.dtype
    if kind.kind == "f":
        return (_sums(pixels, factors, "float64") / area).astype(kind)
    if kind.itemsize < 8:
        return ((_sums(pixels, factors, "int64") + area // 2) // area).astype(kind)
    # Sums of 64-bit numbers may not fit: those of quotients and of remainders do.
    quotients, rests = np.divmod(pixels, kind.type(area))
    rest = (_sums(rests, factors, kind.name) + kind.type(area // 2)) // kind.type(area)
    means: Pixels = _sums(quotients, factors, kind.name) + rest
    return means


def _sums(pixels: Pixels, factors: list[int], kind: str) -> Pixels:
    """Sum up blocks, one axis after the other, slowest first: rows are added as a whole."""
    for axis, factor in enumerate(factors):
        if factor > 1:
            before, after = pixels.shape[:axis], pixels.shape[axis + 1 :]
            count = pixels.shape[axis] // factor
            kept = pixels[(slice(None),) * axis + (slice(count * factor),)]
            blocks = kept.reshape(*before, count, factor, *after)
            pixels = blocks.sum(axis + 1, kind)
    return pixels
