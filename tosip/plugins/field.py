"""The whole field's focus, from what the focus plugin found in each camera's frame.

This plugin stands behind all cameras' focus plugins and sees their frames one by one, in any order.
It never looks at pixels: the figures come as attributes. Frames whose time stamps agree belong to
one exposure; a camera's second frame of an exposure replaces its first. Shown is the newest
exposure that has as many cameras as the one before it, so that figures do not jump while frames
are still arriving; a camera that stays away is noticed one exposure later.

Two things are told apart. Common mode: how the half-flux diameters (HFD) of all cameras compare
with their own past, after airmass^0.6 is divided out; it is seeing or common focus. Differential
mode: how one camera compares with the median of the field, each against its own past; it is that
camera's focus, immune to seeing. A camera's past is the running median of its good exposures, by
filter. It learns only from exposures in which the camera agreed with the field, so that a slow
drift is not learnt as normal: press reset after focusing.

Alarms stand on what holds in 3 of the last 5 exposures. Stars missing in half of the cameras at
once are clouds; missing in a few, they are those cameras' fault.
"""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tosip import (
    Alarm,
    Algorithm,
    Inputs,
    Metadata,
    Outputs,
    Result,
    Severity,
    Status,
    command,
    output,
    param,
)

CAMERAS = 16
KEPT = 8  # exposures; late frames of older ones are left out
LATEST, HOLDS = 5, 3  # what holds in 3 of the latest 5 exposures counts
FEWEST = 3  # cameras that make a field, and exposures that make a past
ANOTHER_NIGHT = 3600.0  # s; a frame older by more starts anew, as in a replay
STARLESS = ("few stars", "no stars")


class FieldState(str, enum.Enum):
    """What the field as a whole looks like."""

    ALL_GOOD = "all good"
    ONE_CAMERA = "one camera off"
    SEVERAL_CAMERAS = "several cameras off"
    COMMON_CHANGE = "common change"
    CLOUDS = "clouds"
    NO_DATA = "no data"


class Params(Inputs):
    """What operators set."""

    window: float = param(
        "Time stamps this close are one exposure",
        default=5.0,
        units="s",
        precision=1,
        limits=(0.0, 600.0),
    )
    cameras: int = param("Cameras that should report", default=CAMERAS, limits=(1, CAMERAS))
    camera_keyword: str = param(
        "Keyword of the camera's number\nWithout it, the number at the end of the port's name.",
        default="CAMERA",
        length=40,
    )
    minor_ratio: float = param(
        "A camera this far above the field is off", default=1.05, limits=(1.0, 10.0)
    )
    major_ratio: float = param(
        "A camera this far above is not learnt\nAt first, while it has no past of its own.",
        default=1.15,
        limits=(1.0, 10.0),
    )
    common_ratio: float = param(
        "A field this far above its past changed", default=1.3, limits=(1.0, 10.0)
    )
    past: int = param(
        "Exposures that make a camera's past", default=60, units="exposures", limits=(FEWEST, 1000)
    )
    reset: bool = command("Forget the past of all cameras")


