"""What supervision costs those that are well: its share of a round trip, and a neighbour's crashes.

Round trips, one frame at a time, of an algorithm that does nothing; the same frames, processes of
the same kind, in turns:

* no time-out: from a bare worker's `WorkerProcess.submit`, with `_begin` doing nothing, to the
  call with the answer;
* bare worker: the same with ProcessTimeout's timer;
* supervisor: from `Supervisor.submit` to the call with the answer: state steps and the count of
  failures as well;
* plugin: from publishing to the listener's call.

The share is what the supervisor's way takes more than the first, of the plugin's round trip. Each
way is timed by the clock, and by the CPU time of this process's thread, where all of it is spent:
that one hears less of what else the machine does.

The healthy neighbour does nothing either and is offered 100 frames/s by the clock. Its latency is
`Outcome.latency`: from the frame's arrival at the plugin to the listener's call. How late the frame
was published stands beside it: the event loop is the neighbours' too. The other plugin listens to
the same port; its queue drops what it cannot take. It crashes (`os._exit`) at each frame, with the
default back-off, and is rearmed at once when it is quarantined; or, worse, at every second frame,
so that it is started again at once, all the time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, thread_time

import numpy as np

from benchmarks.rig import MIB, Rig
from benchmarks.timing import Block, in_turns, medians, quietest, spread, table, targets
from tosip.pipeline.plugin import Outcome, Plugin
from tosip.pipeline.process import WorkerProcess
from tosip.pipeline.queues import Policy
from tosip.pipeline.states import WorkerState

SIZE = 8 * MIB
UNTIMED, WORKER, SUPERVISOR, PLUGIN = "no time-out", "bare worker", "supervisor", "plugin"
ALONE, BACKOFF, ALWAYS = "alone", "back-off", "at once"
CRASHES = {
    ALONE: "",
    BACKOFF: "import os\nos._exit(1)",
    ALWAYS: """
import os
if vars(self).get("seen"):
    os._exit(1)
