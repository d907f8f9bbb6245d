"""One PV on the IOC's side: what waits, what is dropped, what is let go."""

import asyncio
import os

import numpy as np
import pytest

from tests.images.rig import frame, listeners, ramp, run
from tosip.images import slot
from tosip.images.slot import Slot
from tosip.pipeline import protocol
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Port
from tosip.pipeline.protocol import decode


class Process:
    """Takes what it is sent, unless it is `full` or `broken`."""

    def __init__(self) -> None:
        self.full = self.broken = self.is_stuck = False
        self.numbers: list[int] = []
        self.attributes: dict[str, object] = {}

    def stuck(self):
        self.is_stuck = True

    def send(self, data, descriptors):
        if self.broken:
            raise OSError(24, "Too many open files")
        if self.full:
            return False
        message = decode(data)
        pixels = message["shape"] != [0]
        assert pixels == bool(descriptors)
        self.numbers.append(message["unique_id"] if pixels else -1)
        self.attributes = message["attributes"]
        return True


class Bench:
    def __init__(self, period: float = 0.0) -> None:
        self.pool, self.port, self.process = Pool(), Port("CAM"), Process()
        self.slot = Slot("T:CAM:Image", self.port, period)

    def publish(self, *numbers, **more):
        for number in numbers:
            self.port.publish(frame(self.pool, ramp((2, 2)), number, **more))
            self.port.last = None

    @property
    def held(self) -> int:
        return self.pool.figures().used_buffers


@pytest.fixture
def bench():
    bench = Bench()
    bench.slot.watch(bench.process.send, bench.process.stuck)
    bench.slot.done()
    assert bench.process.numbers.pop() == -1  # no frame yet
    yield bench
    bench.slot.reset()
    assert (bench.held, listeners(bench.port)) == (0, 0)
    bench.pool.close()


def test_first_thing_sent_is_the_last_frame():
    bench = Bench()
    bench.port.publish(frame(bench.pool, ramp((2, 2)), 5))
    assert bench.process.numbers == []
    bench.slot.watch(bench.process.send, bench.process.stuck)
    assert bench.process.numbers == [5]
    bench.slot.reset()
    bench.pool.close()


def test_one_frame_is_in_hand_and_the_newest_waits(bench):
    bench.publish(1, 2, 3, 4)
    assert (bench.process.numbers, bench.held) == ([1], 2)
    bench.slot.done()
    assert (bench.process.numbers, bench.held) == ([1, 4], 1)
    bench.slot.done()
    assert (bench.process.numbers, bench.held, bench.slot.sent) == ([1, 4], 0, 2)


def test_newest_frame_goes_when_there_is_room_again(bench):
    bench.process.full = True
    bench.publish(1, 2)
    bench.slot.push()
    assert (bench.process.numbers, bench.held) == ([], 1)
    bench.process.full = False
    bench.slot.push()
    assert bench.process.numbers == [2]
    bench.slot.push()
    assert bench.process.numbers == [2]


def test_frame_in_hand_is_held_although_nobody_watches_any_more(bench):
    bench.publish(1, 2)
    bench.slot.unwatch()
    assert (bench.held, listeners(bench.port)) == (1, 0)
    bench.slot.watch(bench.process.send, bench.process.stuck)
    bench.publish(3)
    assert bench.process.numbers == [1]
    bench.slot.done()
    assert bench.process.numbers == [1, 3]


def test_process_that_keeps_a_frame_for_too_long_is_stuck(bench, monkeypatch):
    bench.publish(1, 2)
    assert not bench.process.is_stuck
    monkeypatch.setattr(slot, "LONGEST_IN_HAND", 0.0)
    bench.publish(3)
    assert bench.process.is_stuck


def test_end_of_the_process_lets_go_of_everything(bench):
    bench.publish(1, 2)
    bench.slot.reset()
    assert (bench.held, listeners(bench.port), bench.slot.busy) == (0, 0, False)


def test_period_is_kept_and_the_newest_frame_comes_after_it():
    async def work():
        bench = Bench(period=0.1)
        loop = asyncio.get_running_loop()
        bench.publish(0)
        bench.port.last = frame(bench.pool, ramp((2, 2)), 1)
        bench.slot.watch(bench.process.send, bench.process.stuck)
        begin = loop.time()
        bench.slot.done()
        bench.publish(2, 3)
        assert bench.process.numbers == [1]
        while len(bench.process.numbers) == 1:
            await asyncio.sleep(0.005)
        assert loop.time() - begin > 0.09
        bench.slot.done()
        bench.publish(4)
        bench.slot.reset()
        await asyncio.sleep(0.15)
        assert bench.process.numbers == [1, 3]
        bench.pool.close()

    run(work())


def test_frame_that_cannot_be_told_is_logged_once_and_replaced_by_nothing(
    bench, caplog, monkeypatch
):
    monkeypatch.setattr(protocol, "LONGEST_JSON", 4000)
    bench.publish(1, LONG="x" * 5000)
    bench.slot.done()
    bench.publish(2, LONG="x" * 5000)
    bench.slot.done()
    bench.publish(3)
    assert bench.process.numbers == [-1, -1, 3]
    assert caplog.text.count("T:CAM:Image: frame") == 1
    assert "expected at most 4000 bytes" in caplog.text


def test_newest_frame_is_sent_once_there_are_descriptors_again(caplog, monkeypatch):
    monkeypatch.setattr(slot, "AGAIN", 0.005)

    async def work():
        bench = Bench()
        bench.process.broken = True
        bench.slot.watch(bench.process.send, bench.process.stuck)
        for number in (1, 2):
            bench.publish(number)
            await asyncio.sleep(0.02)  # several tries
        assert (bench.held, bench.slot.busy) == (1, False)
        bench.process.broken = False
        async with asyncio.timeout(5):
            while not bench.process.numbers:
                await asyncio.sleep(0.005)
        assert bench.process.numbers == [2]

    run(work())
    assert "Too many open files" in caplog.text


def test_attributes_keep_their_types(bench):
    more = {
        "TEXT": "Å",
        "YES": True,
        "LARGE": 2**64 - 1,
        "TIME": 0.5,
        "ROW": np.arange(3, dtype="i2"),
    }
    bench.publish(1, **more)
    found = bench.process.attributes
    assert list(found) == list(more)
    row = found.pop("ROW")
    assert (row.dtype, row.tolist()) == ("int16", [0, 1, 2])
    assert found == {name: value for name, value in more.items() if name != "ROW"}
    assert found["YES"] is True


def test_descriptor_cannot_be_written(bench):
    lease = frame(bench.pool, ramp((2, 2))).lease
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(lease.buffer.reader, b"x")
