"""Finds what blocks an event loop: the longest time that one callback kept it.

    with LoopMonitor() as monitor:
        asyncio.run(work())
    assert monitor.worst.seconds < 0.020, monitor.worst

Every callback, step of a task and timer runs through `asyncio.Handle._run`, which is timed by the
clock. Computing, sleeping, waiting for a disk, for a lock or for the GIL all keep the loop from its
other work, and all count. What other programs take does not: the kernel tells for each thread how
long it was ready to run and had no CPU (`schedstat`). That time of the loop's own thread is taken
off, and that of the thread that waited longest beside it, for it may have had the GIL meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from asyncio.events import Handle
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_NANO = 1e-9

Waits = dict[int, float]


@dataclass(frozen=True)
class Blocked:
    """How long one callback kept the loop, in seconds, and which."""

    seconds: float = 0.0
    what: str = "nothing"


class LoopMonitor:
    """Watches the loops of the thread in which it is entered; Linux only.

    It takes some 2 us a thread for each callback: this is for tests.
    """

    def __init__(self) -> None:
        self.worst = Blocked()
        self.callbacks = 0
        self._thread = 0
        self._files: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._thread = threading.get_native_id()
        self._run = Handle._run
        setattr(Handle, "_run", self._timed(self._run))  # noqa: B010, mypy minds an assignment
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        setattr(Handle, "_run", self._run)  # noqa: B010
        for file in self._files.values():
            os.close(file)

    def _timed(self, run: Callable[[Handle], None]) -> Callable[[Handle], None]:
        def timed(handle: Handle) -> None:
            if threading.get_native_id() != self._thread:
                run(handle)
                return
            before, begun = self._waits(), time.perf_counter()
            try:
                run(handle)
            finally:
                taken = time.perf_counter() - begun
                self.callbacks += 1
                if taken > self.worst.seconds:
                    taken -= self._starved(before)
                if taken > self.worst.seconds:
                    self.worst = Blocked(taken, _describe(handle))

        return timed

    def _starved(self, before: Waits) -> float:
        """Return the seconds since then for which the loop may have waited for a CPU."""
        waited = {thread: now - before.get(thread, 0.0) for thread, now in self._waits().items()}
        return waited.pop(self._thread, 0.0) + max(waited.values(), default=0.0)

    def _waits(self) -> Waits:
        """Return the seconds that each thread has waited for a CPU."""
        waits = {}
        for thread in threading.enumerate():
            number = thread.native_id
            if number is not None and (wait := self._wait_of(number)) is not None:
                waits[number] = wait
        return waits

    def _wait_of(self, thread: int) -> float | None:
        try:
            if thread not in self._files:
                path = f"/proc/self/task/{thread}/schedstat"
                self._files[thread] = os.open(path, os.O_RDONLY)
            return int(os.pread(self._files[thread], 64, 0).split()[1]) * _NANO
        except OSError:  # it has just ended
            return None


def _describe(handle: Handle) -> str:
    """Name the coroutine of a task's step, or the callback."""
    callback = getattr(handle, "_callback", None)
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return str(owner.get_coro())
    return repr(handle)
