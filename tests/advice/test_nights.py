"""Whole nights: what is advised, and when."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import median

import pytest

from tests.advice.nights import CAMERAS, MONITORS, START, Night, first, wandering
from tosip.advice.adviser import Adviser
from tosip.advice.diversity import Calibration
from tosip.advice.exposure import Advice

# Drift in steps/h: the greatest ratio of widths at which a focus run must be advised.
LATEST_RATIO = {5: 1.10, 10: 1.15, 28: 1.36, 60: 1.42}


def growth(night: Night, hours: float) -> float:
    """Return how much wider stars are than they would be in focus, under the same seeing."""
    drift, night.drift = night.drift, 0.0
    focused = {camera: night.width(camera, hours) for camera in CAMERAS}
    night.drift = drift
    return median(night.width(camera, hours) / focused[camera] for camera in CAMERAS)


def in_focus(**how) -> Night:
    night = Night(**how)
    night.adviser.focus_done()
    return night


def advised(night: Night, hours: float = 9.0) -> float:
    """Play a night with one refocus that lasts; return the ratio at which it is first advised."""
    played = night.play(hours)
    at = first(played, Advice.REFOCUS)
    assert at is not None
    given = [one.advice for hour, one in played if hour >= at]
    assert set(given) == {Advice.REFOCUS}
    assert first(played, Advice.CAMERA) is None
    return growth(night, at)


@pytest.mark.parametrize("offsets", [0.0, 6.0])
@pytest.mark.parametrize("drift", LATEST_RATIO)
def test_a_common_drift_is_a_refocus_in_time_and_until_focus_is_run(drift, offsets):
    night = in_focus(drift=drift, offset_sigma=offsets, seed=3)
    assert 1.03 <= advised(night) <= LATEST_RATIO[drift]


@pytest.mark.parametrize("drift", LATEST_RATIO)
@pytest.mark.parametrize("monitor", ["exact", "noisy"])
def test_wandering_seeing_delays_the_advice_little(monitor, drift):
    night = in_focus(drift=drift, seeing=wandering, monitor=MONITORS[monitor], seed=4)
    assert 1.03 <= advised(night) <= LATEST_RATIO[drift] + 0.05


@pytest.mark.parametrize("monitor", MONITORS)
def test_seeing_alone_is_no_refocus(monitor):
    for seed in range(4):
        played = in_focus(seeing=wandering, monitor=MONITORS[monitor], seed=seed).play()
        assert first(played, Advice.REFOCUS) is None
        assert {one.advice for _, one in played[5:]} == {Advice.GOOD, Advice.SEEING}


def test_without_monitor_and_calibration_the_text_says_that_seeing_cannot_be_excluded():
    played = in_focus(seeing=wandering, monitor=MONITORS["missing"]).play(1.0)
    assert played[-1][1].advice is Advice.SEEING
    assert "seeing cannot be excluded: no seeing monitor and no calibration" in played[-1][1].text


@pytest.mark.parametrize(("drift", "latest"), [(5, 1.13), (10, 1.20), (28, 1.45), (60, 1.75)])
def test_known_offsets_show_the_drift_without_a_monitor(drift, latest):
    night = in_focus(
        drift=drift, offset_sigma=6.0, seeing=wandering, monitor=MONITORS["missing"], seed=5
    )
    known = {c: 8000 + night.offsets[c] + night.rng.gauss(0, 1.0) for c in CAMERAS}
    night.settings = replace(night.settings, calibration=Calibration(0.108, known))
    at = first(played := night.play(), Advice.REFOCUS)
    assert at is not None
    assert growth(night, at) <= latest
    centre = sum(night.offsets.values()) / len(night.offsets)
    assert played[-1][1].steps == pytest.approx(drift * played[-1][0], rel=0.15, abs=abs(centre))


def test_known_offsets_make_no_refocus_of_seeing():
    for seed in range(4):
        night = in_focus(offset_sigma=6.0, seeing=wandering, monitor=MONITORS["missing"], seed=seed)
        known = {c: 8000 + night.offsets[c] + night.rng.gauss(0, 1.0) for c in CAMERAS}
        night.settings = replace(night.settings, calibration=Calibration(0.108, known))
        assert first(night.play(), Advice.REFOCUS) is None


def test_one_drifting_camera_is_named_before_a_tenth():
    def own(camera, hours):
        return 1 + 0.03 * hours if camera == 7 else 1.0

    played = in_focus(own=own).play(6.0)
    at = first(played, Advice.CAMERA)
    assert at is not None
    assert own(7, at) < 1.10
    later = [one for hour, one in played if hour >= at]
    assert {one.advice for one in later} == {Advice.CAMERA}
    assert later[-1].cameras == (7,)
    assert later[-1].text.startswith("look at a camera: camera 7 1.1")
    assert first(played, Advice.REFOCUS) is None


@pytest.mark.parametrize("count", [8, 9])
@pytest.mark.parametrize("after", [0.25, 2.0])
def test_half_of_the_cameras_jumping_is_never_good(count, after):
    def own(camera, hours):
        return 1.2 if camera <= count and hours > after else 1.0

    played = in_focus(own=own).play(after + 2.0)
    settled = [one for hour, one in played if hour > after + 0.1]
    for one in settled:
        named = one.advice is Advice.CAMERA and f"{count} cameras" in one.text
        assert named or one.advice is Advice.REFOCUS


def test_bad_from_the_beginning_is_not_known_without_a_reference():
    played = Night(start=20.0).play(2.0)
    assert {one.advice for _, one in played} == {Advice.UNKNOWN}


def test_bad_from_the_beginning_is_a_refocus_with_the_reference_of_an_earlier_night():
    before = in_focus(seed=1)
    before.play(4.0)
    night = Night(start=20.0, seed=1, adviser=before.adviser)
    played = night.play(1.0, begin=24.0)
    at = first(played, Advice.REFOCUS)
    assert at is not None
    assert at < 24.2


def test_a_restart_is_as_if_it_had_not_been():
    straight, stopped = (in_focus(drift=10, seeing=wandering, seed=2) for _ in range(2))
    straight.play(1.9)
    stopped.play(1.9)
    stopped.adviser = Adviser.of(stopped.adviser.save())
    assert stopped.play(0.5, begin=1.9) == straight.play(0.5, begin=1.9)


@pytest.mark.parametrize(
    ("mags", "text"), [(0.5, "thin cloud"), (1.5, "1.4 mag"), (5.0, "too few stars in 16 of 16")]
)
def test_cloud_in_all_cameras_is_said_after_three_exposures(mags, text):
    night = in_focus(change=cloud(CAMERAS, mags, lambda hours: hours > 1.0))
    played = night.play(2.0)
    at = first(played, Advice.CLOUDS)
    assert at is not None
    assert at == pytest.approx(1.0 + 3 * 45 / 3600, abs=0.001)
    later = [one for hour, one in played if hour >= at]
    assert {one.advice for one in later} == {Advice.CLOUDS}
    assert text in later[-1].text


@pytest.mark.parametrize("mags", [0.5, 1.5, 5.0])
def test_cloud_in_seven_cameras_is_clouds(mags):
    night = in_focus(change=cloud(range(1, 8), mags, lambda hours: hours > 1.0))
    assert night.play(2.0)[-1][1].advice is Advice.CLOUDS


@pytest.mark.parametrize("mags", [0.5, 1.5, 5.0])
def test_cloud_in_single_exposures_is_nothing(mags):
    night = in_focus(change=cloud(CAMERAS, mags, lambda hours: round(hours * 80) % 4 == 0))
    night.play(1 / 16)  # the reference, with one clouded exposure
    assert {one.advice for _, one in night.play(2.0, begin=0.2)[5:]} == {Advice.GOOD}


def test_under_cloud_there_is_no_refocus_and_nothing_is_learnt():
    night = in_focus(drift=28, change=cloud(CAMERAS, 0.6, lambda hours: hours > 0.5))
    played = night.play(3.0)
    assert first(played, Advice.REFOCUS) is None
    assert played[-1][1].advice is Advice.CLOUDS


def cloud(cameras, mags, when):
    """Take stars away; under 3 mag there are too few to measure."""

    def change(camera, hours, one):
        if camera not in cameras or not when(hours):
            return one
        if mags > 3:
            return replace(one, hfd=math.nan, stars=2.0, outcome="few stars")
        return replace(one, stars=one.stars * 10 ** (-0.28 * mags))

    return change


@pytest.mark.parametrize("outcome", ["no stars", "unusable", "trailed", "focus star", "saturated"])
def test_frames_without_a_survey_width_are_never_good(outcome):
    def change(camera, hours, one):
        return replace(one, hfd=math.nan, outcome=outcome) if hours > 0.5 else one

    played = in_focus(change=change).play(1.0)
    assert played[-1][1].advice in (Advice.NO_DATA, Advice.CLOUDS)
    assert all(one.advice is not Advice.GOOD for hour, one in played if hour > 0.54)


def test_trailing_of_all_cameras_has_a_name_of_its_own():
    night = in_focus(change=lambda c, h, one: replace(one, outcome="trailed"))
    assert "16 of 16 cameras trailed (wind shake or tracking)" in night.play(0.2)[-1][1].text


@pytest.mark.parametrize("gone", ["stopped", "frozen"])
def test_one_missing_camera_is_named(gone):
    night = in_focus()
    exposure = night.exposure

    def without(hours):
        whole = exposure(hours)
        if hours <= 0.5:
            return whole
        frozen = {7: replace(whole.cameras[7], outcome="frozen")} if gone == "frozen" else {}
        rest = {n: one for n, one in whole.cameras.items() if n != 7}
        return replace(whole, cameras={**rest, **frozen})

    night.exposure = without  # type: ignore[method-assign]
    played = night.play(0.7)
    at = first(played, Advice.CAMERA)
    assert at is not None
    assert at <= 0.5 + 3.1 * 45 / 3600
    assert "no frame of camera 7 for 1" in dict(played)[at].text
    assert 7 in dict(played)[0.5].ratios
    assert 7 not in dict(played)[at].ratios  # what is stale does not look fresh


def test_a_camera_that_was_focused_alone_is_good_again():
    def change(camera, hours, one):
        if camera != 7:
            return one
        return replace(one, position=8030.0) if hours > 1.5 else replace(one, hfd=1.2 * one.hfd)

    # Its motor moved in focus at half past one, and its stars are as wide as at the beginning.
    night = in_focus(change=lambda c, h, one: change(c, h, one) if h > 1.0 else one)
    played = dict(night.play(2.0))
    assert played[1.25].cameras == (7,)
    assert played[1.75].advice is Advice.GOOD
    assert played[1.75].ratios[7] == pytest.approx(1.0, abs=0.01)


def test_when_all_stop_a_clock_says_so():
    night = in_focus()
    night.play(1.0)
    last = START + 3600 - 45
    assert night.adviser.silent(last + 130, night.settings) is None
    silent = night.adviser.silent(last + 140, night.settings)
    assert silent is not None
    assert (silent.advice, silent.text) == (
        Advice.NO_DATA,
        "no data: no frame of any camera for 140 s",
    )


def test_changing_filters_and_wandering_seeing_are_good_or_seeing():
    widths = {"clear": 1.0, "g": 1.06, "r": 0.97}

    def change(camera, hours, one):
        name = ("clear", "g", "r")[int(hours * 4) % 3]
        return replace(one, filter=name, hfd=one.hfd * widths[name])

    played = in_focus(seeing=wandering, change=change).play()
    assert {one.advice for _, one in played[5:]} == {Advice.GOOD, Advice.SEEING}


def test_the_sentence_has_the_numbers_and_since_when():
    text = in_focus(drift=10).play(3.0)[-1][1].text
    assert text.startswith("refocus: 16 of 16 cameras 1.")
    assert "wider than after focus at" in text
    assert "T +0.0 degC, seeing unchanged; a rerun gains" in text
    assert "(since " in text


def test_a_sweep_leaves_the_monitors_scale_known():
    night = in_focus(seeing=wandering, monitor=MONITORS["low"])
    night.play(3.0)
    monitor = night.adviser.since.monitor
    assert monitor.scale() == pytest.approx(0.64, rel=0.05)
    for _ in range(9):
        night.adviser.focus_done()
    assert monitor.scale() == pytest.approx(0.64, rel=0.1)


def test_near_the_end_of_the_night_a_run_does_not_pay():
    night = in_focus(drift=5)
    night.settings = replace(night.settings, night_end=START + 4.0 * 3600)
    played = night.play(4.0)
    assert played[-1][1].gain < 0
    assert played[-1][1].advice is Advice.GOOD