class Figures(Outputs):
    """What operators read; floats are NaN where nothing is known."""

    hfd: float = output(
        "Half-flux diameter, median of the field",
        units="arcsec",
        precision=2,
        limits=(0.0, 15.0),
        alarm=Alarm(high=4.5, hihi=6.0, hysteresis=0.1),
        default=math.nan,
    )
    spread: float = output(
        "Spread of the cameras' HFD\n1.48 times the median deviation, relative to the median.",
        precision=3,
        limits=(0.0, 1.0),
        default=math.nan,
    )
    worst_camera: int = output("Camera farthest above the field\n0: not known", default=0)
    worst_ratio: float = output(
        "Its ratio to the field's median\nIn this exposure; noise of one exposure included.",
        precision=3,
        limits=(0.5, 2.0),
        default=math.nan,
    )
    lasting_camera: int = output(
        "Camera above the field in 3 of 5\nThe farthest; 0: not known", default=0
    )
    lasting_ratio: float = output(
        "Its ratio, reached in 3 of 5 exposures\nThe third largest of the latest five.",
        precision=3,
        limits=(0.5, 2.0),
        alarm=Alarm(high=1.05, hihi=1.15, hysteresis=0.01),
        default=math.nan,
    )
    common: float = output(
        "Field's HFD compared with its past\nSeeing or common focus; at airmass 1.",
        precision=3,
        limits=(0.5, 2.0),
        default=math.nan,
    )
    reporting: int = output("Cameras in this exposure", limits=(0, CAMERAS), default=0)
    good: int = output("Cameras with a good outcome", limits=(0, CAMERAS), default=0)
    missing: int = output("Cameras that did not report", alarm=Alarm(high=1, hihi=8), default=0)
    camera_hfd: NDArray[np.float64] = output(
        "Half-flux diameter of each camera", units="arcsec", precision=2, length=CAMERAS
    )
    camera_ratio: NDArray[np.float64] = output(
        "Each camera's ratio to the field", precision=3, length=CAMERAS
    )
    state: FieldState = output(
        "State of the field",
        default=FieldState.NO_DATA,
        severities={
            FieldState.ONE_CAMERA: Severity.MINOR,
            FieldState.SEVERAL_CAMERAS: Severity.MAJOR,
            FieldState.COMMON_CHANGE: Severity.MINOR,
            FieldState.CLOUDS: Severity.MAJOR,
            FieldState.NO_DATA: Severity.MAJOR,
        },
    )


@dataclass(frozen=True)
class Reading:
    """One camera's frame: HFD (arcsec, NaN unless good), and that at airmass 1."""

    outcome: str
    filter: str
    hfd: float
    zenith_hfd: float

    @property
    def good(self) -> bool:
        """Whether there is a width to believe."""
        return math.isfinite(self.hfd)


@dataclass
class Exposure:
    """The frames that cameras took together; `ratios` to the field and `common` ratio to the past.

    `start` is the first frame's time stamp in Unix seconds.
    """

    start: float
    readings: dict[int, Reading] = field(default_factory=dict)
    ratios: dict[int, float] = field(default_factory=dict)
    common: float = math.nan
    learnt: bool = False

    def good(self) -> dict[int, Reading]:
        """Return the cameras with a width."""
        return {camera: reading for camera, reading in self.readings.items() if reading.good}

    def compare(self, past: Mapping[int, float]) -> None:
        """Compare the cameras with each other, each against its `past` where that is known."""
        good = self.good()
        known = [past[camera] for camera in good if camera in past]
        typical = median(known) if known else 1.0
        against = {c: reading.zenith_hfd / past.get(c, typical) for c, reading in good.items()}
        middle = median(against.values()) if len(good) >= FEWEST else math.nan
        self.ratios = {camera: ratio / middle for camera, ratio in against.items()}
        own = [ratio for camera, ratio in against.items() if camera in past]
        self.common = median(own) if len(own) >= min(FEWEST, len(good)) and own else math.nan


