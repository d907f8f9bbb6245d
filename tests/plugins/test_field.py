"""The field's figures from what sixteen focus plugins found."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plugins.stars import metadata
from tosip import Result, Status
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
    night = Night()
    found = [night.expose() for _ in range(6)][-1]
    assert found.state is FieldState.ALL_GOOD
    assert (found.hfd, found.spread, found.worst_ratio, found.common) == (3.0, 0.0, 1.0, 1.0)
    assert (found.reporting, found.good, found.missing) == (16, 16, 0)
    assert np.all(found.camera_hfd == 3.0)


def test_the_worst_camera_is_named_at_once_and_blamed_after_three_exposures():
    night = Night()
    for _ in range(5):
        night.expose()
    states = []
    for _ in range(4):
        found = night.expose({7: 3.3})
        states.append(found.state)
        assert found.worst_camera == 7
        assert found.worst_ratio == pytest.approx(1.1)
        assert found.camera_ratio[6] == pytest.approx(1.1)
    good, off = FieldState.ALL_GOOD, FieldState.ONE_CAMERA
    assert states == [good, good, off, off]
    assert found.lasting_camera == 7
    assert found.lasting_ratio == pytest.approx(1.1)


def test_one_bad_exposure_is_no_alarm():
    night = Night()
    for index in range(10):
        found = night.expose({7: 4.0} if index % 3 == 0 else None)
        assert found.state is FieldState.ALL_GOOD


def test_several_cameras_are_told():
    night = Night()
    for _ in range(4):
        found = night.expose({2: 3.4, 9: 3.5, 16: 3.6})
    assert found.state is FieldState.SEVERAL_CAMERAS


def test_seeing_is_common_and_no_cameras_fault():
    night = Night()
    for _ in range(6):
        night.expose()
    for _ in range(3):
        found = night.expose(usual=4.2)
    assert found.common == pytest.approx(1.4)
    assert found.worst_ratio == pytest.approx(1.0)
    assert found.state is FieldState.COMMON_CHANGE


def test_a_cameras_own_optics_are_its_normal():
    night = Night()
    for _ in range(6):
        found = night.expose({3: 3.3})
    assert found.worst_ratio == pytest.approx(1.0)


def test_a_slow_drift_is_not_learnt():
    night = Night()
    for step in range(60):
        found = night.expose({5: 3.0 * (1 + 0.005 * step)})
    assert found.state is FieldState.ONE_CAMERA
    assert found.lasting_ratio > 1.15


def test_airmass_is_no_change():
    night = Night()
    for _ in range(5):
        night.expose()
    found = night.expose(usual=3.0 * 1.5**0.6, AIRMASS=1.5)
    assert found.common == pytest.approx(1.0)


def test_another_filter_has_a_past_of_its_own():
    night = Night()
    for _ in range(5):
        night.expose()
    assert math.isnan(night.expose(usual=4.0, FILTER="g").common)


def test_clouds_take_all_cameras():
    night = Night()
    for _ in range(4):
        night.expose()
    found = night.expose(usual=math.nan)
    assert found.state is FieldState.CLOUDS
    assert math.isnan(found.hfd)
    assert found.good == 0


def test_a_camera_without_stars_alone_is_its_own_fault():
    night = Night()
    for _ in range(3):
        found = night.expose({4: math.nan})
    assert found.state is FieldState.ONE_CAMERA
    assert math.isnan(found.camera_hfd[3])
    assert found.good == 15


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


def test_reset_forgets_the_past():
    night = Night()
    for _ in range(6):
        night.expose()
    night.params = Params().replace(reset=True)
    night.frame(1, 4.0, 6)
    night.params = Params()
    night.count = 6
    found = night.expose(usual=4.0)
    assert math.isnan(found.common)
    assert found.hfd == 4.0


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
    assert found.state in (FieldState.CLOUDS, FieldState.NO_DATA)


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
