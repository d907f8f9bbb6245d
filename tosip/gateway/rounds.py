"""What the gateway looks after again and again, because nobody tells it.

Names that were never made final, requests of the commands, free space, and what the spool need not
keep any more. What commands want to know of a running gateway is noted in the spool.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tosip.gateway.counters import GatewayCounters
from tosip.gateway.spool.requests import Request
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import Entry
from tosip.gateway.threads import Threads

SWEEP = 60.0
SHOWN_DEAD_LETTERS = 50


@dataclass(frozen=True)
class Found:
    """What one round has found; `dead_letters` has a line for each of the newest."""

    free_space: int
    overdue: Sequence[Entry]
    requests: Sequence[Request]
    dead_letters: tuple[str, ...]


class Rounds:
    """`look` once a second; OSError says that the spool is not well."""

    def __init__(self, spool: Spool, threads: Threads, hold: float) -> None:
        self._spool, self._threads, self._hold = spool, threads, hold
        self._swept = 0.0
        self._noted: dict[str, str] = {}

    async def look(self) -> Found:
        """Go one round."""
        return await self._threads.disk(self._look)

    async def note(self, counters: GatewayCounters, port: int) -> None:
        """Write down for commands what only a running gateway knows."""
        notes = {
            "pid": str(os.getpid()),
            "port": str(port),
            "archive": counters.archive.value,
            "last_error": counters.last_error,
            "connections": str(counters.connections),
            "refused": str(counters.refused),
        }
        if notes != self._noted:
            await self._threads.disk(lambda: self._spool.note(**notes))
            self._noted = notes

    def _look(self) -> Found:
        now = time.monotonic()
        if now - self._swept > SWEEP:
            self._swept = now
            self._spool.sweep()
        self._spool.settle()
        return Found(
            self._spool.free_space(),
            self._spool.overdue(self._hold),
            self._spool.take_requests(),
            tuple(map(_line, self._spool.dead()[-SHOWN_DEAD_LETTERS:])),
        )


def _line(entry: Entry) -> str:
    file = entry.file
    return f"{file.id} {file.camera} {file.name}: {entry.reason}"
