"""Whole nights of figures, without pixels: seeing, drift and a monitor with its faults."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tosip.advice.adviser import Advised, Adviser
from tosip.advice.exposure import Advice, CameraExposure, Environment, FieldExposure
from tosip.advice.settings import Settings

PX = 1.47  # arcsec
OPTICS = 1.8 * PX  # arcsec
SLOPE = 0.0735 * PX  # arcsec per step
CAMERAS = range(1, 17)
INTERVAL = 45.0  # s
START = 1_795_300_000.0


def constant(hours: float) -> float:
    return 1.8


def wandering(hours: float) -> float:
    slow, fast = math.sin(2 * math.pi * hours / 3.1), math.sin(2 * math.pi * hours / 0.4)
    return 1.8 * math.exp(0.30 * slow + 0.06 * fast)


@dataclass
class Night:
    """One night; `monitor(seeing, rng)` is the monitor's reading."""

    drift: float = 0.0
    start: float = 0.0
    seeing: Callable[[float], float] = constant
    monitor: Callable[[float, random.Random], float] = lambda seeing, rng: seeing
    offset_sigma: float = 0.0
    noise: float = 0.004
    own: Callable[[int, float], float] = lambda camera, hours: 1.0
    change: Callable[[int, float, CameraExposure], CameraExposure] = lambda c, h, one: one
    settings: Settings = field(default_factory=Settings)
    seed: int = 0
    adviser: Adviser = field(default_factory=Adviser)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.offsets = {c: self.rng.gauss(0, self.offset_sigma) for c in CAMERAS}
        self.floors = {c: OPTICS * (1 + self.rng.gauss(0, 0.05)) for c in CAMERAS}

    def width(self, camera: int, hours: float) -> float:
        defocus = SLOPE * (self.start + self.drift * hours - self.offsets[camera])
        exact = math.hypot(self.floors[camera], self.seeing(hours), defocus)
        return exact * self.own(camera, hours)

    def exposure(self, hours: float) -> FieldExposure:
        seen = {}
        for camera in CAMERAS:
            hfd = self.width(camera, hours) * (1 + self.rng.gauss(0, self.noise))
            one = CameraExposure("clear", 8000.0, hfd, self.noise * hfd, stars=400.0)
            seen[camera] = self.change(camera, hours, one)
        reading = self.monitor(self.seeing(hours), self.rng)
        return FieldExposure(START + hours * 3600, seen, Environment(10.0, reading, 1.0))

    def ratio(self, hours: float, at: float = 0.0) -> float:
        """Return the width relative to that in focus that defocus alone makes."""
        floor = OPTICS**2 + at**2 if at else OPTICS**2 + self.seeing(hours) ** 2
        return math.sqrt(1 + (SLOPE * self.drift * hours) ** 2 / floor)

    def play(self, hours: float = 9.0, begin: float = 0.0) -> list[tuple[float, Advised]]:
        """Return (hour, advice) of each exposure."""
        count = int(hours * 3600 / INTERVAL)
        times = [begin + index * INTERVAL / 3600 for index in range(count)]
        return [(t, self.adviser.observe(self.exposure(t), self.settings)) for t in times]


def first(played: list[tuple[float, Advised]], advice: Advice) -> float | None:
    """Return the hour at which the advice was first given."""
    return next((hours for hours, advised in played if advised.advice is advice), None)


MONITORS: dict[str, Callable[[float, random.Random], float]] = {
    "exact": lambda seeing, rng: seeing,
    "noisy": lambda seeing, rng: seeing * (1 + rng.gauss(0, 0.1)),
    "low": lambda seeing, rng: 0.8 * seeing,
    "high": lambda seeing, rng: 1.2 * seeing,
    "missing": lambda seeing, rng: math.nan,
}