class Field(Algorithm[Params, Figures]):
    """Focus of the whole field.

    Median, spread, the worst camera, and whether a change is common (seeing) or one camera's.
    """

    stateful = True
    keep_state = True

    def __init__(self) -> None:
        self._exposures: list[Exposure] = []
        self._past: dict[tuple[int, str], list[float]] = {}

    def save(self) -> bytes:
        """Return the cameras' past and the latest exposures, as JSON."""
        past = [[camera, name, widths] for (camera, name), widths in self._past.items()]
        exposures = [asdict(exposure) for exposure in self._exposures]
        return json.dumps({"past": past, "exposures": exposures}).encode()

    def restore(self, state: bytes) -> None:
        """Go on with what `save` has returned; an older version's state may raise."""
        saved = json.loads(state)
        self._past = {(camera, name): widths for camera, name, widths in saved["past"]}
        self._exposures = [exposure_of(plain) for plain in saved["exposures"]]

    def process(
        self,
        image: np.ndarray[Any, Any],
        params: Params,
        attributes: Mapping[str, Any],
        metadata: Metadata,
    ) -> Result[Figures]:
        """Take in one camera's frame; the pixels are not looked at."""
        if params.reset:
            self._past.clear()
            self._exposures.clear()
        camera = camera_number(attributes.get(params.camera_keyword), metadata.port)
        if camera is None:
            return Result(status=Status.SKIP, message=f"no number in {params.camera_keyword}")
        exposure = self._exposure(start_time(attributes, metadata), params.window)
        if exposure is None:
            return Result(status=Status.SKIP, message=f"camera {camera}: frame of a past exposure")
        exposure.readings[camera] = read(attributes)
        for closed in self._exposures[:-1]:
            self._learn(closed, params)
        exposure.compare(self._pasts(exposure))
        return self._figures(params)

    def _exposure(self, start: float, window: float) -> Exposure | None:
        """Find or make the exposure that a frame belongs to; None for one long past."""
        if self._exposures and start < self._exposures[-1].start - ANOTHER_NIGHT:
            self._exposures.clear()
        near = [one for one in self._exposures if abs(one.start - start) <= window]
        if near:
            return min(near, key=lambda one: abs(one.start - start))
        if len(self._exposures) == KEPT and start < self._exposures[0].start:
            return None
        made = Exposure(start)
        self._exposures = sorted([*self._exposures, made], key=lambda one: one.start)[-KEPT:]
        return made

    def _pasts(self, exposure: Exposure) -> dict[int, float]:
        known = {
            camera: self._past.get((camera, reading.filter), [])
            for camera, reading in exposure.readings.items()
        }
        return {camera: median(past) for camera, past in known.items() if len(past) >= FEWEST}

    def _learn(self, exposure: Exposure, params: Params) -> None:
        """Add a finished exposure to the past of the cameras that agreed with the field."""
        if exposure.learnt:
            return
        exposure.learnt = True
        known = self._pasts(exposure)
        for camera, reading in exposure.good().items():
            most = params.minor_ratio if camera in known else params.major_ratio
            if exposure.ratios.get(camera, math.nan) <= most:
                past = self._past.setdefault((camera, reading.filter), [])
                past[:] = [*past, reading.zenith_hfd][-params.past :]

    def _latest(self) -> list[Exposure]:
        """Return the latest exposures up to the one to show, which is the last.

        The newest is shown once it has as many cameras as the one before.
        """
        *before, newest = self._exposures
        filling = bool(before) and len(newest.readings) < len(before[-1].readings)
        return (before if filling else self._exposures)[-LATEST:]

    def _figures(self, params: Params) -> Result[Figures]:
        latest = self._latest()
        shown = latest[-1]
        widths = {camera: reading.hfd for camera, reading in shown.good().items()}
        middle = median(widths.values()) if widths else math.nan
        deviation = median(abs(hfd - middle) for hfd in widths.values()) if widths else math.nan
        lasting = {camera: held(e.ratios.get(camera) for e in latest) for camera in all_cameras()}
        worst_camera, worst_ratio = greatest(shown.ratios)
        lasting_camera, lasting_ratio = greatest(lasting)
        state, message = judge(latest, lasting, params)
        figures = Figures(
            hfd=middle,
            spread=1.4826 * deviation / middle,
            worst_camera=worst_camera,
            worst_ratio=worst_ratio,
            lasting_camera=lasting_camera,
            lasting_ratio=lasting_ratio,
            common=shown.common,
            reporting=len(shown.readings),
            good=len(widths),
            missing=max(0, params.cameras - len(shown.readings)),
            camera_hfd=by_camera(widths),
            camera_ratio=by_camera(shown.ratios),
            state=state,
        )
        good = state is FieldState.ALL_GOOD
        return Result(figures, Status.OK if good else Status.WARNING, message)


def exposure_of(plain: Mapping[str, Any]) -> Exposure:
    """Make an exposure of what `asdict` made of one, and JSON of that: its keys are text."""
    readings = {int(camera): Reading(**reading) for camera, reading in plain["readings"].items()}
    ratios = {int(camera): ratio for camera, ratio in plain["ratios"].items()}
    return Exposure(**{**plain, "readings": readings, "ratios": ratios})


