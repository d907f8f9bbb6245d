"""Buffers are reused, bounded, given back by whoever reads last, and gone without a trace."""

import asyncio
import gc
import os
import threading

import pytest

from tests.pipeline.rig import descriptors, frame, run
from tosip.errors import ProtocolError
from tosip.pipeline import socketpair
from tosip.pipeline.pool import Images, Pool, PoolExhausted

PAGE = os.sysconf("SC_PAGESIZE")


def test_buffer_is_reused_when_its_last_array_goes():
    pool = Pool()
    array = frame(pool)
    number = array.lease.buffer.number
    other = array.with_attributes({"A": 1})
    del array
    assert pool.figures().free_buffers == 0
    del other
    assert pool.figures().free_buffers == 1
    assert frame(pool).lease.buffer.number == number


def test_figures_count_memory_and_buffers():
    pool = Pool(budget=10 * PAGE)
    leases = [pool.allocate(size) for size in (1, PAGE + 1, 2 * PAGE)]
    figures = pool.figures()
    assert (figures.budget, figures.memory, figures.buffers) == (10 * PAGE, 5 * PAGE, 3)
    leases.clear()
    assert pool.figures().free_buffers == 3


def test_frame_much_smaller_than_a_free_buffer_gets_its_own():
    pool = Pool()
    pool.allocate(100 * PAGE)
    lease = pool.allocate(PAGE)
    assert lease.buffer.size == PAGE


def test_budget_is_kept_and_free_buffers_make_room():
    pool = Pool(budget=4 * PAGE)
    lease = pool.allocate(3 * PAGE)
    with pytest.raises(PoolExhausted, match=f"expected {2 * PAGE} B free of {4 * PAGE} B"):
        pool.allocate(2 * PAGE)
    del lease
    assert pool.allocate(4 * PAGE).buffer.size == 4 * PAGE
    assert pool.figures().buffers == 1


def test_waiting_ends_when_memory_is_given_back_in_another_thread():
    async def work():
        pool = Pool(budget=2 * PAGE)
        held = [pool.allocate(2 * PAGE)]
        waiting = asyncio.create_task(pool.allocate_when_free(PAGE))
        await asyncio.sleep(0)
        assert not waiting.done()
        threading.Thread(target=held.clear).start()
        assert (await waiting).buffer.size >= PAGE

    run(work())


def test_many_who_wait_get_one_buffer_each_in_turn():
    async def work():
        pool = Pool(budget=PAGE)
        held = 0

        async def user() -> None:
            nonlocal held
            lease = await pool.allocate_when_free(PAGE)
            held += 1
            assert held == 1
            await asyncio.sleep(0)
            held -= 1
            del lease

        await asyncio.gather(*(user() for _ in range(20)))

    run(work())


@pytest.mark.parametrize("budget", [PAGE, PAGE + 10, 2 * PAGE - 1])
def test_frame_above_the_whole_budget_does_not_wait(budget):
    async def work():
        with pytest.raises(PoolExhausted, match="expected a frame of at most"):
            await Pool(budget).allocate_when_free(PAGE + 1)

    run(work())


def test_threads_and_garbage_collections_do_not_lose_buffers():
    pool = Pool(budget=64 * PAGE)

    def use() -> None:
        for _ in range(300):
            pool.allocate(PAGE)
            pool.figures()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    figures = pool.figures()
    assert figures.buffers == figures.free_buffers <= 8


def test_closed_pool_leaves_no_descriptor_even_of_what_is_read_until_later():
    before = descriptors()
    pool = Pool()
    array = frame(pool)
    pool.allocate(PAGE)
    pool.close()
    assert (array.pixels == 1).all()
    del array
    assert descriptors() == before


def test_frame_memory_cannot_be_mapped_for_writing_or_cut_again():
    reader = Pool().allocate(PAGE).buffer.reader
    assert not os.get_inheritable(reader)
    again = os.open(f"/proc/self/fd/{reader}", os.O_RDWR)
    for attempt in (lambda: os.pwrite(again, b"x", 0), lambda: os.ftruncate(again, 1)):
        with pytest.raises(PermissionError):
            attempt()
    os.close(again)


def made(size: int) -> int:
    descriptor = socketpair.memfd("test")
    os.ftruncate(descriptor, size)
    return descriptor


