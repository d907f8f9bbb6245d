"""The whole field's focus, from what the focus plugin found in each camera's frame.

This plugin stands behind all cameras' focus plugins and sees their frames one by one, in any order.
It never looks at pixels: the figures come as attributes. `tosip.advice` gathers them to exposures
and judges them: `advice` says what the operator should do, `advice_text` why, in one sentence. All
else explains it. The advice alone has a severity for the whole field; each camera's ratio to the
field has alarm limits of its own.

Widths are compared with the reference: the first five exposures after the last focus run. A run is
recognised by the position of the focus motors in the header, or reported with `focus_done`. Nothing
else moves the reference. It is kept when the IOC restarts.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping
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
from tosip.advice.adviser import Advised, Adviser
from tosip.advice.calibration_file import CalibrationFile
from tosip.advice.exposure import Advice
from tosip.advice.gathering import Gathered, Gathering, plain_ratios
from tosip.advice.headers import (
    CAMERAS,
    Keywords,
    camera_number,
    environment,
    next_time,
    read,
    start_time,
)
from tosip.advice.numbers import middle
from tosip.advice.settings import Settings


class FieldState(str, enum.Enum):
    """What the field as a whole looks like; it follows from the advice."""

    ALL_GOOD = "all good"
    ONE_CAMERA = "one camera off"
    SEVERAL_CAMERAS = "several cameras off"
    COMMON_CHANGE = "common change"
    CLOUDS = "clouds"
    NO_DATA = "no data"
    UNKNOWN = "not known yet"


_STATES = {
    Advice.GOOD: FieldState.ALL_GOOD,
    Advice.UNKNOWN: FieldState.UNKNOWN,
    Advice.REFOCUS: FieldState.COMMON_CHANGE,
    Advice.SEEING: FieldState.COMMON_CHANGE,
    Advice.CLOUDS: FieldState.CLOUDS,
    Advice.NO_DATA: FieldState.NO_DATA,
}


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
    position_keyword: str = param(
        "Keyword of the focus motor's position", default="FOCUSPOS", length=40
    )
    temperature_keyword: str = param(
        "Keyword of the ambient temperature", default="AMBTEMP", length=40
    )
    seeing_keyword: str = param("Keyword of the seeing monitor", default="SEEING", length=40)
    dead_band: float = param(
        "Motor moves beyond this are a focus run",
        default=1.0,
        units="steps",
        precision=1,
        limits=(0.0, 1e6),
    )
    minor_ratio: float = param(
        "A camera this far above the field is off", default=1.05, limits=(1.0, 10.0)
    )
    run_cost: float = param(
        "Time that a focus run takes",
        default=10.0,
        units="min",
        precision=1,
        limits=(0.0, 600.0),
    )
    quality_limit: float = param(
        "Loss of depth that calls for a focus run\nWhatever it gains.",
        default=0.3,
        units="mag",
        precision=2,
        limits=(0.01, 10.0),
    )
    defocus_slope: float = param(
        "Width that a step of defocus adds\nFar from focus; used without a calibration.",
        default=0.108,
        units="arcsec/step",
        precision=4,
        limits=(1e-6, 1e3),
    )
    night_end: str = param(
        "End of the night, HH:MM UTC\nEmpty: a focus run always has time to pay.",
        default="",
        length=5,
    )
    calibration: str = param(
        "File of the last focus sweep, JSON\n"
        '{"slope": arcsec per step, "best": {"1": position, ...}}; read again when it changes.',
        default="",
        length=250,
    )
    focus_done: bool = command("Focus was run: the next exposures are the reference")
    reset: bool = command("Forget all exposures and references")


def _ratio(camera: int) -> Any:
    return output(
        f"Camera {camera:02d} relative to the field\n"
        "Each against its own width in focus; 3 of the latest 5 exposures reach it.",
        precision=3,
        limits=(0.5, 2.0),
        alarm=Alarm(high=1.05, hihi=1.15, hysteresis=0.01),
        default=math.nan,
    )


def _figure(doc: str, units: str = "", precision: int = 2) -> Any:
    return output(doc, units=units, precision=precision, default=math.nan)


class Figures(Outputs):
    """What operators read; floats are NaN where nothing is known."""

    advice: Advice = output(
        "What to do about the focus",
        default=Advice.UNKNOWN,
        severities={
            Advice.REFOCUS: Severity.MAJOR,
            Advice.CAMERA: Severity.MINOR,
            Advice.CLOUDS: Severity.MINOR,
            Advice.NO_DATA: Severity.MAJOR,
        },
    )
    advice_text: str = output("Why, with the numbers and since when", default="", length=400)
    gain: float = _figure("Time that a focus run now would gain", "min", 1)
    gain_error: float = _figure("Its standard error", "min", 1)
    lost_time: float = _figure("Observing time that defocus costs now", "%", 1)
    depth_loss: float = _figure("Depth that defocus costs now", "mag", 3)
    excess: float = _figure(
        "Width that focus and seeing do not explain\nIn quadrature.", "arcsec", 2
    )
    excess_error: float = _figure("Its standard error", "arcsec", 2)
    defocus: float = _figure(
        "Common defocus since the focus run\nWith its sign where a calibration is known.",
        "steps",
        1,
    )
    extinction: float = _figure("Extinction by clouds, median of cameras", "mag", 2)
    focus_time: str = output("When the focus run ended, UTC", default="", length=20)
    focus_hfd: float = _figure("Half-flux diameter in focus\nAt the zenith.", "arcsec", 2)
    focus_temperature: float = _figure("Ambient temperature in focus", "degC", 1)
    focus_seeing: float = _figure("Monitor's seeing in focus", "arcsec", 2)
    temperature_change: float = _figure("Change of temperature since focus", "degC", 1)
    seeing_change: float = _figure("Change of the monitor's seeing", "arcsec", 2)
    hfd: float = output(
        "Half-flux diameter, median of the field",
        units="arcsec",
        precision=2,
        limits=(0.0, 15.0),
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
        "Its ratio, reached in 3 of 5 exposures\nEach camera against its own width in focus.",
        precision=3,
        limits=(0.5, 2.0),
        default=math.nan,
    )
    common: float = output(
        "Field's HFD compared with that in focus\nSeeing or common focus; at airmass 1.",
        precision=3,
        limits=(0.5, 2.0),
        default=math.nan,
    )
    reporting: int = output("Cameras in this exposure", limits=(0, CAMERAS), default=0)
    good: int = output("Cameras with a good outcome", limits=(0, CAMERAS), default=0)
    missing: int = output("Cameras that did not report", default=0)
    camera_hfd: NDArray[np.float64] = output(
        "Half-flux diameter of each camera", units="arcsec", precision=2, length=CAMERAS
    )
    camera_ratio: NDArray[np.float64] = output(
        "Each camera's ratio to the field\nIn this exposure.", precision=3, length=CAMERAS
    )
    camera_reference_ratio: NDArray[np.float64] = output(
        "Each camera's ratio to its width in focus", precision=3, length=CAMERAS
    )
    camera_age: NDArray[np.float64] = output(
        "Age of each camera's last frame", units="s", precision=0, length=CAMERAS
    )
    camera01_ratio: float = _ratio(1)
    camera02_ratio: float = _ratio(2)
    camera03_ratio: float = _ratio(3)
    camera04_ratio: float = _ratio(4)
    camera05_ratio: float = _ratio(5)
    camera06_ratio: float = _ratio(6)
    camera07_ratio: float = _ratio(7)
    camera08_ratio: float = _ratio(8)
    camera09_ratio: float = _ratio(9)
    camera10_ratio: float = _ratio(10)
    camera11_ratio: float = _ratio(11)
    camera12_ratio: float = _ratio(12)
    camera13_ratio: float = _ratio(13)
    camera14_ratio: float = _ratio(14)
    camera15_ratio: float = _ratio(15)
    camera16_ratio: float = _ratio(16)
    state: FieldState = output(
        "State of the field\nFollows from the advice.", default=FieldState.UNKNOWN
    )


class Field(Algorithm[Params, Figures]):
    """Focus of the whole field, and whether a focus run is justified.

    Advice, what it rests on, and each camera compared with the field.
    """

    stateful = True
    keep_state = True

    def __init__(self) -> None:
        self._gathering = Gathering()
        self._adviser = Adviser()
        self._advised = Advised()
        self._calibration = CalibrationFile()

    def save(self) -> bytes:
        """Return references, exposures and all that was learnt since the focus run, as JSON."""
        adviser = json.loads(self._adviser.save())
        kept = {"exposures": self._gathering.plain(), "adviser": adviser}
        return json.dumps(kept).encode()

    def restore(self, state: bytes) -> None:
        """Go on with what `save` has returned; an older version's state may raise."""
        saved = json.loads(state)
        gathering = Gathering.of(saved["exposures"])
        self._adviser = Adviser.of(json.dumps(saved["adviser"]).encode())
        self._gathering = gathering

    def process(
        self,
        image: np.ndarray[Any, Any],
        params: Params,
        attributes: Mapping[str, Any],
        metadata: Metadata,
    ) -> Result[Figures]:
        """Take in one camera's frame; the pixels are not looked at."""
        if params.reset:
            self._gathering, self._adviser, self._advised = Gathering(), Adviser(), Advised()
        if params.focus_done:
            self._adviser.focus_done()
        camera = camera_number(attributes.get(params.camera_keyword), metadata.port)
        if camera is None:
            return Result(status=Status.SKIP, message=f"no number in {params.camera_keyword}")
        start = start_time(attributes, metadata.timestamp)
        exposure = self._gathering.find(start, params.window)
        if exposure is None:
            return Result(status=Status.SKIP, message=f"camera {camera}: frame of a past exposure")
        keywords = Keywords(
            params.position_keyword, params.temperature_keyword, params.seeing_keyword
        )
        exposure.add(camera, read(attributes, keywords), environment(attributes, keywords))
        settings, fault = self._settings(params, start)
        for one in self._gathering.due(params.cameras):
            self._advised = self._adviser.observe(one, settings)
        status = Status.WARNING if fault else Status.OK
        return Result(self._figures(params), status, fault or self._advised.text)

    def _settings(self, params: Params, now: float) -> tuple[Settings, str]:
        """Return what is set, and what is wrong with the calibration's file."""
        calibration, fault = self._calibration.read(params.calibration)
        settings = Settings(
            cost=60 * params.run_cost,
            quality=params.quality_limit,
            slope=params.defocus_slope,
            dead_band=params.dead_band,
            camera_ratio=params.minor_ratio,
            night_end=next_time(params.night_end, now),
            calibration=calibration,
        )
        return settings, fault and f"Field.calibration: {fault}"

    def _figures(self, params: Params) -> Figures:
        shown, advised = self._gathering.shown(), self._advised
        widths = {number: one.hfd for number, one in shown.cameras.items() if one.good}
        typical = median(widths.values()) if widths else math.nan
        deviation = middle(abs(hfd - typical) for hfd in widths.values())
        ratios = self._ratios(shown)
        worst_camera, worst_ratio = greatest(ratios)
        lasting_camera, lasting_ratio = greatest(advised.ratios)
        each: dict[str, Any] = {
            f"camera{n:02d}_ratio": advised.ratios.get(n, math.nan) for n in all_cameras()
        }
        return Figures(
            advice=advised.advice,
            advice_text=advised.text,
            gain=advised.gain / 60,
            gain_error=advised.gain_error / 60,
            lost_time=100 * advised.lost,
            depth_loss=advised.loss,
            excess=advised.excess,
            excess_error=advised.excess_error,
            defocus=advised.steps,
            extinction=advised.extinction,
            hfd=typical,
            spread=1.4826 * deviation / typical,
            worst_camera=worst_camera,
            worst_ratio=worst_ratio,
            lasting_camera=lasting_camera,
            lasting_ratio=lasting_ratio,
            common=advised.ratio,
            reporting=len(shown.cameras),
            good=len(widths),
            missing=max(0, params.cameras - len(shown.cameras)),
            camera_hfd=by_camera(widths),
            camera_ratio=by_camera(ratios),
            camera_reference_ratio=by_camera(advised.own),
            camera_age=by_camera(self._adviser.presence.ages(shown.start)),
            state=state_of(advised),
            **each,
            **self._in_focus(shown),
        )

    def _ratios(self, shown: Gathered) -> dict[int, float]:
        """Return the ratios to the field, each camera against its width in focus if known."""
        exposure = shown.exposure()
        focus = {n: self._adviser.references.area(n, exposure) for n in exposure.good()}
        own = {n: math.sqrt(exposure.area(n) / area) for n, area in focus.items() if area > 0}
        if len(own) < 3:
            return plain_ratios(shown)
        return {n: ratio / median(own.values()) for n, ratio in own.items()}

    def _in_focus(self, shown: Gathered) -> dict[str, Any]:
        focus, since = self._adviser.since.focus, self._adviser.since
        if not focus.areas:
            return {}
        return {
            "focus_time": datetime.fromtimestamp(focus.time, timezone.utc).strftime(
                "%Y-%m-%d %H:%M:%S"
            ),
            "focus_hfd": math.sqrt(focus.area),
            "focus_temperature": focus.temperature,
            "focus_seeing": focus.seeing,
            "temperature_change": shown.environment.temperature - focus.temperature,
            "seeing_change": middle(since.latest_seeing) - focus.seeing,
        }


def state_of(advised: Advised) -> FieldState:
    """Return the state that the advice means."""
    if advised.advice is Advice.CAMERA:
        one = len(advised.cameras) <= 1
        return FieldState.ONE_CAMERA if one else FieldState.SEVERAL_CAMERAS
    return _STATES[advised.advice]


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
