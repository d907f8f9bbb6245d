"""Keeps one worker process alive: restarts it with growing delay, gives up when it is hopeless.

The first restart after a good result is immediate; each failure in a row waits longer. After
`QUARANTINE_AFTER` in a row the worker is quarantined until `rearm`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from tosip.description import Description
from tosip.errors import ProtocolError, WorkerError
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool
from tosip.pipeline.process import AlgorithmFault, Program, WorkerDied, WorkerProcess
from tosip.pipeline.protocol import Message
from tosip.pipeline.states import Event, WorkerState, next_state

QUARANTINE_AFTER = 5
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0

log = logging.getLogger(__name__)


def restart_delay(failures: int) -> float:
    """Return the seconds to wait before a restart, after `failures` in a row."""
    return 0.0 if failures <= 1 else min(FIRST_DELAY * 2.0 ** (failures - 2), LONGEST_DELAY)


class Supervisor:
    """One supervised worker; `on_change` is called after whatever operators can see changes."""

    def __init__(self, program: Program, pool: Pool, on_change: Callable[[], None]) -> None:
        self.program = program
        self.state = WorkerState.STOPPED
        self.description = Description("", "")
        self.restarts = 0
        self.last_exit = ""
        self.code_hash = ""
        self._pool = pool
        self._on_change = on_change
        self._worker: WorkerProcess | None = None
        self._failures = 0
        self._idle = asyncio.Event()
        self._died = asyncio.Event()
        self._rearmed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The worker's process number, 0 when there is none."""
        return self._worker.pid if self._worker else 0

    async def start(self) -> Description:
        """Start the worker for the first time; what is wrong with the algorithm comes through."""
        self._step(Event.START)
        self.description = await self._launch()
        self._keeper = asyncio.create_task(self._keep_alive(), name=f"keep {self.program.name}")
        return self.description

    async def process(
        self, array: NDArray, params: Mapping[str, Any], port: str, timeout: float
    ) -> tuple[Message, NDArray | None]:
        """Let the next idle worker look at a frame; errors are those of `WorkerProcess.process`."""
        worker = await self._idle_worker()
        self._step(Event.FRAME)
        try:
            answer = await worker.process(array, params, port, timeout)
            self._failures = 0
            return answer
        except AlgorithmFault:
            self._failures = 0
            raise
        finally:
            if self.state is WorkerState.BUSY:
                self._step(Event.DONE)

    async def _idle_worker(self) -> WorkerProcess:
        while self._worker is None or self.state is not WorkerState.IDLE:
            self._idle.clear()
            await self._idle.wait()
        return self._worker

    def rearm(self) -> None:
        """Let a quarantined worker start again."""
        self._rearmed.set()

    async def stop(self) -> None:
        """End the worker, gently if it lets itself, and do not start it again."""
        if self.state in (WorkerState.STOPPED, WorkerState.STOPPING):
            return
        self._step(Event.STOP)
        if self._keeper:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        if self._worker:
            await self._worker.stop()
            self._worker.close()
        self._step(Event.GONE)

    async def _launch(self) -> Description:
        try:
            worker = WorkerProcess(self.program, self._pool, self._on_exit)
        except OSError as error:  # no descriptors left
            raise WorkerDied(f"could not start: {error.strerror}") from error
        self._worker = worker
        try:
            description = await worker.start()
            if self.restarts and not description.same(self.description):
                await worker.kill("declares other inputs or outputs than before: restart the IOC")
                raise WorkerDied(worker.exit_words)
            if not worker.pid:  # it said that it was ready, and ended
                raise WorkerDied(worker.exit_words)
        except (WorkerError, ProtocolError):
            worker.close()
            raise
        self.code_hash = worker.code_hash
        self._step(Event.READY)
        return description

    async def _keep_alive(self) -> None:
        while True:
            await self._died.wait()
            self._died.clear()
            while self.state is WorkerState.BACKOFF:
                await self._restart()

    async def _restart(self) -> None:
        if self._worker:
            self._worker.close()
        self._failures += 1
        if self._failures > QUARANTINE_AFTER:
            await self._quarantine()
        else:
            await asyncio.sleep(restart_delay(self._failures))
            self._step(Event.RETRY)
        self.restarts += 1
        try:
            await self._launch()
        except (WorkerError, ProtocolError) as error:
            self.last_exit = str(error)
            log.warning("%s: worker did not start: %s", self.program.name, error)
            self._step(Event.DIED)

    async def _quarantine(self) -> None:
        log.error("%s: worker quarantined after: %s", self.program.name, self.last_exit)
        self._rearmed.clear()
        self._step(Event.GIVE_UP)
        await self._rearmed.wait()
        self._failures = 0
        self._step(Event.REARM)

    def _on_exit(self) -> None:
        if self._worker is None or self.state not in (WorkerState.IDLE, WorkerState.BUSY):
            return
        self.last_exit = self._worker.exit_words
        log.warning("%s: worker %s", self.program.name, self.last_exit)
        self._step(Event.DIED)
        self._died.set()

    def _step(self, event: Event) -> None:
        self.state = next_state(self.state, event)
        if self.state is WorkerState.IDLE:
            self._idle.set()
        self._on_change()
