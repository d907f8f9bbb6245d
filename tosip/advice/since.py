"""The field since its last focus run: growth of the width, defocus, and time lost.

The growth is the median of the cameras' squared widths less their references. Two witnesses say
how much of it is defocus: the cameras' known offsets, and the seeing monitor. Where both know,
they are weighed by their errors, unless they disagree: then the offsets count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tosip.advice.diversity import Calibration, common_defocus
from tosip.advice.exposure import Environment, FieldExposure
from tosip.advice.gain import Losses
from tosip.advice.monitor import Estimate, Monitor
from tosip.advice.numbers import finite, middle, remember
from tosip.advice.reference import EXPOSURES

DISAGREE = 3.0  # sigma
ANOTHER_DAY = 12 * 3600.0  # s; a longer pause says no more


@dataclass
class InFocus:
    """What the field was like in focus: the first exposures after the run, one value each."""

    time: float = math.nan
    areas: list[float] = field(default_factory=list)
    temperatures: list[float] = field(default_factory=list)
    seeings: list[float] = field(default_factory=list)

    def add(self, time: float, area: float, environment: Environment) -> None:
        """Add an exposure while there are too few."""
        if self.complete:
            return
        self.time = self.time if self.areas else time
        self.areas.append(area)
        self.temperatures.append(environment.temperature)
        self.seeings.append(environment.seeing)

    @property
    def complete(self) -> bool:
        """Whether there are exposures enough."""
        return len(self.areas) >= EXPOSURES

    @property
    def area(self) -> float:
        """The squared width in arcsec^2."""
        return middle(self.areas)

    @property
    def temperature(self) -> float:
        """In degC."""
        return middle(self.temperatures)

    @property
    def seeing(self) -> float:
        """The monitor's, in arcsec."""
        return middle(self.seeings)


