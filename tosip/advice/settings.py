"""What the site and its operators set for the advice."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tosip.advice.diversity import Calibration


@dataclass(frozen=True)
class Settings:
    """Limits and costs.

    `cost` of a focus run in s; `quality`, the loss of depth in mag that calls for a run whatever
    it gains; `slope`, width in arcsec per step of defocus; `dead_band` of the motor's position in
    steps; `camera_ratio` to the field above which a camera is off;
    `night_end` in Unix seconds, NaN where unknown; `max_age` in s, 0 for three exposures.
    """

    cost: float = 600.0
    quality: float = 0.3
    slope: float = 0.108
    dead_band: float = 1.0
    camera_ratio: float = 1.05
    night_end: float = math.nan
    max_age: float = 0.0
    calibration: Calibration = field(default_factory=Calibration)
