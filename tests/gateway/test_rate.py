"""A rate is what was done lately, and goes back to nothing."""

import pytest

from tosip.gateway.rate import Rate


def test_rate_is_the_mean_of_the_window_and_then_nothing():
    clock = [100.0]
    measured = Rate(window=10.0, clock=lambda: clock[0])
    for _ in range(5):
        measured.add(20.0)
        clock[0] += 1.0
    assert measured.value == pytest.approx(10.0)
    clock[0] += 7.5
    assert measured.value == pytest.approx(4.0)
    clock[0] += 10.0
    assert measured.value == 0.0
