"""Hands stored files to the pipeline, which may be slow, fail or be absent, and nobody else waits.

What is in memory of a file stays there until the pipeline releases it, within the budget of
`Memory`: beyond that the pipeline reads the spool's copy.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tosip.events import call
from tosip.gateway.lives import tell
from tosip.gateway.receiving.memory import Received
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import StoredFile
from tosip.gateway.threads import Threads

logger = logging.getLogger(__name__)

OnStored = Callable[[StoredFile, Received | None], None]


class _Announced(NamedTuple):
    """A file and when the pipeline was told of it (monotonic)."""

    file: StoredFile
    when: float


class Announcer:
    """Calls `on_stored` once for each file, on the loop; without one each file is released."""

    def __init__(self, spool: Spool, threads: Threads, on_stored: OnStored | None) -> None:
        self._spool, self._threads, self._on_stored = spool, threads, on_stored
        self._received: dict[str, Received] = {}
        self._announced: dict[str, _Announced] = {}
        self._unrecorded: list[_Announced] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, file: StoredFile, received: Received | None) -> None:
        """Keep a file that is in memory as a whole until it is released."""
        if received is not None and received.complete:
            self._received[file.id] = received

    def announce(self, file: StoredFile) -> None:
        """Tell the pipeline; what it raises is logged and goes no further."""
        tell("announced", **file.facts, seconds=max(0.0, time.time() - file.received))
        self._announced[file.id] = _Announced(file, time.monotonic())
        if self._on_stored is None:
            self.release(file.id)
            return
        owner = f"the pipeline, on {file.id} ({file.name})"
        call(owner, self._on_stored, file, self._received.get(file.id))

    def release(self, file_id: str) -> None:
        """The pipeline is done with a file; call it on the loop, as often as you like."""
        if (received := self._received.pop(file_id, None)) is not None:
            received.free()
        if (announced := self._announced.pop(file_id, None)) is not None:
            task = asyncio.get_running_loop().create_task(self._try_to_record(announced))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def let_go(self, files: Iterable[StoredFile]) -> None:
        """Record files as released that the pipeline is not done with; OSError if that fails.

        What is in memory of them stays until it is.
        """
        for file in files:
            now = _Announced(file, time.monotonic())
            await self._record(self._announced.pop(file.id, now))

    async def record_again(self) -> None:
        """Record the releases that could not be recorded; OSError if they still cannot."""
        again, self._unrecorded = self._unrecorded, []
        while again:
            try:
                await self._record(again.pop())
            except BaseException:
                self._unrecorded += again
                raise

    def forget(self, file_id: str) -> None:
        """Let go of the memory of a file; what the pipeline still reads stays until it is done."""
        self._received.pop(file_id, None)

    async def close(self) -> None:
        """Wait until all releases are recorded, and let go of all memory.

        What could not be recorded is announced again after the next start: at least once.
        """
        if self._tasks:
            await asyncio.wait(self._tasks)
        # Not freed: the pipeline may be reading, and goes on to the end.
        self._received.clear()

    async def _try_to_record(self, announced: _Announced) -> None:
        try:
            await self._record(announced)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is tried again)
            file_id = announced.file.id
            logger.error("spool: the release of %s is not recorded yet: %s", file_id, error)

    async def _record(self, announced: _Announced) -> None:
        file = announced.file
        try:
            await self._threads.disk(self._spool.release, file.id)
        except Exception:
            self._unrecorded.append(announced)
            raise
        tell("released", **file.facts, seconds=time.monotonic() - announced.when)