def judge(
    latest: list[Exposure], lasting: Mapping[int, float], params: Params
) -> tuple[FieldState, str]:
    """Tell clouds (all cameras), a fault (one camera) and a common change apart."""
    shown = latest[-1]
    starless = sum(reading.outcome in STARLESS for reading in shown.readings.values())
    if starless * 2 >= len(shown.readings):
        return FieldState.CLOUDS, f"too few stars in {starless} of {len(shown.readings)} cameras"
    if not shown.good():
        return FieldState.NO_DATA, f"none of {len(shown.readings)} cameras has a width"
    off = {camera for camera, ratio in lasting.items() if ratio > params.minor_ratio}
    off |= {camera for camera in all_cameras() if lost(camera, latest)}
    if off:
        names = ", ".join(str(camera) for camera in sorted(off))
        one = len(off) == 1
        state = FieldState.ONE_CAMERA if one else FieldState.SEVERAL_CAMERAS
        return state, f"camera{'' if one else 's'} {names} off in {HOLDS} of {LATEST} exposures"
    common = held(exposure.common for exposure in latest)
    if common > params.common_ratio:
        return FieldState.COMMON_CHANGE, f"all cameras at {common:.2f} of their past"
    return FieldState.ALL_GOOD, ""


def lost(camera: int, latest: Iterable[Exposure]) -> bool:
    """Tell whether a camera's frames had no width in 3 of the latest 5, unlike most others'."""
    return (
        sum(
            camera in one.readings
            and not one.readings[camera].good
            and len(one.good()) * 2 > len(one.readings)
            for one in latest
        )
        >= HOLDS
    )


def held(values: Iterable[float | None]) -> float:
    """Return what 3 of the latest 5 values reach, NaN if fewer than 3 are known."""
    known = sorted((v for v in values if v is not None and math.isfinite(v)), reverse=True)
    return known[HOLDS - 1] if len(known) >= HOLDS else math.nan


def greatest(ratios: Mapping[int, float]) -> tuple[int, float]:
    """Return the camera with the greatest ratio, and that; 0 and NaN if none is known."""
    known = {camera: ratio for camera, ratio in sorted(ratios.items()) if math.isfinite(ratio)}
    return max(known.items(), key=lambda item: item[1], default=(0, math.nan))


def all_cameras() -> range:
    """Return the cameras' numbers."""
    return range(1, CAMERAS + 1)


def by_camera(values: Mapping[int, float]) -> NDArray[np.float64]:
    """Return an array with one value for each camera, NaN where there is none."""
    return np.array([values.get(camera, math.nan) for camera in all_cameras()])


def read(attributes: Mapping[str, Any]) -> Reading:
    """Read what the focus plugin found; without it, or without its trust, there is no width."""
    outcome = str(attributes.get("Outcome", ""))
    trusted = outcome == "good" and attributes.get("Status") != Status.ERROR.value
    hfd = number(attributes.get("Hfd"))
    airmass = number(attributes.get("AIRMASS"))
    hfd = hfd if trusted and hfd > 0 else math.nan
    zenith = hfd / airmass**0.6 if airmass >= 1 else hfd
    return Reading(outcome, str(attributes.get("FILTER", "")).strip(), hfd, zenith)


def camera_number(value: Any, port: str) -> int | None:
    """Return the camera's number, 1 to 16, from its keyword or the port's name."""
    given = number(value)
    if math.isnan(given):
        digits = re.search(r"\d+$", port)
        given = float(digits.group()) if digits else math.nan
    return int(given) if given in all_cameras() else None


def start_time(attributes: Mapping[str, Any], metadata: Metadata) -> float:
    """Return the start of exposure in Unix seconds.

    A driver that sets TimeSource has read the header, in all its spellings; frames from elsewhere
    may have DATE-OBS (UTC).
    """
    if "TimeSource" in attributes:
        return metadata.timestamp
    text = str(attributes.get("DATE-OBS", "")).strip().rstrip("Z")
    if "T" not in text:  # a date without a time
        return metadata.timestamp
    whole, _, fraction = text.partition(".")
    try:
        moment = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc)
        return moment.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
    except ValueError:
        return metadata.timestamp


def number(value: Any) -> float:
    """Return an attribute's value as a finite float, or NaN."""
    if isinstance(value, (bool, np.ndarray)):
        return math.nan
    try:
        found = float(value)
    except (TypeError, ValueError):
        return math.nan
    return found if math.isfinite(found) else math.nan
