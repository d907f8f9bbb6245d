"""The field's figures from what sixteen focus plugins found."""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plugins.stars import metadata
from tosip import Result, Status
from tosip.advice.exposure import Advice
from tosip.plugins.field import Field, FieldState, Figures, Params
from tosip.reading import describe

ALL = range(1, 17)
FIRST = datetime(2026, 11, 22, 1, 0, 0)
NO_PIXELS = np.empty((0, 0))


class Night:
    """A field plugin and the frames that it gets, one exposure each 45 s."""

    def __init__(self, **params):
        self.field = Field()
        self.params = Params(**params)
        self.count = 0

    def frame(self, camera: int, hfd: float, exposure: int, **more) -> Result[Figures]:
        start = FIRST + timedelta(seconds=45 * exposure + 0.01 * camera)
        attributes = {
            "CAMERA": camera,
            "DATE-OBS": start.isoformat(timespec="milliseconds"),
            "FILTER": "clear",
            "AIRMASS": 1.0,
            "SEEING": 1.8,
            "AMBTEMP": 10.0,
            "FOCUSPOS": 8000,
            "Hfd": hfd,
            "Outcome": "good" if math.isfinite(hfd) else "no stars",
            "Status": "ok" if math.isfinite(hfd) else "warning",
            **more,
        }
        return self.field.process(NO_PIXELS, self.params, attributes, metadata("FOCUS"))

    def expose(
        self,
        widths: Mapping[int, float] | None = None,
        cameras: Iterable[int] = ALL,
        usual: float = 3.0,
        **more,
    ) -> Figures:
        """Take one exposure; cameras not in `widths` have the `usual` one."""
        outputs = None
        for camera in cameras:
            hfd = (widths or {}).get(camera, usual)
            outputs = self.frame(camera, hfd, self.count, **more).outputs
        self.count += 1
        assert isinstance(outputs, Figures)
        return outputs


def in_focus(**params) -> Night:
    """A night after a focus run that has its reference."""
    night = Night(**params)
    night.params = Params(**params).replace(focus_done=True)
    night.frame(1, 3.0, 0)
    night.params = Params(**params)
    for _ in range(8):
        night.expose()
    return night


def test_declaration_is_accepted():
    description = describe(Field)
    assert description.stateful
    assert description.output("camera_hfd").length == 16


def test_what_is_saved_is_all_that_the_next_one_needs():
    random.seed(7)
    one, other = Night(), Night()
    for _ in range(12):
        one.expose({camera: random.uniform(2.9, 3.1) for camera in ALL} | {3: 4.0, 5: math.nan})
    other.count = one.count
    other.field.restore(one.field.save())
    assert repr(one.expose({3: 4.0})) == repr(other.expose({3: 4.0}))


def test_an_even_field_is_good():
    found = in_focus().expose()
    assert (found.advice, found.state) == (Advice.GOOD, FieldState.ALL_GOOD)
    assert found.advice_text == (
        "good: 16 cameras as wide as after focus at 01:00, T +0.0 degC, seeing unchanged;"
        " a rerun does not pay: -10 min (+-0)"
    )
    assert (found.hfd, found.spread, found.worst_ratio, found.common) == (3.0, 0.0, 1.0, 1.0)
    assert (found.reporting, found.good, found.missing) == (16, 16, 0)
    assert np.all(found.camera_hfd == 3.0)
    assert np.all(found.camera_reference_ratio == 1.0)
    assert found.camera07_ratio == 1.0
    assert (found.focus_hfd, found.focus_temperature, found.focus_seeing) == (3.0, 10.0, 1.8)
    assert (found.focus_time, found.seeing_change) == ("2026-11-22 01:00:00", 0.0)


def test_without_a_focus_run_nothing_is_known():
    night = Night()
    for _ in range(10):
        found = night.expose()
    assert (found.advice, found.state) == (Advice.UNKNOWN, FieldState.UNKNOWN)
    assert "run focus, or press FocusDone" in found.advice_text


def test_a_motor_that_moves_is_a_focus_run():
    night = Night()
    for position in (7900, 7950, 8000, *[8000] * 6):
        found = night.expose(FOCUSPOS=position)
    assert found.advice is Advice.GOOD
    assert night.expose(FOCUSPOS=8001).advice is Advice.GOOD  # within the dead band
    assert night.expose(FOCUSPOS=8020).advice is Advice.UNKNOWN


