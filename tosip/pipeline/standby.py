"""A worker that waits, loaded, so that a recovery does not pay for the imports."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tosip.errors import ProtocolError, WorkerError
from tosip.pipeline.process import WorkerProcess
from tosip.tasks import BackgroundTask

RETRY_DELAY = 5.0  # s before another try when it did not start, or has ended as it waited

log = logging.getLogger(__name__)


class Standby:
    """Keeps one worker ready; `start` makes one, with the code that runs now.

    `on_change` is called when it is ready.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], Awaitable[WorkerProcess]],
        on_change: Callable[[], None],
    ) -> None:
        self._name = name
        self._start = start
        self._on_change = on_change
        self._worker: WorkerProcess | None = None
        self._task = self._new_task()
        self._before: list[BackgroundTask] = []

    @property
    def ready(self) -> bool:
        """Whether the worker waits."""
        return self._worker is not None and self._worker.pid > 0

    def take(self) -> WorkerProcess | None:
        """Take the worker, which nobody keeps any more; None if there is none."""
        if not self.ready:
            return None
        worker, self._worker = self._worker, None
        return worker

    def _new_task(self) -> BackgroundTask:
        return BackgroundTask(f"standby {self._name}", self._keep, self._on_change)

    def renew(self) -> None:
        """Get another one ready, with the code that runs now."""
        self._task.cancel()
        self._before.append(self._task)
        self._task = self._new_task()
        self._task.start()

    async def _keep(self) -> None:
        await self._wait_for_those_before()
        await self._end()
        while True:
            if not self.ready:
                await self._end()
                await self._fill()
            await asyncio.sleep(RETRY_DELAY)

    async def _wait_for_those_before(self) -> None:
        while self._before:  # they may have a worker in hand
            await self._before[0].ended()
            del self._before[:1]

    async def _fill(self) -> None:
        try:
            self._worker = await self._start()
        except (WorkerError, ProtocolError) as error:
            log.warning("%s: standby worker did not start: %s", self._name, error)
        self._on_change()

    async def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker:
            await worker.stop()
            worker.close()

    async def stop(self) -> None:
        """End the worker and start no other."""
        await self._task.stop()
        await self._wait_for_those_before()
        await self._end()
