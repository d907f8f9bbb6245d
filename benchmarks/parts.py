"""Where the microseconds of one round trip go.

The round trip of a plugin is taken apart into what can be timed alone, in turns with it in the same
run: messages made and read in tight loops; the worker's own code, run here with its packets waiting
so that it never sleeps; and the same packets sent to and fro between this process and a child that
does nothing else, which is the floor that the kernel sets. What is left over is bookkeeping, and
that code of a tight loop stays in the processor's caches.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.peers import PARAMS
from benchmarks.rig import MIB, Rig
from benchmarks.timing import Block, block, in_turns, medians, table, tight
from tosip.pipeline import protocol, socketpair
from tosip.pipeline.jobs import Answer, Job
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.protocol import Message
from tosip.pipeline.results import check_result
from tosip.pipeline.worker.main import Worker

_SIZE = 32 * MIB
_ROUNDS = 15
_TRIPS = 200
_WAITING = 30  # packets that a socket can hold
_ROOM = 64 * 1024
_TIMEOUT = 30.0

_SLEPT = 1e-4  # s; about what each side has to do while the other sleeps

_CHILD = """
import socket, sys, time
with socket.socket(fileno=int(sys.argv[1])) as end:
    answer, pause = bytes(int(sys.argv[2])), float(sys.argv[3])
    while end.recv(65536):
        until = time.perf_counter() + pause
        while time.perf_counter() < until:
            pass
        end.send(answer)
"""


def main() -> None:
    """Print the table."""
    with Rig() as rig, contextlib.ExitStack() as stack:
        rig.fill_buffers(_SIZE)
        plugin, worker = rig.plugin(), rig.worker()
        array = rig.frame(_SIZE)
        talk = _Talk.of(array, _answer(rig, array))
        pong, slow = (stack.enter_context(_pong(talk, pause)) for pause in (0.0, _SLEPT))
        here = stack.enter_context(_worker_here(rig, array, talk))
        ours, theirs = (stack.enter_context(end) for end in socketpair.pair())
        cpu = _CpuTimes(plugin.workers.pid)
        blocks: dict[str, Block] = {
            "plugin": cpu.watched(rig.trips(plugin, _SIZE, _TRIPS)),
            "worker": rig.bare_trips(worker, _SIZE, _TRIPS),
            "floor": block(partial(_ping, pong, talk.frame), _TRIPS),
            "slept": lambda: [_ping_slowly(slow, talk.frame) for _ in range(_TRIPS)],
            "loop": lambda: rig.run(_ping_on_loop(pong, talk.frame)),
            "sockets": tight(partial(_to_and_fro, ours, theirs, talk), _TRIPS),
            "here": here,
            "encode frame": tight(partial(protocol.encode, "frame", **talk.fields), _TRIPS),
            "decode frame": tight(partial(protocol.decode, talk.frame), _TRIPS),
            "encode result": tight(
                partial(protocol.encode, "result", **talk.message.fields), _TRIPS
            ),
            "decode result": tight(partial(protocol.decode, talk.result), _TRIPS),
            "check": tight(partial(check_result, worker.description, talk.message), _TRIPS),
        }
        taken = medians(in_turns(blocks, _ROUNDS, first=1))
    _show(taken, talk, cpu)


class _CpuTimes:
    """How long this process and a worker have had a CPU for each frame, or have waited for one."""

    def __init__(self, worker: int) -> None:
        self._pids = (os.getpid(), worker)
        self._taken: list[tuple[float, ...]] = []

    def watched(self, block: Block) -> Block:
        """Note the times of a block."""

        def run() -> list[float]:
            before = self._now()
            seconds = block()
            spent = zip(self._now(), before, strict=True)
            self._taken.append(tuple((now - then) / len(seconds) for now, then in spent))
            return seconds

        return run

    def _now(self) -> list[float]:
        lines = [Path(f"/proc/{pid}/schedstat").read_text().split() for pid in self._pids]
        return [1e-9 * int(nanoseconds) for line in lines for nanoseconds in line[:2]]

    def medians(self) -> list[float]:
        """Seconds per frame: this process's time and waiting, the worker's time and waiting."""
        return [median(each) for each in zip(*self._taken, strict=True)]


@dataclass(frozen=True)
class _Talk:
    """What is said for one frame: the fields and the packets."""

    fields: dict[str, Any]
    frame: bytes
    message: Message
    result: bytes

    @classmethod
    def of(cls, array: NDArray, answer: Answer) -> _Talk:
        fields: dict[str, Any] = {
            "sequence": answer.message["sequence"],
            "buffer": array.lease.buffer.number,
            "shape": list(array.shape),
            "dtype": array.dtype,
            "color_mode": array.color_mode,
            "unique_id": array.unique_id,
            "timestamp": array.timestamp,
            "port": "CAM",
            "attributes": {},  # as in the frame before
            "fresh": False,
            "params": None,
            "spare": [],
        }
        result = protocol.encode("result", **answer.message.fields)
        return cls(fields, protocol.encode("frame", **fields), answer.message, result)


def _answer(rig: Rig, array: NDArray) -> Answer:
    """Let a worker look at a frame."""
    worker = rig.worker()

    async def ask() -> Answer:
        heard: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        worker.submit(Job(array, PARAMS, "CAM", _TIMEOUT, heard.set_result))
        answer = await heard
        if not isinstance(answer, Answer):
            raise answer
        return answer

    return rig.run(ask())


@contextlib.contextmanager
def _pong(talk: _Talk, pause: float) -> Iterator[socket.socket]:
    """Start a child that answers each packet with one as long as a result, and works before it."""
    ours, theirs = socketpair.pair()
    words = [str(theirs.fileno()), str(len(talk.result)), str(pause)]
    with ours:
        with theirs:
            child = subprocess.Popen(
                [sys.executable, "-c", _CHILD, *words], pass_fds=[theirs.fileno()]
            )
        yield ours
    child.wait(_TIMEOUT)


def _ping(pong: socket.socket, packet: bytes) -> None:
    pong.send(packet)
    pong.recv(_ROOM)


def _ping_slowly(slow: socket.socket, packet: bytes) -> float:
    """Time `_ping` when each side has worked while the other's CPU slept, without that work."""
    until = perf_counter() + _SLEPT
    while (start := perf_counter()) < until:
        pass
    _ping(slow, packet)
    return perf_counter() - start - _SLEPT


