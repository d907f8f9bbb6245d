"""What happens to an array that finds the queue full."""

import pytest

from tests.pipeline.rig import frame
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool
from tosip.pipeline.queues import FrameQueue, Policy

POOL = Pool()


def array(number: int) -> NDArray:
    return frame(POOL, unique_id=number)


def put(queue: FrameQueue, number: int) -> int:
    """Put an array and return how many were dropped for it."""
    entry, dropped = queue.put(array(number))
    return len(dropped) + (entry is None)


def drained(queue: FrameQueue) -> list[int]:
    return [queue.take().array.unique_id for _ in range(len(queue))]


@pytest.mark.parametrize(
    ("policy", "dropped", "left"),
    [
        (Policy.DROP_NEWEST, [0, 0, 1, 1], [1, 2]),
        (Policy.DROP_OLDEST, [0, 0, 1, 1], [3, 4]),
        (Policy.BLOCK, [0, 0, 0, 0], [1, 2, 3, 4]),
    ],
)
def test_policies(policy, dropped, left):
    queue = FrameQueue(2, policy)
    assert [put(queue, n) for n in (1, 2, 3, 4)] == dropped
    assert queue.blocked == (policy is Policy.BLOCK)
    assert drained(queue) == left


def test_arrays_are_numbered_as_they_are_taken_and_one_put_back_is_first():
    queue = FrameQueue(2, Policy.DROP_NEWEST)
    for number in (5, 6, 7):  # the last is dropped, and gets no number
        put(queue, number)
    first = queue.take()
    queue.put_back(first)
    put(queue, 8)
    assert [entry.number for entry in queue.clear()] == [0, 1]
    put(queue, 9)
    assert queue.take().number == 2


@pytest.mark.parametrize(
    "make_room",
    [lambda queue: setattr(queue, "size", 2), FrameQueue.clear, FrameQueue.take],
)
def test_room_is_told_however_it_came(make_room):
    queue = FrameQueue(1, Policy.BLOCK)
    put(queue, 1)
    told: list[bool] = []
    queue.on_room.connect(lambda: told.append(queue.blocked))
    make_room(queue)
    assert told == [False]


def test_smaller_queue_drops_down_to_its_new_size():
    queue = FrameQueue(4, Policy.DROP_OLDEST)
    for number in (1, 2, 3, 4):
        put(queue, number)
    queue.size = 0  # the least is 1
    assert put(queue, 5) == 4
    assert drained(queue) == [5]


def test_clear_lets_the_arrays_go():
    pool = Pool()
    queue = FrameQueue(4, Policy.DROP_NEWEST)
    queue.put(frame(pool))
    queue.put(frame(pool))
    assert len(queue.clear()) == 2
    assert pool.figures().free_buffers == 2


def test_whoever_waits_for_room_goes_on_when_the_policy_drops():
    queue = FrameQueue(1, Policy.BLOCK)
    put(queue, 1)
    told: list[bool] = []
    queue.on_room.connect(lambda: told.append(queue.blocked))
    assert queue.blocked
    queue.policy = Policy.DROP_NEWEST
    assert told == [False]
    assert put(queue, 2) is not None
    assert drained(queue) == [1]
