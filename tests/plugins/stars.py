"""Small star fields with a known half-flux diameter, pixel included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tosip import Metadata, Result
from tosip.plugins.focus import Figures, Focus, Params

Floats = NDArray[np.float64]
Profile = Callable[[Floats, Floats], Floats]

SKY, NOISE = 1000.0, 20.0
FINE = 6  # subpixels along a pixel's side


def gaussian(fwhm: float, axis_ratio: float = 1.0, diagonal: bool = False) -> Profile:
    sigma = fwhm / 2.3548

    def profile(y: Floats, x: Floats) -> Floats:
        if diagonal:
            y, x = (y - x) / 2**0.5, (y + x) / 2**0.5
        return np.asarray(np.exp(-((y / axis_ratio) ** 2 + x**2) / (2 * sigma**2)))

    return profile


def moffat(fwhm: float, beta: float = 3.5) -> Profile:
    alpha = fwhm / 2 / (2 ** (1 / beta) - 1) ** 0.5
    return lambda y, x: np.asarray((1 + (y**2 + x**2) / alpha**2) ** -beta)


def donut(radius: float, hole: float = 0.4) -> Profile:
    def profile(y: Floats, x: Floats) -> Floats:
        r = np.hypot(y, x)
        return np.asarray(np.clip(radius - r, 0, 1) * np.clip(r - hole * radius, 0, 1))

    return profile


def true_hfd(profile: Profile, half: int = 40) -> float:
    """Return the half-flux diameter (px) of the profile seen through square pixels."""
    odd = 2 * FINE + 1
    at = np.arange(-half * odd, half * odd + 1) / odd
    light = ndimage.uniform_filter(profile(at[:, None], at), odd, mode="constant")
    radius = np.hypot(at[:, None], at).ravel()
    order = np.argsort(radius, kind="stable")
    growth = np.cumsum(light.ravel()[order])
    return 2 * float(np.interp(growth[-1] / 2, growth, radius[order]))


def places(count: int, side: int, seed: int) -> Floats:
    """Scatter stars that keep away from each other and from the edges."""
    rng = np.random.default_rng(seed)
    per_side = int(np.ceil(count**0.5))
    pitch = side / per_side
    grid = np.stack(np.meshgrid(np.arange(per_side), np.arange(per_side)), -1).reshape(-1, 2)
    return np.asarray((grid[:count] + rng.uniform(0.4, 0.6, (count, 2))) * pitch)


@cache
def _clean(profile: Profile, count: int, side: int, half: int, faintest: float) -> Floats:
    frame = np.zeros((side, side))
    rng = np.random.default_rng(7)
    offsets = (np.arange((2 * half + 1) * FINE) + 0.5) / FINE - half - 0.5
    for y, x in places(count, side, 11):
        row, column = round(y), round(x)
        light = profile(offsets[:, None] - (y - row), offsets - (x - column))
        stamp = light.reshape(2 * half + 1, FINE, 2 * half + 1, FINE).sum((1, 3))
        flux = faintest * 10 ** rng.uniform(0, 1)
        frame[row - half : row + half + 1, column - half : column + half + 1] += (
            stamp * flux / stamp.sum()
        )
    return frame


def field(
    profile: Profile,
    *,
    count: int = 100,
    side: int = 768,
    half: int = 24,
    faintest: float = 12_000.0,
    dim: float = 1.0,
    seed: int = 1,
) -> Floats:
    """Draw a frame, (side, side) in counts, not yet rounded, of `count` stars."""
    clean = _clean(profile, count, side, half, faintest) * dim + SKY
    rng = np.random.default_rng(seed)
    return np.asarray(clean + rng.normal(0, 1, clean.shape) * (NOISE**2 + (clean - SKY) / 2) ** 0.5)


def add_cosmic_rays(frame: Floats, count: int, seed: int = 5) -> Floats:
    """Add single hot pixels and straight tracks of two to eight pixels."""
    rng = np.random.default_rng(seed)
    frame = frame.copy()
    for _ in range(count):
        y, x = rng.uniform(10, frame.shape[0] - 10, 2)
        angle, length = rng.uniform(0, 2 * np.pi), rng.integers(1, 9)
        steps = np.arange(length)
        rows = np.rint(y + steps * np.sin(angle)).astype(int)
        columns = np.rint(x + steps * np.cos(angle)).astype(int)
        frame[rows, columns] += rng.uniform(1000, 20_000)
    return frame


def counts(frame: Floats) -> NDArray[np.uint16]:
    return np.rint(frame).clip(0, 65535).astype(np.uint16)


def metadata(port: str = "CAM01", timestamp: float = 0.0) -> Metadata:
    return Metadata(unique_id=1, timestamp=timestamp, port=port, shape=(1, 1), data_type="UInt16")


def measured(
    image: NDArray[Any], attributes: Mapping[str, Any] | None = None, **params: Any
) -> Result[Figures]:
    """Run the focus algorithm on a frame that it cannot write to."""
    image = image.view()
    image.flags.writeable = False
    return Focus().process(image, Params(**params), attributes or {}, metadata())


def figures(
    image: NDArray[Any], attributes: Mapping[str, Any] | None = None, **params: Any
) -> Figures:
    outputs = measured(image, attributes, **params).outputs
    assert isinstance(outputs, Figures)
    return outputs