def test_the_worst_camera_is_named_at_once_and_blamed_after_three_exposures():
    night = in_focus()
    given = []
    for _ in range(4):
        found = night.expose({7: 3.3})
        given.append(found.advice)
        assert found.worst_camera == 7
        assert found.worst_ratio == pytest.approx(1.1)
        assert found.camera_ratio[6] == pytest.approx(1.1)
    good, off = Advice.GOOD, Advice.CAMERA
    assert given == [good, good, off, off]
    assert found.state is FieldState.ONE_CAMERA
    assert found.lasting_camera == 7
    assert found.lasting_ratio == found.camera07_ratio == pytest.approx(1.1)


def test_one_bad_exposure_is_no_alarm():
    night = in_focus()
    for index in range(10):
        assert night.expose({7: 4.0} if index % 3 == 0 else None).advice is Advice.GOOD


def test_several_cameras_are_named():
    night = in_focus()
    for _ in range(4):
        found = night.expose({2: 3.4, 9: 3.5, 16: 3.6})
    assert (found.advice, found.state) == (Advice.CAMERA, FieldState.SEVERAL_CAMERAS)
    assert "cameras 2, 9, 16 1.17 times wider" in found.advice_text


def test_a_common_change_that_the_monitor_explains_is_seeing():
    night = in_focus()
    for _ in range(5):
        found = night.expose(usual=3.6, SEEING=(1.8**2 + 3.6**2 - 3.0**2) ** 0.5)
    assert found.common == pytest.approx(1.2)
    assert found.worst_ratio == pytest.approx(1.0)
    assert found.advice is Advice.SEEING


def test_a_common_change_under_the_same_seeing_is_a_refocus():
    night = in_focus()
    for _ in range(5):
        found = night.expose(usual=4.2)
    assert found.advice is Advice.REFOCUS
    assert found.depth_loss == pytest.approx(2.5 * math.log10(1.4), abs=0.03)
    assert found.lost_time == pytest.approx(100 * (1 - 1.4**-2), abs=3)
    assert found.excess == pytest.approx(3.0 * 0.96**0.5, abs=0.1)
    assert found.defocus == pytest.approx(found.excess / 0.108)


def test_a_cameras_own_optics_are_its_normal():
    night = Night()
    for position in (7900, *[8000] * 7):
        found = night.expose({3: 3.3}, FOCUSPOS=position)
    assert found.worst_ratio == pytest.approx(1.0)


def test_a_slow_drift_of_a_camera_is_not_learnt():
    night = in_focus()
    for step in range(60):
        found = night.expose({5: 3.0 * (1 + 0.005 * step)})
    assert found.state is FieldState.ONE_CAMERA
    assert found.camera05_ratio > 1.15


def test_airmass_is_no_change():
    found = in_focus().expose(usual=3.0 * 1.5**0.6, AIRMASS=1.5)
    assert found.common == pytest.approx(1.0)


def test_another_filter_has_a_reference_of_its_own():
    night = in_focus()
    for _ in range(6):
        found = night.expose(usual=4.0, FILTER="g")
        assert found.advice is Advice.GOOD
    assert found.common == pytest.approx(1.0)


def test_clouds_take_all_cameras():
    night = in_focus()
    given = [night.expose(usual=math.nan).advice for _ in range(4)]
    assert given == [Advice.GOOD, Advice.GOOD, Advice.CLOUDS, Advice.CLOUDS]
    found = night.expose(usual=math.nan)
    assert math.isnan(found.hfd)
    assert found.good == 0
    assert found.state is FieldState.CLOUDS


def test_a_camera_without_stars_alone_is_its_own_fault():
    night = in_focus()
    for _ in range(3):
        found = night.expose({4: math.nan})
    assert (found.advice, found.state) == (Advice.CAMERA, FieldState.ONE_CAMERA)
    assert "camera 4 without a width" in found.advice_text
    assert math.isnan(found.camera_hfd[3])
    assert found.good == 15


def test_a_calibration_file_gives_the_defocus_its_sign(tmp_path):
    path = tmp_path / "sweep.json"
    offsets = {camera: 3.0 * (camera - 8.5) / 4.6 * 2 for camera in ALL}
    best = {str(camera): 8000 + offset for camera, offset in offsets.items()}
    path.write_text(json.dumps({"slope": 0.108, "best": best}))
    night = in_focus(calibration=str(path))
    widths = {c: (9.0 + 0.108**2 * (100 + 20 * o)) ** 0.5 for c, o in offsets.items()}
    for _ in range(6):
        found = night.expose(widths)
    assert found.defocus == pytest.approx(-10.0, abs=0.5)
    path.write_text("{")
    os.utime(path, (1, 1))
    result = night.frame(1, 3.0, night.count)
    assert result.status is Status.WARNING
    assert result.message.startswith(f"Field.calibration: {path}: ")


