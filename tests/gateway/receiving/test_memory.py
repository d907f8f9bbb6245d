"""Memory for received files: shared, bounded, recycled, never in two hands."""

import gc
import os
import random
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest

from tosip.drivers.fits_source import read_bytes
from tosip.gateway.receiving.memory import BLOCK, Memory

MIB = 1 << 20


def fill(received, data):
    at = 0
    while at < len(data):
        room = received.room()
        part = data[at : at + len(room)]
        room[: len(part)] = part
        received.took(len(part))
        at += len(part)
    return received


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 7])
def test_what_was_taken_is_read_back(size):
    data = os.urandom(size)
    received = fill(Memory(8 * MIB).begin(), data)
    assert received.complete
    assert received.size == size
    assert read_bytes(received, 0, size) == data


def test_source_is_read_at_any_offset_and_ends():
    data = os.urandom(3 * MIB)
    received = fill(Memory(8 * MIB).begin(), data)
    chance = random.Random(7)
    for _ in range(50):
        offset, count = chance.randrange(3 * MIB), chance.randrange(1, 2 * MIB)
        buffer = bytearray(count)
        came = received.read_into(memoryview(buffer), offset)
        assert bytes(buffer[:came]) == data[offset : offset + count]
    assert received.read_into(memoryview(bytearray(9)), 3 * MIB) == 0
    assert received.read_into(memoryview(bytearray(9)), 5 * MIB) == 0


def test_freed_memory_is_there_for_the_next_and_reads_as_nothing():
    memory = Memory(4 * MIB)
    received = fill(memory.begin(), bytes(4 * MIB))
    assert memory.free == 0
    received.free()
    received.free()
    assert memory.free == 4 * MIB
    assert not received.complete
    assert received.read_into(memoryview(bytearray(9)), 0) == 0
    assert fill(memory.begin(), bytes(4 * MIB)).complete


def test_blocks_are_recycled_not_made_anew():
    memory = Memory(4 * MIB)
    tracemalloc.start()
    try:
        for _ in range(5):
            fill(memory.begin(), bytes(3 * MIB)).free()
            held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 3 * MIB <= held < 4 * MIB


def test_upload_that_finds_no_memory_lets_go_of_all_it_has():
    memory = Memory(4 * MIB)
    first = fill(memory.begin(), os.urandom(3 * MIB))
    second = fill(memory.begin(), os.urandom(20 * MIB))
    assert first.complete
    assert not second.complete
    assert second.size == 20 * MIB
    assert memory.free == MIB
    assert second.read_into(memoryview(bytearray(9)), 0) == 0


def test_large_upload_takes_no_more_than_the_budget_and_a_scratch_block():
    memory = Memory(4 * MIB)
    tracemalloc.start()
    try:
        received = memory.begin()
        for _ in range(1000):
            received.took(len(received.room()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received.size > 400 * MIB
    assert peak < 6 * MIB


@pytest.mark.parametrize("budget", [0, MIB - 1])
def test_without_a_budget_nothing_is_kept(budget):
    received = Memory(budget).begin()
    assert len(received.room()) > 0
    received.took(5)
    assert not received.complete
    assert received.size == 5


def test_forgotten_memory_comes_back():
    memory = Memory(4 * MIB)
    received = fill(memory.begin(), bytes(4 * MIB))
    loop = [received]
    loop.append(loop)
    del received, loop
    gc.collect()
    assert memory.free == 4 * MIB


def test_memory_is_not_given_to_others_while_somebody_reads_it():
    memory = Memory(2 * MIB)
    data = b"\x01" * (2 * MIB)
    for _ in range(30):
        received = fill(memory.begin(), data)
        read = bytearray(2 * MIB)
        counts: list[int] = []
        reading = threading.Thread(
            target=lambda received=received, read=read, counts=counts: counts.append(
                received.read_into(memoryview(read), 0)
            )
        )
        reading.start()
        received.free()
        other = fill(memory.begin(), b"\x02" * (2 * MIB))
        reading.join()
        assert counts in ([0], [2 * MIB])
        assert bytes(read[: counts[0]]) == data[: counts[0]]
        other.free()
    assert memory.free == 2 * MIB


def test_many_threads_never_get_the_same_block():
    memory = Memory(16 * MIB)

    def use(number):
        for _ in range(20):
            received = fill(memory.begin(), bytes([number]) * (2 * MIB))
            if received.complete:
                buffer = bytearray(2 * MIB)
                assert received.read_into(memoryview(buffer), 0) == 2 * MIB
                assert buffer == bytes([number]) * (2 * MIB)
            received.free()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(8)))
    assert memory.free == 16 * MIB


def test_blocks_are_of_the_size_that_was_promised():
    assert BLOCK == MIB
    received = Memory(2 * MIB).begin()
    for _ in range(9):
        assert 0 < len(received.room()) <= MIB
        received.took(7)
