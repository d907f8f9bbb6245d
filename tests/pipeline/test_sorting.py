"""Items come out in order, all of them, whatever order they come in."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tosip.pipeline.sorting import Sorter, SortMode

UNSORTED, SORTED = SortMode.UNSORTED, SortMode.SORTED
FOREVER = 1e9


def sorter(mode: SortMode = SORTED, time: float = 0.1, size: int = 10) -> Sorter[int]:
    return Sorter(mode, time, size)


def put(sorter: Sorter[int], *numbers: int, now: float = 0.0) -> list[int]:
    return [item for number in numbers for item in sorter.put(number, number, now)]


@st.composite
def shuffled(draw, most=30, displacement=5):
    shifts = draw(st.lists(st.integers(0, displacement), max_size=most))
    return sorted(range(len(shifts)), key=lambda number: number + shifts[number])


def test_unsorted_lets_all_go_at_once_and_counts_those_passed_by_a_later_one():
    sort = sorter(UNSORTED)
    assert put(sort, 0, 2, 1, 4, 3, 5) == [0, 2, 1, 4, 3, 5]
    assert sort.disordered == 2


def test_unsorted_does_not_count_gaps():
    sort = sorter(UNSORTED)
    put(sort, 0)
    sort.skip(1)
    put(sort, 2)
    assert sort.disordered == 0


def test_sorted_holds_until_the_missing_one_comes():
    sort = sorter()
    assert put(sort, 1, 2) == []
    assert sort.free == 8
    assert put(sort, 0) == [0, 1, 2]
    assert (sort.free, sort.disordered) == (10, 0)


def test_skipped_number_is_not_waited_for():
    sort = sorter()
    assert put(sort, 2) == []
    assert sort.skip(0) == []
    assert sort.skip(1) == [2]
    assert sort.skip(3) == []
    assert put(sort, 4) == [4]


def test_what_is_overdue_takes_with_it_what_is_in_order_then():
    sort = sorter(time=0.5)
    put(sort, 2, now=1.0)
    put(sort, 1, 3, 5, now=1.25)
    assert sort.due() == 1.5
    assert sort.overdue(1.49) == []
    assert sort.overdue(1.5) == [1, 2, 3]
    assert sort.due() == 1.75
    assert sort.overdue(1.75) == [5]
    assert sort.due() is None


def test_late_one_goes_out_at_once_and_counts_as_disordered():
    sort = sorter()
    put(sort, 2, now=0.0)
    sort.overdue(1.0)
    assert put(sort, 1, 0) == [1, 0]
    assert sort.disordered == 2
    assert put(sort, 3) == [3]


@pytest.mark.parametrize(
    ("new", "gone", "still_held"),
    [(6, [3], 2), (4, [3, 4, 5], 0), (2, [2, 3], 1), (0, [0], 2)],
)
def test_full_sorter_gives_up_waiting_instead_of_dropping(new, gone, still_held):
    sort = sorter(size=2)
    put(sort, 3, 5)
    assert put(sort, new) == gone
    assert (sort.free, sort.disordered) == (2 - still_held, 0)


def test_shorter_time_makes_what_is_held_due_sooner():
    sort = sorter(time=5.0)
    put(sort, 1)
    sort.time = 1.0
    assert sort.due() == 1.0
    assert sort.overdue(1.0) == [1]


def test_smaller_size_lets_the_lowest_go_with_the_next_call():
    sort = sorter(size=4)
    put(sort, 1, 3, 5, 7)
    sort.size = 0  # the least is 1
    assert (sort.size, sort.free) == (1, 0)
    assert sort.overdue(0.0) == [1, 3, 5]


def test_flush_at_the_end_waits_for_nothing():
    sort = sorter()
    put(sort, 5, 1, 3)
    assert sort.flush() == [1, 3, 5]
    assert sort.due() is None


def test_flush_after_the_change_to_unsorted_lets_everything_go():
    sort = sorter()
    put(sort, 5, 1, 3)
    sort.mode = UNSORTED
    assert sort.flush() == [1, 3, 5]
    assert put(sort, 0, 7) == [0, 7]


def test_change_to_sorted_does_not_wait_for_what_was_passed_already():
    sort = sorter(UNSORTED)
    put(sort, 0, 3)
    sort.mode = SORTED
    assert put(sort, 4, 1, 6, 2) == [4, 1, 2]
    assert put(sort, 5) == [5, 6]


def test_memory_is_bounded_while_a_number_never_comes():
    for mode in SortMode:
        sort = sorter(mode, time=FOREVER)
        for number in range(1, 5000):
            put(sort, number)
        assert len(pickle.dumps(sort)) < 1000


def test_memory_is_bounded_while_all_but_one_are_skipped():
    sort = sorter()
    for number in range(1, 5000):
        sort.skip(number)
    assert len(pickle.dumps(sort)) < 1000
    assert put(sort, 5000, 0, 5001) == [0, 5000, 5001]


@given(shuffled(), st.sets(st.integers(0, 30)))
def test_sorted_without_limits_gives_ascending_numbers_as_soon_as_it_can(order, skipped):
    sort = sorter(time=FOREVER, size=100)
    out, come = [], set()
    for number in order:
        out += sort.skip(number) if number in skipped else put(sort, number)
        come.add(number)
        first_missing = min(set(range(len(order) + 1)) - come)
        assert out == [number for number in range(first_missing) if number not in skipped]
    assert sort.disordered == 0


@given(shuffled(), st.integers(1, 6))
def test_disordered_are_those_that_went_out_after_a_higher_number(order, size):
    sort = sorter(size=size)
    out = put(sort, *order) + sort.flush()
    assert sorted(out) == sorted(order)
    assert sort.disordered == sum(n < max(out[: i + 1]) for i, n in enumerate(out))


class SorterAtWork(RuleBasedStateMachine):
    """A plugin with four workers whose operator changes settings at any time."""

    @initialize(mode=st.sampled_from(SortMode))
    def start(self, mode):
        self.now = 0.0
        self.sort = sorter(mode, size=3)
        self.begun = 0
        self.busy: list[int] = []
        self.put: set[int] = set()
        self.out: list[int] = []

    @precondition(lambda self: len(self.busy) < 4)
    @rule()
    def begin(self):
        self.busy.append(self.begun)
        self.begun += 1

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), skipped=st.booleans())
    def end(self, data, skipped):
        number = self.busy.pop(data.draw(st.integers(0, len(self.busy) - 1)))
        if skipped:
            self.out += self.sort.skip(number)
        else:
            self.put.add(number)
            self.out += self.sort.put(number, number, self.now)

    @rule()
    def wait(self):
        due = self.sort.due()
        if due is not None:
            self.now = max(self.now, due)
            gone = self.sort.overdue(self.now)
            assert gone
            self.out += gone

    @rule(step=st.floats(0.0, 0.2))
    def let_time_pass(self, step):
        self.now += step

    @rule(mode=st.sampled_from(SortMode), flush=st.booleans())
    def change_mode(self, mode, flush):
        self.sort.mode = mode
        if flush:
            self.out += self.sort.flush()
            assert self.sort.free == self.sort.size

    @rule(size=st.integers(-1, 6), time=st.floats(0.0, 0.2))
    def change_limits(self, size, time):
        self.sort.size, self.sort.time = size, time
        self.out += self.sort.overdue(self.now)

    @invariant()
    def nothing_is_lost_or_doubled(self):
        held = self.put - set(self.out)
        assert len(self.out) == len(set(self.out))
        assert set(self.out) <= self.put
        assert len(held) + self.sort.free == self.sort.size

    @invariant()
    def memory_is_bounded(self):
        assert len(pickle.dumps(self.sort)) < 1000

    def teardown(self):
        self.out += self.sort.flush()
        assert set(self.out) == self.put


TestSorterAtWork = SorterAtWork.TestCase
TestSorterAtWork.settings = settings(deadline=None, max_examples=100)
