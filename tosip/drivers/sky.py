"""A simulated sky: star fields, and frames of them as a telescope would take them.

A `StarField` is a patch of sky; `expose` takes a frame of it through a `Telescope` under some
`Conditions`, and says with it what the truth was, so that a measurement can be held against it.

The image of a star is that of an obstructed pupil (a disc with a hole, as wide as the defocus)
blurred by seeing and by the pixel: a spot in focus, a donut far from it (`sky_psf`). Its half-flux
diameter is exactly sqrt(h0^2 + k^2 (z - z0)^2), which is how it is measured to go on real
telescopes. It is computed once per exposure on an eighth-of-a-pixel grid, and each star gets a copy
of it, with its own photon noise. The noise of the sky comes from one long row of random numbers
that is made once per process; each row of a frame starts somewhere else in it. So a frame costs not
much more than writing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from astropy.io import fits

from tosip.drivers.sky_psf import PHASES, Psf, make_psf

Frame = np.ndarray[Any, np.dtype[np.uint16]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
_Noise = np.ndarray[Any, np.dtype[np.float32]]

FULL_WELL = 65535
_STARS_PER_PIXEL = 300 / 1024**2
_NOISE_LENGTH = 1 << 22
_ROWS = 16  # at a time: they stay in the processor's cache
_COSMIC_RAY_LENGTH = 12
_MOST_ASTIGMATISM = 0.6
_FITS_BLOCK = 2880


@dataclass(frozen=True)
class StarField:
    """Stars of one camera's field: positions (pixels, x along columns, y along rows) and flux.

    The centre of the first pixel is (0, 0). `flux` is the whole light of a star in one exposure
    under a clear sky, in ADU. Hot pixels belong to the detector and stay where they are: rows,
    columns and ADU.
    """

    shape: tuple[int, int]
    x: Floats
    y: Floats
    flux: Floats
    hot_pixels: Floats = field(default_factory=lambda: np.empty((0, 3)))

    @classmethod
    def random(
        cls,
        shape: tuple[int, int],
        seed: int,
        *,
        stars: int | None = None,
        faintest: float = 2000.0,
        brightest: float = 3e6,
        hot_pixels: int = 0,
    ) -> StarField:
        """Scatter stars whose numbers grow as towards fainter stars of the Milky Way.

        The number of stars brighter than a flux goes as flux^-0.75 (0.3 dex per magnitude) between
        `faintest` and `brightest`. Without `stars` there are 300 per 1024x1024 pixels. Positions
        lie on a grid of 1/8 pixel, on which they are drawn without error.
        """
        rng = np.random.default_rng(seed)
        count = round(shape[0] * shape[1] * _STARS_PER_PIXEL) if stars is None else stars
        low, high = (brightest / faintest) ** -0.75, 1.0
        flux = faintest * rng.uniform(low, high, count) ** (-1 / 0.75)
        x = rng.integers(0, shape[1] * PHASES, count) / PHASES
        y = rng.integers(0, shape[0] * PHASES, count) / PHASES
        hot = rng.uniform((0, 0, 2000), (*shape, 30000), (hot_pixels, 3))
        return cls(shape, x, y, np.sort(flux)[::-1], hot)


@dataclass(frozen=True)
class Telescope:
    """The optics and the detector.

    `pixel_scale` in arcsec per pixel; `best_focus` in steps of the focus motor; `slope` is how the
    half-flux diameter grows with defocus, in pixels per step; `floor` is the half-flux diameter in
    focus without seeing, in pixels; `obstruction` the hole's part of the pupil's diameter; `gain`
    in electrons per ADU; `read_noise` in electrons; `bias` in ADU. `astigmatism` is the ellipticity
    e2 that a defocus of one step adds (it changes sign through focus), up to 0.6.
    """

    pixel_scale: float = 1.47
    best_focus: float = 8000.0
    slope: float = 0.0735
    floor: float = 1.8
    obstruction: float = 0.45
    gain: float = 1.5
    read_noise: float = 8.0
    bias: float = 1000.0
    astigmatism: float = 0.0


@dataclass(frozen=True)
class Conditions:
    """What differs from one exposure to the next.

    `focus` in motor steps; `seeing` is its FWHM in arcsec; `sky` in ADU per pixel; `gradient` is
    the change of the sky over the whole frame, as a part of it, along x and along y; `transparency`
    is the part of the starlight that passes the clouds; `ellipticity` is (e1, e2) as `make_psf`
    takes them; `trail` is how far stars move during the exposure, in pixels along x and y.
    """

    focus: float = 8000.0
    seeing: float = 1.8
    sky: float = 800.0
    gradient: tuple[float, float] = (0.0, 0.0)
    transparency: float = 1.0
    ellipticity: tuple[float, float] = (0.0, 0.0)
    trail: tuple[float, float] = (0.0, 0.0)
    cosmic_rays: int = 0


@dataclass(frozen=True)
class Truth:
    """What a perfect measurement of the frame would find.

    `hfd` is the half-flux diameter of the stars' image, pixel included, in pixels (before
    ellipticity and trail). The stars are in the order of decreasing `flux`, which is in ADU as it
    arrived; `saturated` tells which of them reach the full well.
    """

    hfd: float
    ellipticity: tuple[float, float]
    x: Floats
    y: Floats
    flux: Floats
    saturated: np.ndarray[Any, np.dtype[np.bool_]]


_TELESCOPE = Telescope()
_CONDITIONS = Conditions()


def half_flux_diameter(telescope: Telescope, conditions: Conditions) -> float:
    """Return the half-flux diameter in pixels, pixel included, without ellipticity and trail.

    sqrt(h0^2 + k^2 (z - z0)^2); h0 adds floor and seeing in quadrature. The half-flux diameter of a
    Gaussian is its FWHM.
    """
    seeing = conditions.seeing / telescope.pixel_scale
    defocus = telescope.slope * (conditions.focus - telescope.best_focus)
    return float(np.sqrt(telescope.floor**2 + seeing**2 + defocus**2))


def expose(
    stars: StarField,
    conditions: Conditions = _CONDITIONS,
    telescope: Telescope = _TELESCOPE,
    *,
    seed: int = 0,
) -> tuple[Frame, Truth]:
    """Take a frame of `stars`: a uint16 array of their field's shape in ADU, and the truth of it.

    The same arguments give the same frame.
    """
    rng = np.random.default_rng(seed)
    hfd = half_flux_diameter(telescope, conditions)
    e1, e2 = conditions.ellipticity
    astigmatism = telescope.astigmatism * (conditions.focus - telescope.best_focus)
    e2 += float(np.clip(astigmatism, -_MOST_ASTIGMATISM, _MOST_ASTIGMATISM))
    in_focus = float(np.hypot(telescope.floor, conditions.seeing / telescope.pixel_scale))
    psf = make_psf(in_focus, hfd, telescope.obstruction, (e1, e2), conditions.trail)
    frame = _sky(stars.shape, conditions, telescope, rng)
    flux = stars.flux * conditions.transparency
    _add_stars(frame, psf, stars, flux, telescope.gain, rng)
    for row, column, level in stars.hot_pixels:
        frame[int(row), int(column)] = min(FULL_WELL, frame[int(row), int(column)] + int(level))
    _add_cosmic_rays(frame, conditions.cosmic_rays, rng)
    saturated = flux * psf.peak + conditions.sky + telescope.bias >= FULL_WELL
    return frame, Truth(hfd, (e1, e2), stars.x, stars.y, flux, saturated)


def fits_bytes(frame: Frame, header: Mapping[str, bool | int | float | str]) -> bytes:
    """Return a 16-bit FITS file (BZERO 32768) of a uint16 frame and the keywords of `header`."""
    cards = fits.Header([("SIMPLE", True), ("BITPIX", 16), ("NAXIS", frame.ndim)])
    for axis, length in enumerate(reversed(frame.shape), 1):
        cards[f"NAXIS{axis}"] = length
    cards.update(BSCALE=1, BZERO=32768)
    for keyword, value in header.items():
        cards[keyword] = value
    data = (frame ^ np.uint16(0x8000)).astype(">u2")
    padding = b"\0" * (-data.nbytes % _FITS_BLOCK)
    return b"".join((cards.tostring().encode("ascii"), data.tobytes(), padding))


@cache
def _noise() -> _Noise:
    return np.random.default_rng(1).standard_normal(_NOISE_LENGTH, np.float32)


def _sky(
    shape: tuple[int, int], conditions: Conditions, telescope: Telescope, rng: np.random.Generator
) -> Frame:
    rows, columns = shape
    noise, frame = _noise(), np.empty(shape, np.uint16)
    starts = rng.integers(0, noise.size - _ROWS * columns, -(-rows // _ROWS))
    along_x = 1 + conditions.gradient[0] * np.linspace(-0.5, 0.5, columns)
    along_y = conditions.gradient[1] * np.linspace(-0.5, 0.5, len(starts))
    for row, start, tilt in zip(range(0, rows, _ROWS), starts, along_y, strict=True):
        part = frame[row : row + _ROWS]
        level = conditions.sky * (along_x + tilt)
        sigma = np.sqrt(level.clip(0) * telescope.gain + telescope.read_noise**2) / telescope.gain
        values = noise[start : start + part.size].reshape(part.shape) * sigma.astype(np.float32)
        values += (level + telescope.bias + 0.5).astype(np.float32)  # 0.5: truncated, not rounded
        np.clip(values, 0, FULL_WELL, out=values)
        part[...] = values
    return frame


def _add_stars(
    frame: Frame, psf: Psf, stars: StarField, flux: Floats, gain: float, rng: np.random.Generator
) -> None:
    """Add a copy of the star image, with its photon noise, at each star's place."""
    size, noise = psf.size, _noise()
    px, py = np.rint(stars.x * PHASES).astype(int), np.rint(stars.y * PHASES).astype(int)
    corners = zip(
        (py // PHASES - size // 2).tolist(), (px // PHASES - size // 2).tolist(), strict=True
    )
    phases = zip((py % PHASES).tolist(), (px % PHASES).tolist(), strict=True)
    starts = rng.integers(0, noise.size - size * size, len(flux)).tolist()
    rows, columns = frame.shape
    for (top, left), phase, start, light in zip(
        corners, phases, starts, flux.tolist(), strict=True
    ):
        y0, y1, x0, x1 = max(top, 0), min(top + size, rows), max(left, 0), min(left + size, columns)
        if y0 >= y1 or x0 >= x1:
            continue
        inside = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        stamp = psf.images[phase] * np.float32(light)
        shot = psf.roots[phase] * noise[start : start + size * size].reshape(size, size)
        stamp += shot * np.float32((light / gain) ** 0.5)
        target = frame[y0:y1, x0:x1]
        total = stamp[inside] + target + np.float32(0.5)
        target[...] = total.clip(0, FULL_WELL)


def _add_cosmic_rays(frame: Frame, count: int, rng: np.random.Generator) -> None:
    """Draw short straight tracks, one pixel wide."""
    for _ in range(count):
        row, column = rng.uniform(0, frame.shape[0]), rng.uniform(0, frame.shape[1])
        angle, length = rng.uniform(0, np.pi), int(rng.integers(1, _COSMIC_RAY_LENGTH))
        rows = np.rint(row + np.arange(length) * np.sin(angle)).astype(int) % frame.shape[0]
        columns = np.rint(column + np.arange(length) * np.cos(angle)).astype(int) % frame.shape[1]
        light = rng.uniform(1000, 30000)
        frame[rows, columns] = np.minimum(frame[rows, columns] + light, FULL_WELL)
