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
from tosip.gateway.settings import GatewaySettings
from tosip.gateway.spool.requests import Request
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import Entry, StoredFile
from tosip.gateway.threads import Threads

SWEEP = 60.0
SHOWN_DEAD_LETTERS = 50
MOST_SPARED = 1000


@dataclass(frozen=True)
class Found:
    """What a look has found; `dead_letters` has a line for each of the newest."""

    free_space: int
    dead_letters: tuple[str, ...]


class Rounds:
    """The steps of a round, to be gone once a second; OSError says that the spool is not well."""

    def __init__(self, spool: Spool, threads: Threads, settings: GatewaySettings) -> None:
        self._spool, self._threads = spool, threads
        self._hold = settings.policy.hold
        self._plenty = 2 * settings.limits.free_space
        self._swept = 0.0
        self._noted: dict[str, str] = {}

    async def tidy(self, *, thoroughly: bool = False) -> None:
        """Let the spool let go of what it need not keep; thoroughly now and then, or if asked."""
        await self._threads.disk(self._tidy, thoroughly)

    async def overdue(self) -> Sequence[Entry]:
        """Return what was held for too long and is to be delivered now: nobody else will tell."""
        return await self._threads.disk(self._spool.overdue, self._hold)

    async def requests(self) -> Sequence[Request]:
        """Return what commands ask for, again and again until it is `done`."""
        return await self._threads.disk(self._spool.take_requests)

    async def done(self, request: Request) -> None:
        """Record that a request was acted on."""
        await self._threads.disk(self._spool.finish_request, request)

    async def spare(self) -> Sequence[StoredFile]:
        """Return what is on the archive, but not done with by the pipeline, and takes up room.

        Only while free space is below twice the watermark, and no more than brings it there.
        """
        return await self._threads.disk(self._spare)

    async def look(self) -> Found:
        """Look at what the counters do not tell."""
        return await self._threads.disk(self._look)

    async def note(self, counters: GatewayCounters, port: int) -> None:
        """Write down for commands what only a running gateway knows."""
        notes = {
            "pid": str(os.getpid()),
            "port": str(port),
            "archive": counters.archive.value,
            "last_error": counters.last_error,
            "last_refusal": counters.last_refusal,
            "connections": str(counters.connections),
            "refused": str(counters.refused),
            "unseen": str(counters.unseen),
        }
        if notes != self._noted:
            await self._threads.disk(lambda: self._spool.note(**notes))
            self._noted = notes

    def _tidy(self, thoroughly: bool) -> None:
        self._spool.settle()
        now = time.monotonic()
        if thoroughly or now - self._swept > SWEEP:
            self._swept = now
            self._spool.sweep()

    def _spare(self) -> list[StoredFile]:
        wanted = self._plenty - self._spool.free_space()
        files = []
        for entry in self._spool.spare(MOST_SPARED) if wanted > 0 else ():
            if wanted <= 0:
                break
            files.append(entry.file)
            wanted -= entry.file.size
        return files

    def _look(self) -> Found:
        dead = self._spool.dead(SHOWN_DEAD_LETTERS)
        return Found(self._spool.free_space(), tuple(map(_line, dead)))


def _line(entry: Entry) -> str:
    file = entry.file
    return f"{file.id} {file.camera} {file.name}: {entry.reason}"
