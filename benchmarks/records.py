"""What the records cost: start, latency to a client, CPU time, 100 clients, memory.

Latency is the age of an update's time stamp when a Channel Access client in another process gets
it: the frame's time stamp is taken just before its port publishes it. Bare softioc records in the
same IOC, set from the same event loop to the same client, in turns with the frames, tell what of
it is softioc's, EPICS's and the client's.

The IOC has 16 cameras: a FITS driver each, a plugin with 20 outputs that does nothing, all their
records, and images. The clients of the crowd get all updates and do not look at them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from statistics import median

import numpy as np

from benchmarks import records_start
from benchmarks.records_ioc import OUTPUTS, PREFIX, SHAPE, bare, outputs
from benchmarks.records_process import Told
from benchmarks.rig import BenchmarkError
from benchmarks.timing import table, targets
from tosip.testing.ioc import own_network

CAMERAS = 16
CLIENTS = 100
_RATE = 20.0  # frames and bare records of the latency, /s
_LATENCY_SECONDS = 15.0
_CPU_SECONDS = 20.0
_CROWD_RATE, _CROWD_SECONDS, _CROWD_TURNS = 5.0, 8.0, 2
_MEMORY_RATE, _MEMORY_SECONDS, _MEMORY_STEPS = 150.0, 2.0, 18  # after one that fills caches
_MOST = 0.98  # of the updates
_MANY = 100_000  # updates
_FLAT = 1.0  # MiB
_ALONE = "none"
_FRAME, _FILE, _BARE = ["frame"], ["file"], ["bare"]

Row = tuple[str, str, str, bool]
Ages = Mapping[str, list[float]]


def main() -> None:
    """Print the tables."""
    rows = records_start.main()
    with _bench() as bench:
        rows += bench.latency()
        rows += bench.cpu()
        rows += bench.crowd()
        rows += bench.memory()
    rows += _deployed()
    targets("Records", rows)


def _deployed() -> list[Row]:
    """The memory of the real thing."""
    found = records_start.settled_memory()
    names = ("Rss", "Pss", "Pss_Anon", "Pss_Shmem")
    table(
        f"NEOSTED with {CAMERAS} simulated cameras, MiB",
        ("when", *(name.replace("_", " ") for name in names)),
        [(when, *(f"{sizes[name]:.0f}" for name in names)) for when, sizes in found.items()],
    )
    last = list(found.values())[-1]
    return [(f"RSS of NEOSTED's IOC, {CAMERAS} cameras", f"{last['Rss']:.0f} MiB", "stated", True)]


@contextmanager
def _bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        network = own_network()

        def start(module: str, *arguments: str) -> Told:
            told = Told(f"benchmarks.{module}", network, *arguments)
            stack.callback(told.stop)
            return told

        ioc = start("records_ioc", folder, str(CAMERAS))
        yield Bench(ioc, start("records_client"), start)


@dataclass
class _Crowd:
    """A process of clients, and what has come to them, of all times together."""

    told: Told
    clients: int
    names: list[str]
    heard: int = 0

    def join(self) -> None:
        """Let them monitor."""
        self.told("join", clients=self.clients, names=self.names)

    def part(self) -> None:
        """Let them leave."""
        self.heard += self.told("part")


@dataclass
class _Window:
    """What was found with or without the crowd, in seconds."""

    ages: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    seconds: float = 0.0
    ioc: float = 0.0
    clients: float = 0.0

    def rows(self, clients: str) -> list[tuple[str, ...]]:
        """The figures for the table."""
        shares = [f"{used / self.seconds:.0%}" for used in (self.ioc, self.clients)]
        return [
            (clients, *_milliseconds(self.ages, 50, 10, 90), *shares),
            ("  bare records", *_milliseconds(self.bare, 50, 10, 90), "", ""),
        ]


class Bench:
    """The IOC, the client that times, and others when they are needed."""

    def __init__(self, ioc: Told, client: Told, start: Callable[..., Told]) -> None:
        self._ioc, self._client, self._start = ioc, client, start

    def latency(self) -> list[Row]:
        """Frames and bare records in turns."""
        self._watch(outputs(1) + bare())
        ages = self._ages(_FRAME + _BARE, 2 * _RATE, _LATENCY_SECONDS)
        found = {"TOSIP": [ages[pv] for pv in outputs(1)], "bare": [ages[pv] for pv in bare()]}
        table(
            f"Frame to client, {SHAPE[0]} x {SHAPE[1]}, {_RATE:g}/s, {_load()}",
            ("records", "updates", "last, ms", "p10", "p90", "first", "all"),
            [
                (
                    way,
                    str(sum(map(len, pvs))),
                    *_milliseconds(pvs[-1], 50, 10, 90),
                    *_milliseconds(pvs[0], 50),
                    *_milliseconds(list(chain(*pvs)), 50),
                )
                for way, pvs in found.items()
            ],
        )
        last, every = median(found["TOSIP"][-1]), float(np.median(np.concatenate(found["TOSIP"])))
        floor = median(found["bare"][-1])
        return [
            ("frame to the last of 20 outputs, median", _ms(last), "< 5 ms", last < 0.005),
            ("frame to an output, median of all", _ms(every), "< 5 ms", every < 0.005),
            ("the last one, in bare records'", f"{last / floor:.2f}", "-", True),
        ]

    def cpu(self) -> list[Row]:
        """The IOC's CPU time with a client that monitors all outputs of all cameras."""
        self._watch([pv for camera in range(1, CAMERAS + 1) for pv in outputs(camera)])
        shares = {
            "no frames": self._share([], 0.0),
            "16 frames/s, ready in memory": self._share(_FRAME, 16.0),
            "16 frames/s, files read by the drivers": self._share(_FILE, 16.0),
        }
        idle = shares["no frames"]
        table(
            f"CPU of the IOC, {CAMERAS} cameras, {OUTPUTS} outputs each, {_load()}",
            ("what", "of one core", "ms per frame"),
            [
                (what, f"{share:.1%}", f"{1e3 * (share - idle) / 16:.1f}" if share != idle else "-")
                for what, share in shares.items()
            ],
        )
        return [
            (f"CPU of the IOC, {what}", f"{share:.0%}", "< 25 %", share < 0.25)
            for what, share in shares.items()
        ]

    def _share(self, ways: list[str], rate: float) -> float:
        before = self._ioc.cpu()
        done = self._offer(ways, rate, _CPU_SECONDS, CAMERAS)
        self._client("take", settle=0.0)
        return (self._ioc.cpu() - before) / done

    def crowd(self) -> list[Row]:
        """The latency with 100 more clients and a reader of images, in turns with none.

        All monitor the bare records too: what becomes of them is what softioc's servers take.
        """
        watched = outputs(1) + bare()
        self._watch(watched)
        reader = _Crowd(self._start("records_crowd", "image"), 1, [f"{PREFIX}CAM01:Image"])
        crowds = {
            name: _Crowd(self._start("records_crowd", protocol), CLIENTS, watched)
            for name, protocol in (("Channel Access", "ca"), ("PVAccess", "pva"))
        }
        windows = {name: _Window() for name in (_ALONE, *crowds)}
        for _ in range(_CROWD_TURNS):
            self._window(windows[_ALONE], [])
            for name, crowd in crowds.items():
                self._window(windows[name], [crowd, reader])
        _check(reader, crowds, windows)
        table(
            f"Beside {CLIENTS} clients and a reader of images, {_CROWD_RATE:g} frames/s, {_load()}",
            ("clients", "last, ms", "p10", "p90", "CPU of IOC", "of the crowd"),
            [row for name, window in windows.items() for row in window.rows(name)],
        )
        return [row for name in crowds for row in _slower(name, windows[_ALONE], windows[name])]

    def _window(self, window: _Window, crowds: Sequence[_Crowd]) -> None:
        """Time frames for a while, beside clients."""
        for crowd in crowds:
            crowd.join()
        self._client("take")
        ioc, clients = self._ioc.cpu(), sum(crowd.told.cpu() for crowd in crowds)
        window.seconds += self._offer(_FRAME + _BARE, 2 * _CROWD_RATE, _CROWD_SECONDS, 1)
        window.ioc += self._ioc.cpu() - ioc
        window.clients += sum(crowd.told.cpu() for crowd in crowds) - clients
        ages = self._client("take")
        window.ages += ages[outputs(1)[-1]]
        window.bare += ages[bare()[-1]]
        for crowd in crowds:
            crowd.part()

    def memory(self) -> list[Row]:
        """The IOC's memory while one plugin's outputs are updated, with a client that monitors."""
        crowd = _Crowd(self._start("records_crowd", "pva"), 1, outputs(1))
        crowd.join()
        updates: list[int] = []
        anonymous: list[float] = []
        resident: list[float] = []
        for step in range(_MEMORY_STEPS + 1):
            done = self._ioc(
                "offer", rate=_MEMORY_RATE, seconds=_MEMORY_SECONDS, ways=_FRAME, cameras=1
            )
            updates.append(done["processed"] * OUTPUTS + (updates[-1] if step else 0))
            found = self._ioc.memory()
            anonymous.append(found["Pss_Anon"])
            resident.append(found["Rss"])
        crowd.part()
        count = updates[-1] - updates[0]
        growth = float(np.polyfit(updates, anonymous, 1)[0]) * _MANY
        table(
            f"Memory of the benchmark's IOC, {CAMERAS} cameras, MiB, {_load()}",
            ("updates", "RSS", "anonymous PSS"),
            [
                (str(number), f"{rss:.1f}", f"{own:.1f}")
                for number, rss, own in list(zip(updates, resident, anonymous, strict=True))[::5]
            ],
        )
        return [
            (
                f"memory's growth over {_MANY} updates ({count} made)",
                f"{growth:.2f} MiB",
                f"< {_FLAT:g} MiB",
                abs(growth) < _FLAT,
            )
        ]

    def _watch(self, names: Sequence[str]) -> None:
        self._client("watch", names=names)

    def _ages(self, ways: list[str], rate: float, seconds: float) -> Ages:
        """Offer frames and return the ages of their updates; those that came before are gone."""
        self._client("take")
        self._offer(ways, rate, seconds, 1)
        ages: Ages = self._client("take")
        return ages

    def _offer(self, ways: list[str], rate: float, seconds: float, cameras: int) -> float:
        done = self._ioc("offer", rate=rate, seconds=seconds, ways=ways, cameras=cameras)
        return float(done["seconds"])