def test_image_memory_is_sealed_and_can_be_used_again_by_its_maker():
    before = descriptors()
    pool = Pool()
    images = Images(pool)
    kept = made(PAGE)
    lease = images.lease(5, os.dup(kept), 100)
    with pytest.raises(PermissionError):
        os.ftruncate(kept, 0)
    assert images.spare() == []
    del lease
    assert images.spare() == images.spare() == [5]
    images.told()
    assert images.spare() == []
    again = images.lease(5, os.dup(kept), PAGE)
    assert pool.figures().buffers == pool.figures().used_buffers == 1
    images.close()  # its maker has ended: readers go on
    assert again.reading_view((PAGE,), "uint8").sum() == 0
    del again
    assert pool.figures().buffers == 0
    os.close(kept)
    assert descriptors() == before


def test_image_that_somebody_reads_cannot_be_sent_again():
    pool = Pool()
    images = Images(pool)
    kept = made(PAGE)
    lease = images.lease(1, os.dup(kept), 100)
    with pytest.raises(ProtocolError, match="expected memory that nobody reads"):
        images.lease(1, os.dup(kept), 100)
    assert pool.figures().used_buffers == 1
    del lease
    os.close(kept)


def test_frame_buffer_cannot_be_passed_off_as_an_image():
    pool = Pool()
    lease = pool.allocate(PAGE)
    with pytest.raises(ProtocolError, match="image: expected"):
        Images(pool).lease(1, os.dup(lease.buffer.reader), PAGE)


def test_images_count_in_the_budget_and_give_way_when_free():
    pool = Pool(budget=2 * PAGE)
    images = Images(pool)
    lease = images.lease(3, made(2 * PAGE), 2 * PAGE)
    with pytest.raises(PoolExhausted):
        pool.allocate(PAGE)
    with pytest.raises(PoolExhausted):
        images.lease(4, made(PAGE), PAGE)
    assert images.gone() == [4]  # its maker need not keep it
    del lease
    frame_lease = pool.allocate(PAGE)
    assert images.gone() == [3]
    assert pool.figures().memory == PAGE
    del frame_lease


def test_driver_never_gets_memory_that_a_worker_can_write():
    pool = Pool()
    images = Images(pool)
    images.lease(1, made(PAGE), PAGE)  # free at once
    assert pool.allocate(PAGE).buffer.images is None
    assert pool.figures().buffers == 2


def test_what_is_not_needed_is_given_up_after_a_while_and_watchers_are_told():
    async def work():
        pool = Pool()
        told = asyncio.Event()
        pool.watch(told.set)
        held = pool.allocate(PAGE)
        pool.allocate(3 * PAGE)
        pool.shrink(idle=60.0)
        assert pool.figures().buffers == 2
        task = asyncio.create_task(pool.shrink_when_idle(0.01))
        await told.wait()
        task.cancel()
        assert pool.figures().memory == held.buffer.size == PAGE
        pool.unwatch(told.set)

    run(work())


def sealed() -> int:
    import fcntl

    descriptor = made(100)
    fcntl.fcntl(descriptor, socketpair.F_ADD_SEALS, 0x0001)  # no further seals
    return descriptor


def read_only() -> int:
    descriptor = made(100)
    again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
    os.close(descriptor)
    return again


BAD = {
    "too short": lambda: made(99),
    "far too long": lambda: made(1 << 40),
    "not sealable": sealed,
    "read-only": read_only,
    "a file": lambda: os.open(__file__, os.O_RDWR),
    "no memory": lambda: os.open("/dev/zero", os.O_RDWR),
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_unfit_memory_is_refused_and_closed(make):
    before = descriptors()
    pool = Pool()
    with pytest.raises(ProtocolError, match="image: expected"):
        Images(pool).lease(1, make(), 100)
    assert descriptors() == before
    assert pool.figures().buffers == 0


def test_buffers_made_ahead_are_used_without_making_more():
    async def work():
        pool = Pool()
        told: list[int] = []
        pool.on_change.connect(lambda: told.append(pool.figures().free_buffers))
        await pool.preallocate(3, 5 * PAGE)
        leases = [pool.allocate(5 * PAGE) for _ in range(3)]
        assert told == [3]
        assert pool.figures().buffers == len(leases)

    run(work())


def test_buffers_made_ahead_stay_inside_the_budget():
    async def work():
        pool = Pool(3 * PAGE)
        with pytest.raises(PoolExhausted):
            await pool.preallocate(4, PAGE)
        assert pool.figures().memory <= pool.budget
        assert pool.figures().used_buffers == 0

    run(work())
