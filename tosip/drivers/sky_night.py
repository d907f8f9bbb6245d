"""A simulated night: how temperature, seeing and each camera's focus wander.

All is a function of the time since the night began and of the seed, without state, so that any
exposure can be made at any moment and again. The air cools and swings slowly, seeing wanders, and
the telescope's best focus follows the temperature, for each camera from a place of its own. The
night begins with a focus run: for one exposure the focus motors stand elsewhere. Then they stay at
the best focus of that moment: so the cameras go out of focus.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from math import pi

import numpy as np

from tosip.drivers.sky import FULL_WELL, Conditions, Frame, StarField, Telescope, expose, fits_bytes

EXPOSURE = 40.0  # seconds; the night goes on by one exposure from frame to frame

_DEGREES_PER_HOUR = -0.8
_STEPS_PER_DEGREE = 35.0
_OFFSET_STEPS = 6.0
_HOUR = 3600.0
_STARS = 250
_BEFORE_FOCUS = 20  # steps off, in the first exposure


@dataclass(frozen=True)
class Air:
    """Ambient temperature in degrees Celsius, seeing (FWHM, zenith) in arcsec, and the air mass."""

    temperature: float
    seeing: float
    airmass: float

    @property
    def seeing_here(self) -> float:
        """The seeing at this air mass, in arcsec."""
        return float(self.seeing * self.airmass**0.6)


class Night:
    """Weather and focus of one night. `night.air(3600.0)` is the air an hour after it began."""

    def __init__(self, seed: int) -> None:
        self._phases = np.random.default_rng((seed, 0)).uniform(0, 2 * pi, 6)

    def air(self, seconds: float) -> Air:
        """Return the air at `seconds` after the night began."""
        hours = seconds / _HOUR
        swings = np.sin(2 * pi * hours / np.array([5.0, 0.9, 1.7, 0.5, 0.21, 0.09]) + self._phases)
        temperature = 12.0 + _DEGREES_PER_HOUR * hours + float(swings[:2] @ [1.0, 0.25])
        seeing = 1.8 * float(np.exp(swings[2:] @ [0.16, 0.08, 0.05, 0.03]))
        return Air(round(temperature, 2), round(seeing, 2), round(1.1 + 0.02 * hours, 3))

    def best_focus(self, camera: int, seconds: float) -> float:
        """Return the best focus of a camera in steps of its motor."""
        offset = np.random.default_rng((camera, 7)).normal(0, _OFFSET_STEPS)
        drift = self.air(seconds).temperature - self.air(0.0).temperature
        return float(Telescope.best_focus + offset + _STEPS_PER_DEGREE * drift)


@dataclass(frozen=True)
class Camera:
    """One camera under a night's sky: its field, its motor's position, its frames as FITS files."""

    number: int
    size: int
    seed: int
    night: Night

    @cached_property
    def field(self) -> StarField:
        """The stars that this camera sees all night."""
        seed = self.seed * 1000 + self.number
        shape = (self.size, self.size)
        stars = max(_STARS, round(_STARS * (self.size / 1024) ** 2))
        return StarField.random(shape, seed, stars=stars, hot_pixels=self.size // 64)

    def motor(self, count: int) -> int:
        """Return where the focus motor stands in exposure `count`: from 2 on, in focus."""
        return round(Telescope.best_focus) + (_BEFORE_FOCUS if count == 1 else 0)

    def frame(self, count: int) -> Frame:
        """Return exposure `count` (from 1) as pixels."""
        seconds = (count - 1) * EXPOSURE
        telescope = replace(Telescope(), best_focus=self.night.best_focus(self.number, seconds))
        conditions = Conditions(
            focus=self.motor(count),
            seeing=self.night.air(seconds).seeing_here,
            gradient=(0.01, 0.02),
            cosmic_rays=self.size // 64,
        )
        seed = (self.seed * 100 + self.number) * 1_000_000 + count
        return expose(self.field, conditions, telescope, seed=seed)[0]

    def fits(self, count: int, start: datetime) -> bytes:
        """Return exposure `count` as a FITS file that began at `start` (UTC)."""
        began = start.strftime("%Y-%m-%dT%H:%M:%S.") + f"{start.microsecond // 1000:03d}"
        header = {"DATE-OBS": began, "TIMESYS": "UTC", **self.keywords(count)}
        return fits_bytes(self.frame(count), header)

    def keywords(self, count: int) -> dict[str, bool | int | float | str]:
        """Return the header keywords of exposure `count` but for its time."""
        air = self.night.air((count - 1) * EXPOSURE)
        return {
            "EXPTIME": EXPOSURE,
            "INSTRUME": "NEOSTED simulation",
            "CAMERA": self.number,
            "OBJECT": f"simulated field {self.number:02d}",
            "FILTER": "clear",
            "FOCUSPOS": self.motor(count),
            "AMBTEMP": air.temperature,
            "SEEING": air.seeing,
            "AIRMASS": air.airmass,
            "PIXSCALE": Telescope.pixel_scale,
            "SATURATE": FULL_WELL,
        }