def _slower(name: str, alone: _Window, beside: _Window) -> list[Row]:
    """Rows of the targets: how many times the latency alone it has become."""
    ratio = median(beside.ages) / median(alone.ages)
    floor = median(beside.bare) / median(alone.bare)
    return [
        (f"latency beside {CLIENTS} of {name}", f"{ratio:.1f} times", "< 2 times", ratio < 2),
        ("the same of bare records", f"{floor:.1f} times", "-", True),
    ]


def _check(reader: _Crowd, crowds: Mapping[str, _Crowd], windows: Mapping[str, _Window]) -> None:
    """BenchmarkError unless all clients have heard of the frames.

    EPICS leaves out a few updates when a client is slow to take them. Of PVAccess it is known which
    monitors have heard anything.
    """
    frames = sum(len(windows[name].ages) for name in crowds)
    channel_access, pv_access = crowds.values()
    updates = 2 * len(windows["Channel Access"].ages) * CLIENTS * OUTPUTS
    wanted = {
        "Channel Access updates": (channel_access.heard, _MOST * updates),
        "PVAccess monitors": (pv_access.heard, 2 * _CROWD_TURNS * CLIENTS * OUTPUTS),
        "images": (reader.heard, _MOST * frames),
    }
    faults = {what: (found, least) for what, (found, least) in wanted.items() if found < least}
    if faults:
        raise BenchmarkError(f"expected at least the second, got the first: {faults}")


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


def _milliseconds(seconds: Sequence[float], *percentiles: float) -> list[str]:
    return [f"{1e3 * value:.1f}" for value in np.percentile(seconds, percentiles)]


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"


if __name__ == "__main__":
    main()
