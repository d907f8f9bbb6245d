"""Threads for what blocks, so that the event loop of the IOC never does.

Receiving has threads of its own, one an upload: they wait for a camera most of the time, and must
not be in the way of a commit or of a delivery. Neither pool is shared with the rest of the IOC.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from tosip.tasks import run_in

P = ParamSpec("P")
T = TypeVar("T")

DISK_THREADS = 8


class Threads:
    """`await threads.disk(function, ...)` runs it in a thread and gives back what it returns."""

    def __init__(self, receivers: int) -> None:
        self._disk = ThreadPoolExecutor(DISK_THREADS, "gateway-disk")
        self._receive = ThreadPoolExecutor(receivers, "gateway-receive")

    async def disk(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something that waits for the disk; OSError if there is no thread for it."""
        return await run_in(self._disk, lambda: function(*args, **kwargs))

    async def receive(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something that waits for a camera."""
        return await run_in(self._receive, lambda: function(*args, **kwargs))

    async def close(self) -> None:
        """Wait for what is running."""
        for pool in (self._receive, self._disk):
            await run_in(None, pool.shutdown)
