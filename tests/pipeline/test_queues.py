"""What happens to an array that finds the queue full."""

import asyncio

import pytest

from tests.pipeline.rig import frame, run
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool
from tosip.pipeline.queues import FrameQueue, Policy

POOL = Pool()


def array(number: int) -> NDArray:
    return frame(POOL, unique_id=number)


async def drained(queue: FrameQueue) -> list[int]:
    return [(await queue.get()).array.unique_id for _ in range(len(queue))]


@pytest.mark.parametrize(
    ("policy", "dropped", "left"),
    [
        (Policy.DROP_NEWEST, [0, 0, 1, 1], [1, 2]),
        (Policy.DROP_OLDEST, [0, 0, 1, 1], [3, 4]),
        (Policy.BLOCK, [0, 0, 0, 0], [1, 2, 3, 4]),
    ],
)
def test_policies(policy, dropped, left):
    async def work():
        queue = FrameQueue(2, policy)
        assert [queue.put(array(n)) for n in (1, 2, 3, 4)] == dropped
        assert await drained(queue) == left

    run(work())


def test_get_waits_for_an_array():
    async def work():
        queue = FrameQueue(2, Policy.DROP_NEWEST)
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        assert not waiting.done()
        queue.put(array(5))
        assert (await waiting).array.unique_id == 5

    run(work())


def test_those_who_wait_for_room_never_fill_more_than_there_is():
    async def work():
        queue = FrameQueue(2, Policy.BLOCK)
        longest = 0

        async def put(number: int) -> None:
            nonlocal longest
            await queue.room()
            queue.put(array(number))
            longest = max(longest, len(queue))

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(put(number))
            got = [(await queue.get()).array.unique_id for _ in range(20)]
        assert sorted(got) == list(range(20))
        assert longest == 2

    run(work())


@pytest.mark.parametrize("make_room", [lambda queue: setattr(queue, "size", 2), FrameQueue.clear])
def test_room_is_seen_however_it_came(make_room):
    async def work():
        queue = FrameQueue(1, Policy.BLOCK)
        queue.put(array(1))
        waiting = asyncio.create_task(queue.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        make_room(queue)
        await waiting

    run(work())


def test_smaller_queue_drops_down_to_its_new_size():
    async def work():
        queue = FrameQueue(4, Policy.DROP_OLDEST)
        for number in (1, 2, 3, 4):
            queue.put(array(number))
        queue.size = 0  # the least is 1
        assert queue.put(array(5)) == 4
        assert await drained(queue) == [5]

    run(work())


def test_clear_lets_the_arrays_go():
    pool = Pool()
    queue = FrameQueue(4, Policy.DROP_NEWEST)
    queue.put(frame(pool))
    queue.put(frame(pool))
    assert queue.clear() == 2
    assert pool.figures().free_buffers == 2
