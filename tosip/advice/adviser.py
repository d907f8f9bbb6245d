"""The advice: one answer from one exposure after the other.

The questions are asked in this order: is there data, are there clouds, is there a reference, did
all cameras change in common (and is that defocus), and only then, is it a single camera. What holds
in 3 of the latest 5 exposures counts. Under clouds nothing is learnt.

    adviser = Adviser()
    adviser.focus_done()
    advised = adviser.observe(exposure, Settings())
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from tosip.advice.clouds import THIN, ClearCounts
from tosip.advice.exposure import Advice, FieldExposure
from tosip.advice.gain import magnitudes
from tosip.advice.groups import apart
from tosip.advice.numbers import finite, held, middle, remember
from tosip.advice.presence import Presence
from tosip.advice.reference import CARRIED, References
from tosip.advice.settings import Settings
from tosip.advice.since import Reading, Since
from tosip.advice.texts import Told, sentence

FEWEST = 3  # cameras that make a field
SURE = 2.0  # standard errors that a gain must be above 0
CLOUDED = 0.25  # of the cameras; fewer are those cameras' fault
BY_SEEING = 1.05  # width relative to focus that is worth a word
HYSTERESIS = 0.01
MOSTLY = 0.65  # of the growth; beyond, it is defocus, and below the rest it is seeing


@dataclass(frozen=True)
class Advised:
    """The advice with its sentence and figures; floats are NaN where unknown.

    Widths in arcsec, `steps` of defocus, `loss` in mag, `lost` share of time, `gain` in s.
    `ratios` of the cameras to the field and `own` to their reference hold 3 of the latest 5.
    """

    advice: Advice = Advice.UNKNOWN
    text: str = ""
    time: float = math.nan
    ratio: float = math.nan
    excess: float = math.nan
    excess_error: float = math.nan
    steps: float = math.nan
    loss: float = math.nan
    lost: float = math.nan
    gain: float = math.nan
    gain_error: float = math.nan
    extinction: float = math.nan
    cameras: tuple[int, ...] = ()
    ratios: Mapping[int, float] = field(default_factory=dict)
    own: Mapping[int, float] = field(default_factory=dict)


@dataclass
class Windows:
    """The latest exposures, one number each: 1 where something is so, 0 where not.

    `dark`: no width; `pays`: a focus run does; `idle`: it would not by far; `wide`: by seeing;
    `off`: this camera is.
    """

    dark: list[float] = field(default_factory=list)
    extinction: list[float] = field(default_factory=list)
    pays: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    wide: list[float] = field(default_factory=list)
    ratios: dict[str, list[float]] = field(default_factory=dict)
    own: dict[str, list[float]] = field(default_factory=dict)
    off: dict[str, list[float]] = field(default_factory=dict)

    def forget(self) -> None:
        """Forget what was compared with a reference that is no longer valid."""
        self.__dict__.update(Windows(self.dark, self.extinction).__dict__)

    def forget_camera(self, camera: int) -> None:
        """Forget the same of one camera."""
        for windows in (self.ratios, self.own, self.off):
            windows.pop(str(camera), None)


class Adviser:
    """Takes in exposures and gives advice."""

    def __init__(self) -> None:
        self.references = References()
        self.since = Since()
        self.presence = Presence()
        self._clear = ClearCounts()
        self._windows = Windows()
        self._refocus = False
        self._off: list[int] = []
        self._advice = Advice.UNKNOWN
        self._began = math.nan

    def focus_done(self) -> None:
        """Take the next exposures as the reference of all cameras."""
        self.references.forget()
        self.since.refocus()
        self._windows.forget()
        self._refocus, self._off = False, []

    def observe(self, exposure: FieldExposure, settings: Settings) -> Advised:
        """Take in the next exposure."""
        self.presence.take(exposure)
        self._follow_motors(exposure, settings)
        clear = self._sky(exposure)
        gain = (math.nan, math.nan)
        if clear:
            gain = self._compare(exposure, settings)
        return self._advised(exposure, settings, gain)

    def silent(self, now: float, settings: Settings) -> Advised | None:
        """Return `no data` if exposures are overdue at `now`, else None."""
        age = self.presence.overdue(now, settings.max_age)
        if not finite(age):
            return None
        self._change(Advice.NO_DATA, now - age)
        text = f"no data: no frame of any camera for {age:.0f} s"
        return Advised(Advice.NO_DATA, text, now)

    def _follow_motors(self, exposure: FieldExposure, settings: Settings) -> None:
        moved = self.references.moved(exposure, settings.dead_band)
        for camera in moved:
            self.references.forget(camera)
            self._windows.forget_camera(camera)
        if len(self.references.refocused) * 2 > max(len(exposure.cameras), FEWEST):
            self.focus_done()

    def _sky(self, exposure: FieldExposure) -> bool:
        """Return whether the exposure is clear enough to compare and to learn from."""
        windows, cameras = self._windows, exposure.cameras
        lost = {n: self._clear.extinction(n, camera) for n, camera in cameras.items()}
        starless = sum(camera.starless for camera in cameras.values())
        clouded = [value for n, value in lost.items() if value >= THIN or cameras[n].starless]
        good = len(exposure.good())
        few = max(FEWEST, CLOUDED * len(cameras))
        cloudy = starless * 2 >= len(cameras) or len(clouded) > few
        depth = middle(clouded) if cloudy else middle(lost.values())
        if cloudy:
            depth = depth if finite(depth) and starless * 2 < len(cameras) else 5.0
        remember(windows.extinction, max(depth, 0.0) if finite(depth) else 0.0)
        remember(windows.dark, float(good == 0 and not cloudy))
        if cloudy or not good:
            return False
        for number, camera in exposure.good().items():
            if not lost[number] >= THIN:
                self._clear.learn(number, camera)
        return True

    def _compare(self, exposure: FieldExposure, settings: Settings) -> tuple[float, float]:
        """Compare with the reference; return the gain of a focus run and its error in s."""
        good = exposure.good()
        reference = {n: self.references.area(n, exposure) for n in good}
        known = [n for n in good if finite(reference[n])]
        if len(known) < min(max(FEWEST, len(good) / 2), len(exposure.cameras)):
            self._learn(exposure)
            return math.nan, math.nan
        factor = self.since.filter_factor(reference[n] for n in known)
        growth = {n: (exposure.area(n) - reference[n]) / factor for n in known}
        error = 1.1 * middle(exposure.area_error(n) for n in known) / factor
        carried = CARRIED * self.since.focus.area if self.references.carried(exposure) else 0.0
        reading = Reading(settings.calibration, settings.slope)
        self.since.take(exposure, growth, error, carried, reading)
        self._learn(exposure)
        self._compare_cameras(exposure, growth, reference, error, settings)
        return self._weigh(exposure.time, settings)

    def _learn(self, exposure: FieldExposure) -> None:
        """Add to references that are not complete, and to the field's own in focus."""
        since = self.since
        if not self.references.begun:
            return
        grown = 0.0
        if since.focus.complete:
            areas = [exposure.area(n) for n in exposure.good()]
            grown = middle(areas) / max(1 + since.growth / since.focus.area, 0.1) - middle(areas)
        share = since.explained / since.growth if since.growth else 0.0
        self.references.learn(exposure, -grown, -grown * share)
        if not since.focus.complete:
            since.learn(exposure)

    def _compare_cameras(
        self,
        exposure: FieldExposure,
        growth: Mapping[int, float],
        reference: Mapping[int, float],
        error: float,
        settings: Settings,
    ) -> None:
        windows, typical = self._windows, self.since.growth
        reading = Reading(settings.calibration, settings.slope)
        offsets, steps = reading.offsets(exposure), self.since.steps
        shift = 2 * reading.slope**2 * steps if finite(steps) else 0.0
        own = {n: grown + shift * offsets.get(n, 0.0) for n, grown in growth.items()}
        alone = apart(own, error)
        factor = self.since.filter_factor(reference[n] for n in growth)
        for number, grown in growth.items():
            key, area = str(number), reference[number] / factor
            ratio = math.sqrt(max(area + grown, 0.0) / max(area + typical, 0.01 * area))
            remember(windows.ratios.setdefault(key, []), ratio)
            remember(windows.own.setdefault(key, []), math.sqrt(max(area + grown, 0.0) / area))
            limit = settings.camera_ratio - (HYSTERESIS if number in self._off else 0.0)
            # Half of the field may have moved: the others' growth is then the typical one.
            rest = middle(g for n, g in growth.items() if n not in alone)
            apart_ratio = math.sqrt(max(area + grown, 0.0) / max(area + rest, 0.01 * area))
            off = number in alone and apart_ratio > limit
            remember(windows.off.setdefault(key, []), float(off))
        good = exposure.good()
        for number in exposure.cameras:
            if number not in good:
                remember(windows.off.setdefault(str(number), []), 1.0)
        self._off = sorted(int(key) for key, seen in windows.off.items() if held(seen) > 0)

    def _weigh(self, time: float, settings: Settings) -> tuple[float, float]:
        """Decide whether a focus run pays; return its gain and the gain's error in s."""
        since, windows = self.since, self._windows
        rest = settings.night_end - time if finite(settings.night_end) else math.inf
        share, error = since.share, since.share_error
        gain, gain_error = since.losses.gain(share, error, settings.cost, max(rest, 0.0))
        known = finite(since.excess)
        pays = known and gain - SURE * gain_error > 0
        poor = share > SURE * error and magnitudes(share) >= settings.quality
        remember(windows.pays, float(pays or poor))
        idle = gain < -settings.cost / 2 and magnitudes(share) < 0.8 * settings.quality
        remember(windows.idle, float(not known or idle))
        seeing = self._advice is Advice.SEEING
        limit = BY_SEEING - (HYSTERESIS if seeing else 0.0)
        least = since.growth * (MOSTLY if seeing else 1 - MOSTLY)
        defocus = known and since.excess > max(least, SURE * since.error)
        remember(windows.wide, float(since.ratio > limit and not defocus))
        if held(windows.pays) > 0:
            self._refocus = True
        elif held(windows.idle) > 0:
            self._refocus = False
        return (gain, gain_error) if known else (math.nan, math.nan)

    def _answer(self) -> Advice:
        windows = self._windows
        if held(windows.dark) > 0:
            return Advice.NO_DATA
        if held(windows.extinction) >= THIN:
            return Advice.CLOUDS
        if not windows.wide:
            return Advice.UNKNOWN
        if self._refocus:
            return Advice.REFOCUS
        if self._off:
            return Advice.CAMERA
        if held(windows.wide) > 0:
            return Advice.SEEING
        return Advice.GOOD

    def _change(self, advice: Advice, time: float) -> None:
        if advice is not self._advice or not finite(self._began):
            self._advice, self._began = advice, time

    def _advised(
        self, exposure: FieldExposure, settings: Settings, gain: tuple[float, float]
    ) -> Advised:
        windows, since = self._windows, self.since
        advice = self._answer()
        missing = self.presence.missing(exposure.time, settings.max_age)
        if missing and advice in (Advice.GOOD, Advice.SEEING):
            advice = Advice.CAMERA
        self._change(advice, exposure.time)
        compared = bool(windows.wide)
        area = since.excess
        excess = math.copysign(abs(area) ** 0.5, area) if compared and finite(area) else math.nan
        steps = since.steps if finite(since.steps) else abs(excess) / settings.slope
        told = Told(
            advice=advice,
            began=self._began,
            off=tuple(self._off),
            missing=missing,
            own={n: middle(windows.own.get(str(n), [])) for n in exposure.good()},
            gain=gain,
            extinction=held(windows.extinction),
            outcomes=tuple(camera.outcome for camera in exposure.cameras.values()),
        )
        defocused = compared and finite(since.excess)
        return Advised(
            advice=advice,
            text=sentence(told, since, exposure.environment, settings),
            time=exposure.time,
            ratio=since.ratio if compared else math.nan,
            excess=excess,
            excess_error=since.error / max(2 * abs(excess), since.error**0.5 or 1.0)
            if defocused
            else math.nan,
            steps=steps if compared else math.nan,
            loss=magnitudes(since.share) if defocused else math.nan,
            lost=since.share if defocused else math.nan,
            gain=gain[0],
            gain_error=gain[1],
            extinction=windows.extinction[-1],
            cameras=tuple(self._off),
            ratios=_held(windows.ratios, missing),
            own=_held(windows.own, missing),
        )

    def save(self) -> bytes:
        """Return the whole state as JSON."""
        return json.dumps(
            {
                "references": self.references.plain(),
                "since": self.since.plain(),
                "presence": asdict(self.presence),
                "clear": self._clear.counts,
                "windows": asdict(self._windows),
                "refocus": self._refocus,
                "off": self._off,
                "advice": self._advice.value,
                "began": self._began,
            }
        ).encode()

    @classmethod
    def of(cls, state: bytes) -> Adviser:
        """Return the adviser that `save` has described. Raises if another version saved it."""
        plain, made = json.loads(state), cls()
        made.references = References.of(plain["references"])
        made.since = Since.of(plain["since"])
        made.presence = Presence(**plain["presence"])
        made._clear = ClearCounts(plain["clear"])
        made._windows = Windows(**plain["windows"])
        made._refocus, made._off = plain["refocus"], plain["off"]
        made._advice, made._began = Advice(plain["advice"]), plain["began"]
        return made


def _held(windows: Mapping[str, list[float]], missing: Mapping[int, float]) -> dict[int, float]:
    """Return what 3 of the latest 5 exposures reach, of the cameras that are not missing."""
    return {int(key): held(seen) for key, seen in windows.items() if int(key) not in missing}