@dataclass
class Since:
    """State since the focus run. Areas in arcsec^2; `excess` is the part that is defocus."""

    focus: InFocus = field(default_factory=InFocus)
    monitor: Monitor = field(default_factory=Monitor)
    losses: Losses = field(default_factory=Losses)
    time: float = math.nan
    growth: float = 0.0
    excess: float = math.nan
    error: float = math.inf
    steps: float = math.nan
    latest_steps: list[float] = field(default_factory=list)
    latest_seeing: list[float] = field(default_factory=list)
    disagree: bool = False

    def refocus(self) -> None:
        """Begin anew; the monitor's scale remains known."""
        self.monitor.refocus()
        fresh = Since(monitor=self.monitor, time=self.time)
        self.__dict__.update(fresh.__dict__)

    @property
    def area(self) -> float:
        """The present squared width at the zenith."""
        return max(self.focus.area + self.growth, 0.01 * self.focus.area)

    @property
    def ratio(self) -> float:
        """The present width relative to that in focus."""
        return math.sqrt(max(self.area / self.focus.area, 0.0)) if self.focus.areas else math.nan

    @property
    def share(self) -> float:
        """The share of the observing time that defocus costs at present; 0 where unknown."""
        return min(max(self.excess, 0.0) / self.area, 0.999) if finite(self.excess) else 0.0

    @property
    def share_error(self) -> float:
        """Its standard error."""
        return self.error / self.area

    @property
    def explained(self) -> float:
        """The part of the growth that is seeing, as far as is known."""
        return self.growth - self.excess if finite(self.excess) else self.growth

    def filter_factor(self, areas: Iterable[float]) -> float:
        """Return how much larger squared widths in focus are in this filter than at focus.

        `areas` are those of an exposure, or the references of this filter. Seeing and its changes
        are larger by the same factor.
        """
        return middle(areas) / self.focus.area if self.focus.areas else 1.0

    def learn(self, exposure: FieldExposure) -> None:
        """Take in one of the first exposures after the run."""
        area = middle(exposure.area(camera) for camera in exposure.good())
        self.focus.add(exposure.time, area, exposure.environment)
        remember(self.latest_seeing, exposure.environment.seeing)
        if self.focus.complete:
            seeings = [one for one in self.focus.seeings if one > 0]
            self.monitor.begin([one**2 / self.focus.area for one in seeings])
        self.losses.add(self._passed(exposure), 0.0)

    def take(
        self,
        exposure: FieldExposure,
        growth: Mapping[int, float],
        error: float,
        carried: float,
        field_of: Reading,
    ) -> None:
        """Take in an exposure: the cameras' `growth`, each to `error`, and all to `carried`."""
        self.growth = middle(growth.values())
        self._read(exposure, self.growth, 1.25 * error / len(growth) ** 0.5)
        area = self.focus.area
        monitor = self.monitor.estimate()
        witness = Estimate(monitor.excess * area, monitor.error * area)
        known = self._offsets_say(exposure, growth, error, field_of)
        self.disagree = abs(witness.excess - known.excess) > DISAGREE * math.hypot(
            witness.error, known.error
        )
        both = [known] if self.disagree else [one for one in (known, witness) if known_of(one)]
        self.excess, error = weighed(both)
        self.error = math.hypot(error, carried)
        self.losses.add(self._passed(exposure), self.share)

    def _passed(self, exposure: FieldExposure) -> float:
        """Return the seconds since the exposure before."""
        passed = exposure.time - self.time if finite(self.time) else 0.0
        self.time = exposure.time
        return passed

    def _read(self, exposure: FieldExposure, growth: float, error: float) -> None:
        passed = exposure.time - self.time if finite(self.time) else 0.0
        self.monitor.predict(min(max(passed, 0.0), ANOTHER_DAY) / 3600)
        seeing, area = exposure.environment.seeing, self.focus.area
        remember(self.latest_seeing, seeing)
        if seeing > 0 and area > 0:
            self.monitor.update(seeing**2 / area, growth / area, error / area)

    def _offsets_say(
        self, exposure: FieldExposure, growth: Mapping[int, float], error: float, field_of: Reading
    ) -> Estimate:
        slope, offsets = field_of.slope, field_of.offsets(exposure)
        found = common_defocus(growth, offsets, slope, error)
        remember(self.latest_steps, found.steps)
        self.steps = middle(self.latest_steps)
        if not (finite(self.steps) and finite(found.steps)):
            self.steps = math.nan
            return Estimate()
        excess = slope**2 * self.steps**2
        return Estimate(excess, 2 * slope**2 * max(abs(self.steps), 1.0) * found.error)

    def plain(self) -> dict[str, Any]:
        """Return the state as JSON knows it."""
        parts = {"focus": asdict(self.focus), "losses": asdict(self.losses)}
        return {**self.__dict__, **parts, "monitor": self.monitor.plain()}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Since:
        """Return what `plain` has described."""
        parts = {
            "focus": InFocus(**plain["focus"]),
            "monitor": Monitor.of(plain["monitor"]),
            "losses": Losses(**plain["losses"]),
        }
        return cls(**{**plain, **parts})


@dataclass(frozen=True)
class Reading:
    """How the field's defocus is read: the calibration, or the site's `slope` without one."""

    calibration: Calibration
    site_slope: float

    @property
    def slope(self) -> float:
        """Width in arcsec per step of defocus."""
        return self.calibration.slope if self.calibration.slope > 0 else self.site_slope

    def offsets(self, exposure: FieldExposure) -> dict[int, float]:
        """Return how far each camera's best focus is from the mean, at its motor's position."""
        best = self.calibration.best
        apart = {
            number: best[number] - camera.position
            for number, camera in exposure.cameras.items()
            if number in best and finite(camera.position)
        }
        centre = sum(apart.values()) / len(apart) if apart else 0.0
        return {number: offset - centre for number, offset in apart.items()}


def known_of(one: Estimate) -> bool:
    """Return whether an estimate says anything."""
    return finite(one.excess) and finite(one.error)


def weighed(estimates: list[Estimate]) -> tuple[float, float]:
    """Return the mean weighed by the errors, and its error; NaN and infinity of none."""
    if not estimates:
        return math.nan, math.inf
    weights = [1 / max(one.error, 1e-6) ** 2 for one in estimates]
    total = sum(weights)
    mean = sum(w * one.excess for w, one in zip(weights, estimates)) / total
    return mean, total**-0.5