self.seen = True
return Figures()
""",
}
_ROUNDS = 60
_TRIPS = 50
_PERIOD = 0.01  # s
_TURNS = 3
_SECONDS = {ALONE: 2.5, BACKOFF: 8.0, ALWAYS: 2.5}  # all delays before a quarantine take 7.5 s


class Untimed(WorkerProcess):
    """A worker that may take as long as it likes."""

    def _begin(self) -> None:
        pass


def main() -> None:
    """Print the tables."""
    logging.getLogger("tosip").addHandler(logging.NullHandler())  # warnings are what we ask for
    rows = _supervision()
    rows += _neighbours()
    targets("What is well", rows)


Row = tuple[str, str, str, bool]


def _supervision() -> list[Row]:
    """Time the hand-off with more and more around it."""
    with Rig() as rig:
        rig.fill_buffers(SIZE)
        untimed, worker = rig.worker(Untimed), rig.worker()
        blocks = {
            UNTIMED: rig.bare_trips(untimed, SIZE, _TRIPS),
            WORKER: rig.bare_trips(worker, SIZE, _TRIPS),
            SUPERVISOR: rig.bare_trips(rig.supervisor(), SIZE, _TRIPS),
            PLUGIN: rig.trips(rig.plugin(), SIZE, _TRIPS),
        }
        used: dict[str, list[float]] = {way: [] for way in blocks}
        metered = {way: _metered(run, used[way]) for way, run in blocks.items()}
        trips = in_turns(metered, _ROUNDS, first=1)
        rig.check_nothing_lost()
    cpu = {way: seconds[1:] for way, seconds in used.items()}  # as `trips`: without the first
    rounds = {
        way: np.median(np.reshape(each, (_ROUNDS, -1)), axis=1) for way, each in trips.items()
    }
    middle = medians(trips)
    table(
        f"Round trip, {SIZE / MIB:g} MiB, {_ROUNDS} rounds of {_TRIPS}",
        ("way", "median us", "p10", "p90", "best round", "CPU us", "of plugin"),
        [
            (
                way,
                *spread(seconds),
                f"{1e6 * quietest(seconds, _ROUNDS):.0f}",
                f"{1e6 * median(cpu[way]):.1f}",
                f"{middle[way] / middle[PLUGIN]:.2f}",
            )
            for way, seconds in trips.items()
        ],
    )
    added = rounds[SUPERVISOR] - rounds[UNTIMED]
    used_more = np.subtract(cpu[SUPERVISOR], cpu[UNTIMED])
    return [
        _share("supervision, time-out: by the clock", added / middle[PLUGIN]),
        _share("the same, by CPU time", used_more / middle[PLUGIN]),
    ]


def _metered(run: Block, used: list[float]) -> Block:
    """Keep the mean CPU seconds of this thread for each trip of a block in `used`."""

    def metered() -> list[float]:
        begun = thread_time()
        seconds = run()
        used.append((thread_time() - begun) / len(seconds))
        return seconds

    return metered


def _share(what: str, shares: np.ndarray) -> Row:
    """A row of the targets: the median of the rounds counts; the quartiles tell its worth."""
    low, share, high = np.percentile(shares, (25, 50, 75))
    return what, f"{share:.1%} ({low:.0%} to {high:.0%})", "< 5 %", bool(share < 0.05)


@dataclass
class Seen:
    """What came of the frames of one way, all turns together; in seconds."""

    latencies: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    seconds: float = 0.0
    crashes: int = 0

    @property
    def rate(self) -> float:
        """Results per second."""
        return len(self.latencies) / self.seconds

    def outcome(self, outcome: Outcome) -> None:
        """Note a result."""
        if not outcome.failed:
            self.latencies.append(outcome.latency)


def _neighbours() -> list[Row]:
    """Let a plugin work while another one crashes."""
    seen = {way: Seen() for way in CRASHES}
    with Rig() as rig:
        healthy = rig.plugins(["HEALTHY"], policy=Policy.DROP_NEWEST)[0]
        for turn in range(_TURNS):
            for way, body in CRASHES.items():
                crasher = _crasher(rig, f"CRASH{turn}", body) if body else None
                rig.run(_offer(rig, healthy, seen[way], _SECONDS[way]))
                if crasher:
                    rig.run(crasher.stop())
                    seen[way].crashes += crasher.counters.failed
    _show_neighbours(seen)
    alone = seen[ALONE]
    rows = []
    for way in (BACKOFF, ALWAYS):
        beside = seen[way]
        rate = beside.rate / alone.rate - 1
        latency = median(beside.latencies) / median(alone.latencies) - 1
        rows.append((f"rate, {way}", f"{rate:+.1%}", "within 10 %", abs(rate) < 0.1))
        rows.append((f"latency, {way}", f"{latency:+.1%}", "within 10 %", latency < 0.1))
    return rows


def _crasher(rig: Rig, name: str, body: str) -> Plugin:
    name = f"{name}{'S' if 'seen' in body else ''}"
    crasher = rig.plugins([name], body, policy=Policy.DROP_NEWEST)[0]

    def rearm() -> None:
        if crasher.workers.state is WorkerState.QUARANTINED:
            crasher.workers.rearm()

    crasher.on_change.connect(rearm)
    return crasher


async def _offer(rig: Rig, plugin: Plugin, seen: Seen, seconds: float) -> None:
    """Publish frames by the clock."""
    plugin.on_outcome.connect(seen.outcome)
    begun = perf_counter()
    for number in range(round(seconds / _PERIOD)):
        due = begun + number * _PERIOD
        await asyncio.sleep(due - perf_counter())
        seen.late.append(perf_counter() - due)
        rig.source.publish(rig.frame(SIZE))
    await asyncio.sleep(begun + seconds - perf_counter())
    seen.seconds += perf_counter() - begun
    plugin.on_outcome.disconnect(seen.outcome)


def _show_neighbours(seen: Mapping[str, Seen]) -> None:
    rows = []
    for way, each in seen.items():
        latency = (f"{figure:.0f}" for figure in np.percentile(each.latencies, (50, 90, 99)) * 1e6)
        late = (f"{figure:.1f}" for figure in np.percentile(each.late, (50, 99)) * 1e3)
        crashes = f"{each.crashes}/{each.seconds:.0f} s"
        rows.append((way, f"{len(each.late)}", f"{each.rate:.2f}", *latency, *late, crashes))
    table(
        f"Beside one that crashes: {1 / _PERIOD:g} frames/s of {SIZE / MIB:g} MiB, {_TURNS} turns",
        ("crashes", "n", "/s", "median us", "p90", "p99", "late ms", "p99", "count"),
        rows,
    )


if __name__ == "__main__":
    main()
