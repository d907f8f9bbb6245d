"""Test patterns: a ramp, peaks and noise as areaDetector's simDetector draws them; and a beam.

Each pattern fills an array of any of areaDetector's ten data types, mono or RGB, and shifts or
changes from frame to frame, so that a live image moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Pixels = np.ndarray[Any, np.dtype[Any]]
Pattern = Callable[[Pixels, int], None]
"""Fills (rows, columns) or (rows, columns, 3) pixels with frame `number` of the pattern."""

_LARGEST = 65535.0  # of a type that holds more: a camera's full well
_PEAKS_PER_SIDE = 3
_PEAK_SIGMA = 0.05  # as a part of the side
_NOISE_LEVEL = 0.5


def full_scale(dtype: np.dtype[Any]) -> float:
    """Return the brightest value that a pattern uses: the type's largest, 65535 at most."""
    if dtype.kind in "iu":
        return min(float(np.iinfo(dtype).max), _LARGEST)
    return _LARGEST


def ramp(pixels: Pixels, number: int) -> None:
    """Fill with a diagonal ramp that moves by one pixel from frame to frame and wraps."""
    rows, columns = pixels.shape[:2]
    steps = np.add.outer(np.arange(rows), np.arange(columns)) + number
    levels = steps % int(full_scale(pixels.dtype) + 1)
    _spread(pixels, levels, shifted=True)


def peaks(pixels: Pixels, number: int) -> None:
    """Fill with a grid of Gaussian peaks on a faint background; each frame has its own noise."""
    rows, columns = pixels.shape[:2]
    scale = full_scale(pixels.dtype)
    down, across = (_profile(length) for length in (rows, columns))
    noise = np.random.default_rng(number).normal(0.0, 0.01, (rows, columns))
    _spread(pixels, np.clip(np.outer(down, across) * 0.8 + 0.1 + noise, 0.0, 1.0) * scale)


def noise(pixels: Pixels, number: int) -> None:
    """Fill with uniform noise over half of the range."""
    rng = np.random.default_rng(number)
    pixels[...] = rng.uniform(0.0, _NOISE_LEVEL * full_scale(pixels.dtype), pixels.shape)


def beam(pixels: Pixels, number: int) -> None:
    """Fill with one Gaussian spot that wanders and breathes, on a noisy background."""
    rows, columns = pixels.shape[:2]
    scale, phase = full_scale(pixels.dtype), number / 20
    y = (np.arange(rows) + 0.5) / rows - 0.5 - 0.05 * np.sin(phase)
    x = (np.arange(columns) + 0.5) / columns - 0.5 - 0.08 * np.cos(0.7 * phase)
    width = 0.04 * (1 + 0.2 * np.sin(0.3 * phase))
    spot = np.outer(np.exp(-0.5 * (y / width) ** 2), np.exp(-0.5 * (x / (1.5 * width)) ** 2))
    noise = np.random.default_rng(number).normal(0.0, 0.005, (rows, columns))
    _spread(pixels, np.clip(0.02 + 0.7 * spot + noise, 0.0, 1.0) * scale)


PATTERNS: Mapping[str, Pattern] = {"ramp": ramp, "peaks": peaks, "noise": noise, "beam": beam}


def _profile(length: int) -> Pixels:
    centres = (np.arange(_PEAKS_PER_SIDE) + 0.5) / _PEAKS_PER_SIDE
    place = (np.arange(length) + 0.5) / length
    profile: Pixels = np.exp(-0.5 * ((place[:, None] - centres) / _PEAK_SIGMA) ** 2).sum(axis=1)
    return profile


def _spread(pixels: Pixels, levels: Pixels, *, shifted: bool = False) -> None:
    """Copy mono levels into the pixels; of RGB each colour is a shifted or fainter copy."""
    if pixels.ndim == 2:
        pixels[...] = levels
        return
    for colour in range(3):
        pixels[..., colour] = np.roll(levels, 8 * colour, 1) if shifted else levels / (colour + 1)
