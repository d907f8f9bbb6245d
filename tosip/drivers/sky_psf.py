"""The image of a star, in and out of focus, as the detector's pixels see it.

It is built in the Fourier domain, where blurs multiply: the pupil's ring (a difference of two
discs), a Gaussian for seeing and optics, the pixel, a trail. Ellipticity stretches the frequencies.
The half-flux diameter of a round image follows from its transform alone (a Hankel transform), so
the width of the ring that gives a wanted diameter is found by bisection, and no image is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import j1

PHASES = 8
_Floats = np.ndarray[Any, np.dtype[np.float64]]
_Stamps = np.ndarray[Any, np.dtype[np.float32]]

_FWHM = 2 * np.sqrt(2 * np.log(2))  # of a Gaussian, in sigmas
_PIXEL_SIGMA = 12**-0.5  # of a square of side 1


@dataclass(frozen=True)
class Psf:
    """The image of a star of flux 1 at each sub-pixel position.

    `images[i, j]` is that of a star i/8 of a pixel below and j/8 right of the centre of the stamp's
    pixel (size // 2, size // 2); `roots` holds the square roots, for photon noise; `peak` is the
    highest pixel of a centred one.
    """

    images: _Stamps
    roots: _Stamps

    @property
    def size(self) -> int:
        """The stamp's side in pixels."""
        return int(self.images.shape[2])

    @property
    def peak(self) -> float:
        """The part of the light in the brightest pixel of a star at a pixel's centre."""
        return float(self.images[0, 0].max())


@lru_cache(maxsize=4)
def make_psf(
    in_focus: float,
    hfd: float,
    obstruction: float,
    ellipticity: tuple[float, float],
    trail: tuple[float, float],
) -> Psf:
    """Return the star image with half-flux diameter `hfd`, which in focus is `in_focus` (pixels).

    Both include the pixel. `ellipticity` stretches the image without changing its area: e1 is
    (Ixx - Iyy) / (Ixx + Iyy), e2 is 2 Ixy / (Ixx + Iyy) of its second moments. `trail` smears it
    along x and y, in pixels.
    """
    sigma = max(in_focus / _FWHM, _PIXEL_SIGMA)
    radius = _ring_radius(sigma, hfd, obstruction)
    stretch = 1 / np.sqrt(max(1 - float(np.hypot(*ellipticity)), 0.1))
    reach = (4.5 * sigma + radius) * stretch + float(np.hypot(*trail)) / 2
    size = 2 * int(np.ceil(reach)) + 4
    fine = size * PHASES
    fy: _Floats = np.fft.fftfreq(fine, 1 / PHASES)[:, np.newaxis].astype(np.float64)
    fx: _Floats = np.fft.rfftfreq(fine, 1 / PHASES)[np.newaxis].astype(np.float64)
    # The pixel is part of sigma, as it is part of the half-flux diameter.
    spectrum = _transform(_stretched(fx, fy, ellipticity), sigma, radius, obstruction)
    image = np.fft.irfft2(spectrum * np.sinc(fx * trail[0] + fy * trail[1]), s=(fine, fine)).clip(0)
    # Where the pixels of a star at each phase lie in the fine image, whose centre is at (0, 0).
    pixels = (np.arange(size) - size // 2) * PHASES - np.arange(PHASES)[:, np.newaxis]
    images = image[pixels[:, np.newaxis, :, np.newaxis], pixels[np.newaxis, :, np.newaxis, :]]
    images /= images.sum(axis=(2, 3), keepdims=True)
    return Psf(images.astype(np.float32), np.sqrt(images).astype(np.float32))


def _stretched(fx: _Floats, fy: _Floats, ellipticity: tuple[float, float]) -> _Floats:
    """Return the radial frequencies seen by an image that is stretched along its major axis."""
    size = float(np.hypot(*ellipticity))
    angle = np.arctan2(ellipticity[1], ellipticity[0]) / 2
    ratio = np.sqrt((1 + size) / max(1 - size, 0.1))
    along = (fx * np.cos(angle) + fy * np.sin(angle)) * np.sqrt(ratio)
    across = (fy * np.cos(angle) - fx * np.sin(angle)) / np.sqrt(ratio)
    radial: _Floats = np.hypot(along, across)
    return radial


def _transform(frequency: _Floats, sigma: float, radius: float, obstruction: float) -> _Floats:
    """Return the Fourier transform of a ring of `radius` blurred by a Gaussian of `sigma`."""
    blur: _Floats = np.exp(-2 * (np.pi * sigma * frequency) ** 2)
    disc = _disc(frequency * radius)
    hole = obstruction**2 * _disc(frequency * radius * obstruction)
    ring: _Floats = (disc - hole) / (1 - obstruction**2)
    image: _Floats = np.multiply(blur, ring)
    return image


def _disc(argument: _Floats) -> _Floats:
    """Return the transform of a disc: 2 J1(x) / x with x = 2 pi f r."""
    x = np.maximum(2 * np.pi * np.abs(argument), 1e-9)
    result: _Floats = 2 * j1(x) / x
    return result


def _ring_radius(sigma: float, hfd: float, obstruction: float) -> float:
    """Return the outer radius of the ring that makes the blurred image's half-flux diameter `hfd`.

    The flux within R of a round image with transform T is 2 pi R times the integral of
    T(f) J1(2 pi f R) df.
    """
    half = hfd / 2
    frequency = np.linspace(0, 5 / (2 * np.pi * sigma), 1500)
    kernel = 2 * np.pi * half * j1(2 * np.pi * frequency * half)

    def excess(radius: float) -> float:
        image = _transform(frequency, sigma, radius, obstruction)
        return float(np.trapezoid(image * kernel, frequency)) - 0.5

    if excess(0) < 1e-4:  # in focus, or so close that the ring is no wider than rounding
        return 0.0
    return float(brentq(excess, 0, 2 * hfd, xtol=1e-4))
