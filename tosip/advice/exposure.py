"""The figures of one exposure, which the advice rests on. Floats are NaN where unknown."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tosip.advice.numbers import finite

STARLESS = ("few stars", "no stars")
AIRMASS_POWER = 0.6  # the width of a star grows as airmass^0.6


class Advice(str, enum.Enum):
    """What the operator should do, or why there is nothing to do."""

    GOOD = "good"
    REFOCUS = "refocus"
    CAMERA = "look at a camera"
    SEEING = "seeing"
    CLOUDS = "clouds"
    NO_DATA = "no data"
    UNKNOWN = "not known yet"


@dataclass(frozen=True)
class CameraExposure:
    """One exposure of one camera.

    `position` of the focus motor in steps; `hfd` in arcsec as measured, with its standard `error`;
    `stars` above a fixed flux, uncapped; `sky` in counts; `extinction` in mag; `outcome` as the
    focus plugin names it. `pointing` names the field of stars and the exposure time: counts of one
    pointing are comparable.
    """

    filter: str = ""
    position: float = math.nan
    hfd: float = math.nan
    error: float = math.nan
    stars: float = math.nan
    sky: float = math.nan
    extinction: float = math.nan
    outcome: str = "good"
    pointing: str = ""

    @property
    def good(self) -> bool:
        """Whether the width can be believed."""
        return self.outcome == "good" and finite(self.hfd) and self.hfd > 0

    @property
    def starless(self) -> bool:
        """Whether the stars are missing."""
        return self.outcome in STARLESS


@dataclass(frozen=True)
class Environment:
    """`temperature` in degC, the monitor's `seeing` (FWHM at the zenith) in arcsec, `airmass`."""

    temperature: float = math.nan
    seeing: float = math.nan
    airmass: float = math.nan

    @property
    def widening(self) -> float:
        """How much wider than at the zenith the air makes stars; 1 where the airmass is unknown."""
        return float(self.airmass**AIRMASS_POWER) if self.airmass >= 1 else 1.0


@dataclass(frozen=True)
class FieldExposure:
    """What all cameras showed in the exposure that began at `time`."""

    time: float
    cameras: Mapping[int, CameraExposure] = field(default_factory=dict)
    environment: Environment = Environment()

    def good(self) -> dict[int, CameraExposure]:
        """Return the cameras with a width."""
        return {number: camera for number, camera in self.cameras.items() if camera.good}

    def area(self, camera: int) -> float:
        """Return a camera's squared width at the zenith in arcsec^2."""
        return float((self.cameras[camera].hfd / self.environment.widening) ** 2)

    def area_error(self, camera: int) -> float:
        """Return the standard error of `area`: the measured one, else 0.4 % of the width."""
        one = self.cameras[camera]
        relative = one.error / one.hfd if one.error > 0 else 0.004
        return 2 * self.area(camera) * max(relative, 0.002)
