"""Who is missing: the cadence of the exposures, and when each camera was last seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tosip.advice.exposure import FieldExposure
from tosip.advice.numbers import finite, middle, remember

INTERVALS = 3  # without a frame, after which a camera is missing


@dataclass
class Presence:
    """`seen` is the time of each camera's last frame, `intervals` between the latest exposures."""

    time: float = math.nan
    intervals: list[float] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)

    def take(self, exposure: FieldExposure) -> None:
        """Take in an exposure."""
        passed = exposure.time - self.time
        if finite(passed) and passed > 0:
            # The pause before a night is no interval.
            usual = self.cadence
            remember(self.intervals, min(passed, 10 * usual) if finite(usual) else passed, 15)
        self.time = exposure.time
        for number, camera in exposure.cameras.items():
            if camera.outcome != "frozen":
                self.seen[str(number)] = exposure.time

    @property
    def cadence(self) -> float:
        """The usual time between exposures in s, NaN before the second one."""
        return middle(self.intervals)

    def limit(self, max_age: float) -> float:
        """Return the age in s that is too old, NaN where unknown."""
        return max_age or INTERVALS * self.cadence

    def overdue(self, now: float, max_age: float) -> float:
        """Return for how long there has been no exposure, NaN if the next is not overdue."""
        age = now - self.time
        return age if age > self.limit(max_age) else math.nan

    def ages(self, now: float) -> dict[int, float]:
        """Return the age in s of each camera's last frame."""
        return {int(number): now - time for number, time in self.seen.items()}

    def missing(self, now: float, max_age: float) -> dict[int, float]:
        """Return the cameras that have been away for too long, and for how long in s."""
        limit = self.limit(max_age)
        return {n: age for n, age in sorted(self.ages(now).items()) if age >= limit > 0}
