"""Random kills from a seed: the gateway at chosen calls, steps and times, the archive at times.

One round: the gateway is started with a fault in it, cameras work, the archive may be killed and
started again, and the gateway dies: by its fault, or by the clock. At the end everything is up,
without faults, and what was promised must be kept.
"""

from __future__ import annotations

import errno
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.gateway.faults.crew import Crew
from tests.gateway.faults.faulty_disk import KILL_AFTER, KILL_BEFORE, KILL_HALFWAY
from tests.gateway.faults.oracle import judge
from tests.gateway.faults.plant import Plant

LONGEST_ROUND = 0.6  # s; longer where a fault is to come
KILLS = (KILL_BEFORE, KILL_AFTER, KILL_HALFWAY)
CALLS = ("create", "write", "sync", "sync_folder", "rename", "unlink", "write_small")
STEPS = (
    "received", "committed", "announced", "forwarded", "verified", "released", "held", "renamed",
    "duplicate", "interrupted", "quarantined",
)  # fmt: skip
ERRORS = (errno.ENOSPC, errno.EIO)


@dataclass
class Report:
    """What was done, and what was found wrong."""

    kills: int = 0
    by: Counter[str] = field(default_factory=Counter)
    did: Counter[str] = field(default_factory=Counter)
    counts: str = ""
    faults: list[str] = field(default_factory=list)


class _Dice:
    """Chooses what a round suffers: each place to die at comes once before one comes again."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._deck: list[dict[str, Any]] = []

    def start_archive(self, plant: Plant) -> None:
        """Start one that is well, or one that is hostile."""
        facts: dict[str, Any] = {}
        if self.random.random() < 0.7:
            hostility = self.random.choice((0.1, 0.4))
            facts = {"hostility": hostility, "seed": self.random.randrange(1 << 32)}
        plant.start_archive(**facts)

    def facts(self) -> dict[str, Any]:
        """Return what the gateway of the next round is told; nothing if the clock shall kill it."""
        facts = self._place() if self.random.random() < 0.75 else {}
        if self.random.random() < 0.3:
            call = self.random.choice(("create", "write", "sync", "rename", "sync_folder"))
            error = self.random.choice(ERRORS)
            fault = [call, self.random.randrange(1, 12), error, self.random.randrange(1, 4)]
            facts["faults"] = [*facts.get("faults", ()), fault]
        return facts

    def _place(self) -> dict[str, Any]:
        if not self._deck:
            self._deck = list(_places())
            self.random.shuffle(self._deck)
        return dict(self._deck.pop())


def _places() -> Iterator[dict[str, Any]]:
    """Name all places to die at."""
    for number in (1, 2, 3, 5, 8):
        for call in CALLS:
            for kill in KILLS if call == "write" else KILLS[:2]:
                yield {"faults": [[call, number, kill]]}
    for number in (1, 2):
        for step in STEPS:
            yield {"kill_at_step": [step, number]}


def run(
    plant: Plant,
    seed: int,
    kills: int,
    seconds: float,
    progress: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Kill so often, or for so long; then let everything come to rest, and judge."""
    report = Report()
    dice = _Dice(seed)
    end = time.monotonic() + seconds
    dice.start_archive(plant)
    crew = Crew(plant, seed)
    try:
        while report.kills < kills and time.monotonic() < end:
            _round(plant, dice, report)
            progress(report)
    finally:
        crew.stop()
    report.did, report.counts = crew.did, plant.ledger.counts()
    plant.kill_archive()
    plant.start_archive()
    plant.start_gateway()
    plant.drain()
    plant.stop_gateway()
    report.faults = judge(plant)
    return report


def _round(plant: Plant, dice: _Dice, report: Report) -> None:
    facts = dice.facts()
    if plant.archive is None and dice.random.random() < 0.7:
        dice.start_archive(plant)
    gateway = plant.gateway = plant.fork_gateway(**facts)
    # A gateway may die while it starts: also this must do no harm.
    port = gateway.ready() if dice.random.random() < 0.9 else None
    if port is not None:
        plant.port = port
    length = dice.random.uniform(0.05, LONGEST_ROUND) if not facts else LONGEST_ROUND
    if dice.random.random() < 0.2 and plant.archive is not None:
        gateway.ended(within=length * dice.random.random())
        plant.kill_archive()
    alone = gateway.ended(within=length)
    plant.kill_gateway()
    if gateway.wait() != -signal.SIGKILL:
        report.by["not started"] += 1
        return
    report.kills += 1
    report.by["fault" if alone else "clock"] += 1