def test_figures_wait_for_the_exposure_to_fill():
    night = Night()
    night.expose()
    partial = night.frame(1, 9.0, 1).outputs
    assert isinstance(partial, Figures)
    assert (partial.hfd, partial.reporting) == (3.0, 16)


def test_a_camera_that_stays_away_is_missed_one_exposure_later():
    night = Night()
    night.expose()
    night.expose(cameras=range(1, 16))
    found = night.expose(cameras=range(1, 16))
    assert (found.reporting, found.missing) == (15, 1)
    assert math.isnan(found.camera_hfd[15])


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_order_and_repeats_do_not_matter(shuffler: random.Random):
    straight, shuffled = Night(), Night()
    widths = {camera: 3.0 + 0.01 * camera for camera in ALL}
    for _ in range(4):
        expected = straight.expose(widths)
        order = [*ALL, 3, 3, 11]
        shuffler.shuffle(order)
        found = shuffled.expose(widths, order)
    assert found == expected


def test_a_late_frame_joins_its_exposure():
    night = Night()
    night.expose()
    night.expose(cameras=range(2, 17))
    night.frame(1, 3.0, 1)
    assert night.expose().reporting == 16


def test_frames_of_long_past_exposures_are_skipped():
    night = Night()
    night.count = 1
    for _ in range(10):
        night.expose()
    assert night.frame(1, 3.0, 0).status is Status.SKIP


def test_the_night_before_starts_anew():
    night = Night()
    night.expose()
    night.count = -1000
    assert night.expose(usual=5.0).hfd == 5.0


def test_reset_forgets_the_reference():
    night = in_focus()
    night.params = Params().replace(reset=True)
    night.frame(1, 4.0, 9)
    night.params = Params()
    night.count = 9
    found = night.expose(usual=4.0)
    assert math.isnan(found.common)
    assert (found.hfd, found.advice) == (4.0, Advice.UNKNOWN)


@pytest.mark.parametrize(
    "more",
    [
        {"Outcome": "few stars"},
        {"Status": "error"},
        {"Hfd": "NaN"},
        {"Hfd": None},
        {"Outcome": ""},
    ],
)
def test_only_good_widths_count(more):
    found = Night().expose(cameras=[1], **more)
    assert found.good == 0
    assert math.isnan(found.hfd)
    assert found.state is FieldState.UNKNOWN


def test_frames_are_grouped_by_their_own_time_without_date():
    field = Field()
    for camera in (1, 2):
        attributes = {"CAMERA": str(camera), "Hfd": 3.0, "Outcome": "good", "DATE-OBS": "rubbish"}
        stamp = metadata("FOCUS", timestamp=100.0 + camera)
        result = field.process(NO_PIXELS, Params(cameras=2), attributes, stamp)
    assert isinstance(result.outputs, Figures)
    assert (result.outputs.reporting, result.outputs.missing) == (2, 0)


def test_the_drivers_time_counts_where_date_obs_is_not_the_start_in_utc():
    field = Field()
    for camera, (date, source) in enumerate(
        [("2026-01-01T00:00:37", "DATE-OBS"), ("1980-01-06T00:00:00", "reception")], 1
    ):
        attributes = {"Hfd": 3.0, "Outcome": "good", "DATE-OBS": date, "TimeSource": source}
        stamp = metadata(f"FOCUS{camera:02d}", timestamp=1767225600.0)
        result = field.process(NO_PIXELS, Params(cameras=2), attributes, stamp)
    assert isinstance(result.outputs, Figures)
    assert (result.outputs.reporting, result.outputs.missing) == (2, 0)


@pytest.mark.parametrize(("port", "camera"), [("FOCUS07", 7), ("CAM16", 16)])
def test_the_port_tells_the_camera_where_the_header_does_not(port, camera):
    attributes = {"Hfd": 3.0, "Outcome": "good"}
    result = Field().process(NO_PIXELS, Params(), attributes, metadata(port))
    assert isinstance(result.outputs, Figures)
    assert result.outputs.camera_hfd[camera - 1] == 3.0


@pytest.mark.parametrize("camera", [0, 17, 2.5, "x", None, np.ones(1)])
def test_frames_of_no_camera_are_skipped(camera):
    result = Field().process(NO_PIXELS, Params(), {"CAMERA": camera}, metadata("FOCUS"))
    assert result.status is Status.SKIP