async def _ping_on_loop(pong: socket.socket, packet: bytes) -> list[float]:
    """Send packets as `_ping` does and hear of the answers as the IOC does."""
    loop, taken, heard = asyncio.get_running_loop(), [], asyncio.Event()
    start = 0.0

    def hear() -> None:
        pong.recv(_ROOM)
        taken.append(perf_counter() - start)
        heard.set()

    pong.setblocking(False)
    loop.add_reader(pong, hear)
    try:
        for _ in range(_TRIPS):
            heard.clear()
            start = perf_counter()
            pong.send(packet)
            await heard.wait()
    finally:
        loop.remove_reader(pong)
        pong.setblocking(True)
    return taken


def _to_and_fro(ours: socket.socket, theirs: socket.socket, talk: _Talk) -> None:
    """Send both packets through a socket whose both ends are here, so that nobody is woken."""
    ours.send(talk.frame)
    theirs.recv(_ROOM)
    theirs.send(talk.result)
    ours.recv(_ROOM)


@contextlib.contextmanager
def _worker_here(rig: Rig, array: NDArray, talk: _Talk) -> Iterator[Block]:
    """Run a worker's code in this process, on packets that wait for it: seconds per frame."""
    ours, theirs = socketpair.pair()
    with ours, theirs:
        worker = Worker(theirs)
        file = str(rig.program("HERE").file)
        load = {"version": protocol.VERSION, "file": file, "class": None, "start": True}
        socketpair.send(ours, (), "load", code={}, again={}, watch={}, **load)
        known = {"attributes": dict(array.attributes), "fresh": True}
        first = {**talk.fields, **known, "params": PARAMS}
        socketpair.send(ours, [array.lease.buffer.reader], "frame", **first)
        socketpair.send(ours, (), "stop")
        worker.run()
        _read_to(ours, "stopped")
        stop = protocol.encode("stop")

        def run() -> list[float]:
            for _ in range(_WAITING):
                ours.send(talk.frame)
            ours.send(stop)
            start = perf_counter()
            worker.run()
            taken = perf_counter() - start
            _read_to(ours, "stopped")
            return [taken / _WAITING]

        yield run


def _read_to(sock: socket.socket, type_: str) -> None:
    while True:
        message, _ = socketpair.receive(sock)
        if message is None or message.type == "failed":
            raise RuntimeError(f"expected {type_}, got {message}")
        if message.type == type_:
            return


def _show(taken: dict[str, float], talk: _Talk, cpu: _CpuTimes) -> None:
    total = taken["plugin"]
    worker_rest = (
        taken["here"] - taken["decode frame"] - taken["encode result"] - taken["sockets"] / 2
    )
    parts = {
        "IOC: queue, counters, hand-out, order, outcome": total - taken["worker"],
        f"IOC: encode the frame's message, {len(talk.frame)} B": taken["encode frame"],
        "kernel: both packets, with two wake-ups": taken["floor"],
        f"kernel: more where a CPU has slept {1e3 * _SLEPT:g} ms": taken["slept"] - taken["floor"],
        "worker: decode": taken["decode frame"],
        "worker: view, process, check, the rest": worker_rest,
        f"worker: encode the result, {len(talk.result)} B": taken["encode result"],
        "IOC: event loop instead of a waiting read": taken["loop"] - taken["floor"],
        "IOC: decode": taken["decode result"],
        "IOC: check the result": taken["check"],
    }
    parts["bookkeeping of jobs, cold caches"] = total - sum(parts.values())
    rows = [(name, f"{1e6 * part:.1f}", f"{part / total:.0%}") for name, part in parts.items()]
    rows.append(("plugin, round trip", f"{1e6 * total:.1f}", "100%"))
    rows.append(("  of it the bare worker's", *_of(taken["worker"], total)))
    rows.append(("  of it the worker's code, without sleep", *_of(taken["here"], total)))
    rows.append(("  of it the packets without wake-ups", *_of(taken["sockets"], total)))
    here, here_waits, there, there_waits = cpu.medians()
    rows.append(("CPU time of this process, making the frame too", *_of(here, total)))
    rows.append(("CPU time of the worker", *_of(there, total)))
    rows.append(("both waiting for a CPU", *_of(here_waits + there_waits, total)))
    table(
        f"Where the microseconds go, {_SIZE // MIB} MiB, {_ROUNDS} rounds, medians",
        ("part", "us", "share"),
        rows,
    )


def _of(part: float, total: float) -> tuple[str, str]:
    return f"{1e6 * part:.1f}", f"{part / total:.0%}"


if __name__ == "__main__":
    main()
