"""No more bytes per second go out than the limit, and no array is refused for ever."""

from hypothesis import given
from hypothesis import strategies as st

from tosip.pipeline.throttle import Throttle

RUNS = st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(0, 500)), min_size=1)


def taken(throttle: Throttle, size: int, *times: float) -> list[float]:
    return [now for now in times if throttle.take(size, now)]


def test_no_limit_lets_everything_through():
    throttle = Throttle()
    assert taken(throttle, 10**12, 5.0, 5.0, 5.0) == [5.0, 5.0, 5.0]


def test_one_second_goes_at_once_and_then_what_has_flowed_in():
    throttle = Throttle(100)
    assert taken(throttle, 50, 8.0, 8.0, 8.0, 8.25, 8.5, 8.75, 9.0) == [8.0, 8.0, 8.5, 9.0]


def test_long_pause_saves_up_no_more_than_one_second():
    throttle = Throttle(100)
    assert len(taken(throttle, 50, *[1000.0] * 5)) == 2
    assert len(taken(throttle, 50, *[2000.0] * 5)) == 2


def test_array_above_one_second_goes_from_a_full_bucket_and_is_paid_for():
    throttle = Throttle(100)
    assert taken(throttle, 300, *range(10)) == [0, 3, 6, 9]


def test_refused_array_costs_nothing():
    throttle = Throttle(100)
    assert throttle.take(60, 0.0)
    assert not throttle.take(50, 0.0)
    assert throttle.take(40, 0.0)


def test_new_limit_takes_effect_at_once():
    throttle = Throttle(1)
    assert taken(throttle, 10**6, 0.0, 1.0) == [0.0]
    throttle.limit = 10
    assert taken(throttle, 10, 1.0, 1.5, 2.0) == [1.0, 2.0]
    throttle.limit = 0
    assert taken(throttle, 10**6, 2.0, 2.0) == [2.0, 2.0]


def test_limit_written_again_gives_nothing_away():
    throttle = Throttle(100)
    assert throttle.take(100, 0.0)
    throttle.limit = 100
    assert not throttle.take(1, 0.0)


@given(st.floats(1.0, 1000.0), RUNS)
def test_no_stretch_of_time_exceeds_the_limit(limit, run):
    throttle, now, passed = Throttle(limit), 0.0, []
    for pause, size in run:
        now += pause
        if throttle.take(size, now):
            passed.append((now, size))
    burst = max(limit, *(size for _, size in run))
    for first, (start, _) in enumerate(passed):
        total = 0
        for now, size in passed[first:]:
            total += size
            assert total <= (limit * (now - start) + burst) * (1 + 1e-9)


@given(st.integers(1, 1000), st.integers(10, 5000))
def test_who_always_has_more_gets_the_whole_limit(limit, size):
    throttle, total = Throttle(limit), 0
    for tick in range(20 * 64):
        while throttle.take(size, tick / 64):
            total += size
    assert total > 0.95 * limit * 20 - size
