"""How long it takes until all is well again: after a death, a hang, newer code, the IOC's own end.

* Worker killed: from this process's SIGKILL to the call of the plugin's listener with a good
  result. A busy worker's frame is tried again, an idle one's next frame is published right after
  the signal, so it may go to the dead worker first. The algorithm imports NumPy and nothing else.
* Hang: from publishing a frame whose `process` sleeps to the listener's call with the failed
  outcome, less ProcessTimeout; from there, with the next frame published at once, to a good result.
* Hot reload: frames are published every 20 ms, by the clock; a file is saved as editors do. The
  largest gap between two outcomes, from the save until the newer code has run for a while, less the
  median gap of the quiet time before; the largest of as many quiet gaps stands beside.
* IOC killed: from SIGKILL for a process with a plugin to the end of all that is below it, read from
  pidfds, the guard included. The algorithm has started what `tests.pipeline.family` has to offer.

A recovery without standby has to start an interpreter and import NumPy. That alone, in a bare one,
is timed in turns with it: from `Popen` to a byte written after the import.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.rig import MIB, NOTHING, BenchmarkError, Rig
from benchmarks.timing import Block, extremes, in_turns, table, targets
from tests.pipeline import family
from tosip.pipeline.guard import GUARD
from tosip.pipeline.plugin import Outcome, Plugin
from tosip.pipeline.queues import Policy
from tosip.pipeline.states import WorkerState

HEADINGS = ("what", "n", "median ms", "least", "most")
SIZE = 2 * MIB
PROCESS_TIMEOUT = 0.5  # s
PERIOD = 0.02  # s, between frames while files are saved
SLEEPY = "import time\ntime.sleep(params.p0 / 1000)\nreturn Figures()"
FAMILY = """
import family
self.family = family.Family()
return Result(Figures(), message=str(self.family))
"""
MEMBERS = (
    "worker",
    "daemon, forked twice",
    "multiprocessing's resource tracker",
    "child",
    "child in a group",
    "child in a session, deaf to signals",
    "multiprocessing, spawned",
    "multiprocessing, forked",
    "the guard",
)
_LONG = 60_000  # ms that a hanging frame takes
_BEGUN = 0.02  # s after which a worker is surely at its frame
_ROUNDS = 7
_RELOADS = 6
_QUIET = 0.8  # s
_AFTERWARDS = 0.3  # s that a reload is watched for after newer code has taken over
_IOCS = 5
_LIMIT = 10.0  # s


class Patient:
    """A plugin with a port of its own, whose worker can be made to hang by p0 (milliseconds)."""

    def __init__(self, rig: Rig, name: str, *, standby: bool, process_timeout: float = 10.0):
        self._rig = rig
        self._standby = standby
        self._port = rig.ports.add(f"CAM {name}")
        self.plugin = rig.plugins([name], SLEEPY, standby=standby, process_timeout=process_timeout)[
            0
        ]
        self.plugin.connect(self._port.name)

    async def ready(self) -> None:
        """Have a worker that has answered, so that its next end is the first in a row."""
        self.plugin.write("p0", 0)
        _good(await self._outcome(self._publish))
        await self._rest()

    async def _rest(self) -> None:
        """Let no standby worker start while something else is timed."""
        if self._standby:
            workers = self.plugin.workers
            await self._rig.until(self.plugin, lambda: workers.standing_by == 1)

    def killed(self, *, busy: bool) -> Block:
        """Seconds from SIGKILL to the next result."""

        async def killed() -> list[float]:
            await self.ready()
            pid = self.plugin.workers.pid
            if busy:
                await self._hang()
            begun = perf_counter()
            os.kill(pid, signal.SIGKILL)
            outcome = await self._outcome(lambda: None if busy else self._publish())
            taken = perf_counter() - begun
            _good(outcome)
            if self.plugin.workers.pid == pid:
                raise BenchmarkError("expected another worker")
            await self._rest()
            return [taken]

        return lambda: self._rig.run(killed())

    async def _hang(self) -> None:
        """Let the worker sleep over a frame that is harmless when it is tried again."""
        self.plugin.write("p0", _LONG)
        self._publish()
        await asyncio.sleep(_BEGUN)
        if self.plugin.workers.state is not WorkerState.BUSY:
            raise BenchmarkError(f"expected a busy worker, got {self.plugin.workers.state}")
        self.plugin.write("p0", 0)

    def hung(self) -> Block:
        """Seconds from a frame to its failure, less the time-out; from there to a good result."""

        async def hung() -> list[float]:
            await self.ready()
            self.plugin.write("p0", _LONG)
            begun = perf_counter()
            failed = await self._outcome(self._publish)
            detected = perf_counter()
            if "no result in" not in failed.message:
                raise BenchmarkError(f"expected a time-out, got {failed.message}")
            self.plugin.write("p0", 0)
            _good(await self._outcome(self._publish))
            recovered = perf_counter()
            await self._rest()
            return [detected - begun - PROCESS_TIMEOUT, recovered - detected]

        return lambda: self._rig.run(hung())

    def _publish(self) -> None:
        self._port.publish(self._rig.frame(SIZE))

    async def _outcome(self, begin: Callable[[], None]) -> Outcome:
        return await next_outcome(self.plugin, begin)


async def next_outcome(plugin: Plugin, begin: Callable[[], None]) -> Outcome:
    """Call `begin` and return the next outcome."""
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    plugin.on_outcome.connect(done.set_result)
    begin()
    outcome = await done
    plugin.on_outcome.disconnect(done.set_result)
    return outcome


def _good(outcome: Outcome) -> None:
    if outcome.failed:
        raise BenchmarkError(f"expected a result, got {outcome.message}")


def main() -> None:
    """Print the tables."""
    logging.getLogger("tosip").addHandler(logging.NullHandler())  # warnings are what we ask for
    rows = _harms()
    rows += _reloads()
    rows += _iocs()
    targets("Recovery", rows)


Row = tuple[str, str, str, bool]


def _below(what: str, seconds: list[float], limit: float) -> Row:
    """A row of the targets: the median has to be below `limit` seconds."""
    found = median(seconds)
    return what, f"{1e3 * found:.1f} ms", f"< {1e3 * limit:.0f} ms", found < limit


def _harms() -> list[Row]:
    """Kill workers and let them hang, with and without standby."""
    limits = {"no standby": 0.4, "standby": 0.05}
    numpy = "import numpy"
    blocks: dict[str, Block] = {numpy: _start_numpy}
    with Rig() as rig:
        for number, way in enumerate(limits):
            standby = way == "standby"
            killed = Patient(rig, f"KILLED{number}", standby=standby)
            blocks[f"killed idle, {way}"] = killed.killed(busy=False)
            blocks[f"killed busy, {way}"] = killed.killed(busy=True)
            hung = Patient(rig, f"HUNG{number}", standby=standby, process_timeout=PROCESS_TIMEOUT)
            blocks[f"hung, {way}"] = hung.hung()
        taken = in_turns(blocks, _ROUNDS, first=1)
    rows = []
    for way, limit in limits.items():
        hangs = taken.pop(f"hung, {way}")
        taken[f"hang seen, {way}"] = hangs[::2]
        taken[f"result after a hang, {way}"] = hangs[1::2]
        rows += [
            _below(f"killed {when}, {way}", taken[f"killed {when}, {way}"], limit)
            for when in ("idle", "busy")
        ]
        rows.append(_below(f"hang seen, {way}", hangs[::2], 0.05))
        rows.append(_below(f"result after a hang, {way}", hangs[1::2], limit))
    start = median(taken[numpy])
    table(
        f"From harm to the next result, {_ROUNDS} rounds",
        (*HEADINGS, "of NumPy's start"),
        [(way, *extremes(each), f"{median(each) / start:.2f}") for way, each in taken.items()],
    )
    return rows


def _start_numpy() -> list[float]:
    """Seconds until a bare interpreter has NumPy."""
    # -P: as in a worker, modules are not looked for in this folder first.
    command = [sys.executable, "-P", "-c", "import numpy, os; os.write(1, b'.')"]
    begun = perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        if process.stdout:
            process.stdout.read(1)
        return [perf_counter() - begun]


def _reloads() -> list[Row]:
    """Save files while frames come and go."""
    with Rig() as rig:
        body = NOTHING.replace("()", "(value=0)")
        plugin = rig.plugins(["RELOAD"], body, policy=Policy.DROP_NEWEST)[0]
        watch = Stream(rig, plugin)
        rig.run(watch.run())
        counters = plugin.counters
    lost = watch.published - len(watch.seen)
    if watch.seen != sorted(set(watch.seen)):
        raise BenchmarkError("expected every frame once and in order")
    gaps = {
        "largest gap, reload": watch.pauses,
        "largest gap, as long without": watch.quiet,
        "save until newer code runs": watch.loaded,
    }
    table(
        f"Hot reload at {1 / PERIOD:g} frames/s (gaps less the usual {1e3 * watch.usual:.1f} ms)",
        HEADINGS,
        [(what, *extremes(seconds)) for what, seconds in gaps.items()],
    )
    fine = lost == counters.dropped == counters.failed == 0
    return [
        _below("hot reload, pause, median", watch.pauses, 0.02),
        _below("hot reload, pause, longest", [max(watch.pauses)], 0.02),
        (f"frames lost of {watch.published}", str(lost), "0", fine),
    ]


class Stream:
    """Frames at a steady rate, and the gaps between their outcomes while files are saved."""

    def __init__(self, rig: Rig, plugin: Plugin) -> None:
        self.pauses: list[float] = []
        self.quiet: list[float] = []
        self.loaded: list[float] = []
        self.usual = 0.0
        self.seen: list[int] = []
        self.published = 0
        self._times: list[float] = []
        self._usual: list[float] = []
        self._rig = rig
        self._plugin = plugin
        self._going = True
        plugin.on_outcome.connect(self._see)

    def _see(self, outcome: Outcome) -> None:
        self._times.append(perf_counter())
        if not outcome.failed:
            self.seen.append(outcome.array.unique_id)

    async def run(self) -> None:
        """Save newer code again and again, with quiet times between."""
        source = asyncio.create_task(self._publish())
        await asyncio.sleep(_QUIET)
        for version in range(1, _RELOADS + 1):
            before = await self._gaps(asyncio.sleep(_QUIET))
            during = await self._gaps(self._reload(version))
            usual = median(before)
            # Of a longer time the largest gap is larger: as many quiet gaps are looked at.
            while len(before) < len(during):
                before += await self._gaps(asyncio.sleep(PERIOD))
            self._usual += before
            self.quiet.append(max(before) - usual)
            self.pauses.append(max(during) - usual)
        self._going = False
        await source
        await self._rig.until(self._plugin, lambda: self._rig.origin.queued == 0)
        self.usual = median(self._usual)

    async def _publish(self) -> None:
        due = perf_counter()
        while self._going:
            self._rig.source.publish(self._rig.frame(SIZE))
            self.published += 1
            due += PERIOD
            await asyncio.sleep(due - perf_counter())

    async def _gaps(self, work: Awaitable[None]) -> list[float]:
        """The gaps between outcomes that end during `work`, and the one that it ends in."""
        first = len(self._times) - 1
        await work
        end = len(self._times)
        while len(self._times) <= end:
            await asyncio.sleep(PERIOD / 10)
        times = self._times[first:]
        return [later - before for before, later in pairwise(times)]

    async def _reload(self, version: int) -> None:
        plugin = self._plugin
        before = plugin.workers.code_hash
        begun = perf_counter()
        _save(plugin.program.file, version)
        await self._rig.until(plugin, lambda: plugin.workers.code_hash != before)
        self.loaded.append(perf_counter() - begun)
        await asyncio.sleep(_AFTERWARDS)
        outputs = plugin.last_outcome.outputs if plugin.last_outcome else None
        if not outputs or outputs["value"] != version:
            raise BenchmarkError(f"expected results of version {version}, got {outputs}")


def _save(file: Path, version: int) -> None:
    """Save as editors do: write another file and give it the name."""
    other = file.with_suffix(".py~")
    other.write_text(file.read_text().replace(f"value={version - 1})", f"value={version})"))
    other.rename(file)


def _iocs() -> list[Row]:
    """Kill processes that stand for an IOC."""
    taken: dict[str, list[float]] = {name: [] for name in MEMBERS}
    for _ in range(_IOCS):
        for name, seconds in _ends().items():
            taken[name].append(seconds)
    last = [max(seconds) for seconds in zip(*taken.values(), strict=True)]
    table(
        f"From the IOC's SIGKILL to the end, {_IOCS} IOCs",
        HEADINGS,
        [(name, *extremes(seconds)) for name, seconds in (*taken.items(), ("the last", last))],
    )
    return [
        _below("IOC killed, last one gone, median", last, 1.0),
        _below("IOC killed, last one gone, longest", [max(last)], 1.0),
    ]


def _ends() -> dict[str, float]:
    """Seconds from an IOC's SIGKILL to the end of each process below it."""
    command = [sys.executable, "-c", "from benchmarks.recovery import ioc; ioc()"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TMPDIR": folder}  # it cannot tidy up
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
            said = parent.stdout.readline().decode() if parent.stdout else ""
            pids = [int(word) for word in said.split() if word.isdigit()]
            names = {os.pidfd_open(pid): n for pid, n in zip(pids, MEMBERS, strict=True)}
            begun = perf_counter()
            parent.kill()
            return _wait(names, begun)


def _wait(names: dict[int, str], begun: float) -> dict[str, float]:
    ends: dict[str, float] = {}
    while names:
        ended, _, _ = select.select(list(names), [], [], _LIMIT)
        if not ended:
            raise BenchmarkError(f"expected the end of {', '.join(names.values())}")
        for descriptor in ended:
            ends[names.pop(descriptor)] = perf_counter() - begun
            os.close(descriptor)
    return {name: ends[name] for name in MEMBERS}


def ioc() -> None:
    """Let an algorithm start processes, say their numbers, and wait to be killed."""
    with Rig() as rig:
        plugin = rig.plugin(FAMILY)
        shutil.copy(family.__file__, plugin.program.file.parent)
        begin = partial(rig.source.publish, rig.frame(SIZE))
        outcome = rig.run(next_outcome(plugin, begin))
        print(outcome.message, GUARD.pid, flush=True)
        rig.run(asyncio.sleep(_LIMIT))


if __name__ == "__main__":
    main()
