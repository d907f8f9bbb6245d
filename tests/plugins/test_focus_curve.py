"""The hyperbola through a focus sweep."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tosip.focus_curve import fit_focus_curve

POSITIONS = np.arange(7500.0, 8501.0, 100.0)


def widths(best, floor=3.0, slope=0.07):
    return np.hypot(floor, slope * (POSITIONS - best))


@settings(max_examples=40, deadline=None)
@given(
    best=st.floats(7650, 8350),
    floor=st.floats(1.0, 10.0),
    slope=st.floats(0.02, 0.5),
    unit=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_finds_the_curve_that_made_the_points(best, floor, slope, unit):
    curve = fit_focus_curve(POSITIONS * unit, widths(best, floor, slope))
    assert curve.accepted, curve.reason
    assert curve.best == pytest.approx(best * unit, abs=0.5 * unit)
    assert curve.floor == pytest.approx(floor, rel=0.02)
    assert curve.slope * unit == pytest.approx(slope, rel=0.01)
    assert curve.at(curve.best) == pytest.approx(curve.floor)


def test_an_outlier_pulls_little():
    points = widths(8010.0)
    points[5] = 40.0
    curve = fit_focus_curve(POSITIONS, points)
    assert curve.best == pytest.approx(8010, abs=5)


def test_off_centre_sweeps_are_not_biased():
    assert fit_focus_curve(POSITIONS, widths(7720.0)).best == pytest.approx(7720, abs=0.5)


def test_weights_count():
    points = widths(8000.0)
    points[:3] *= 1.1
    plain = fit_focus_curve(POSITIONS, points)
    weighted = fit_focus_curve(POSITIONS, points, [0.01] * 3 + [100.0] * 8)
    assert abs(weighted.best - 8000) < abs(plain.best - 8000) / 3


def test_what_is_no_number_is_dropped():
    points = widths(8000.0)
    points[[1, 4]] = math.nan, -1.0
    curve = fit_focus_curve(POSITIONS, points)
    assert curve.points == 9
    assert curve.best == pytest.approx(8000, abs=0.5)


@pytest.mark.parametrize(
    ("positions", "points", "reason"),
    [
        (POSITIONS[:4], widths(8000.0)[:4], "at least 5 positions, got 4"),
        ([8000.0] * 9, [3.0] * 9, "at least 5 positions, got 1"),
        ([], [], "at least 5 positions, got 0"),
        (POSITIONS, [math.nan] * 11, "at least 5 positions, got 0"),
        (POSITIONS, [3, 9, 2, 8, 3, 9, 2, 8, 3, 9, 2], "R^2"),
        (POSITIONS, [5.0] * 11, "R^2"),
        (POSITIONS, widths(7550.0), "from the sweep's ends"),
        (POSITIONS, widths(9000.0), "from the sweep's ends"),
    ],
)
def test_refuses_with_a_reason(positions, points, reason):
    curve = fit_focus_curve(positions, points)
    assert not curve.accepted
    assert reason in curve.reason


def test_lists_of_different_length_are_a_mistake():
    with pytest.raises(ValueError, match="expected three lists of one length"):
        fit_focus_curve([1, 2, 3], [1, 2])
