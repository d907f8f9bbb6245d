"""Keeps one worker process alive: restarts it with growing delay, gives up when it is hopeless.

The first restart after a good result is immediate; each failure in a row waits longer. After
`QUARANTINE_AFTER` in a row the worker is quarantined until `rearm`. A worker runs the code that was
good, whatever the files hold by then; newer code comes in by `candidate`, `prepare`, `take_over`.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from tosip.description import Description
from tosip.errors import ProtocolError, WorkerError
from tosip.pipeline.code import Code
from tosip.pipeline.jobs import AlgorithmFault, Job, NotAsked, Program, StateLost, WorkerDied
from tosip.pipeline.kept_state import KeptState
from tosip.pipeline.parameters import ParameterSet
from tosip.pipeline.pool import Pool
from tosip.pipeline.process import WorkerProcess
from tosip.pipeline.resources import Household
from tosip.pipeline.standby import Standby
from tosip.pipeline.state import State
from tosip.pipeline.states import Event, WorkerState, next_state
from tosip.shortage import is_shortage
from tosip.tasks import BackgroundTask

QUARANTINE_AFTER = 5
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0

Turn = contextlib.AbstractAsyncContextManager[Any]
"""What a worker waits for before it starts, a semaphore for example: all at once are slow."""

log = logging.getLogger(__name__)


def restart_delay(failures: int) -> float:
    """Return the seconds to wait before a restart, after `failures` in a row."""
    return 0.0 if failures <= 1 else min(FIRST_DELAY * 2.0 ** (failures - 2), LONGEST_DELAY)


class Supervisor:
    """One supervised worker.

    `on_change` is called after whatever operators can see changes, `on_ready` when the worker has
    started. `household` is the plugin's, for all its processes, and `kept` the algorithm's state on
    the disk.
    """

    def __init__(
        self,
        program: Program,
        pool: Pool,
        on_change: Callable[[], None],
        on_ready: Callable[[], None],
        household: Household,
        kept: KeptState | None = None,
    ) -> None:
        self.program = program
        self._household = household
        self.state = WorkerState.STOPPED
        self.description = Description("", "")
        self.restarts = 0
        self.last_exit = ""
        self.last_exit_time = 0.0  # time.monotonic
        self.code = Code(program.file.parent)
        self._pool = pool
        self._on_change = on_change
        self._on_ready = on_ready
        self._kept = kept
        self._worker: WorkerProcess | None = None
        self._failures = 0
        self._shortages = 0  # starts in a row for which there was no descriptor, say
        self._swapping = False
        self._rested = asyncio.Event()
        self._died = asyncio.Event()
        self._rearmed = asyncio.Event()
        self._standby: Standby | None = None
        if program.standby:
            self._standby = Standby(program.name, self._start_standby, on_change)
        self._turn: Turn | None = None
        self._keeper = self._new_keeper()
        self._leaving: BackgroundTask | None = None

    @property
    def pid(self) -> int:
        """The worker's process number, 0 when there is none."""
        return self._worker.pid if self._worker else 0

    @property
    def standing_by(self) -> bool:
        """Whether another worker waits, loaded."""
        return self._standby is not None and self._standby.ready

    @property
    def printed(self) -> Sequence[str]:
        """The last lines that the worker has printed; they go on to grow."""
        return self._worker.output.last_lines if self._worker else ()

    async def start(self) -> Description:
        """Start the worker for the first time; what is wrong with the algorithm comes through."""
        self._step(Event.START)
        self.description = await self._launch()
        self._keeper.start()
        return self.description

    def start_like(self, first: "Supervisor", turn: Turn | None = None) -> None:
        """Start a further worker of the same code; failures are those of a restart.

        Returns at once; the worker is started when it has its `turn`.
        """
        self.description, self.code = first.description, first.code
        self._turn = turn
        self._step(Event.START)
        self._keeper.start()

    def _new_keeper(self) -> BackgroundTask:
        return BackgroundTask(f"keep {self.program.name}", self._keep_alive, self._on_change)

    @property
    def fault(self) -> str:
        """Why the worker is not looked after at present; empty if all is well."""
        return self._keeper.fault

    def can_take(self, params: ParameterSet) -> bool:
        """Whether a frame with these parameters may be submitted now."""
        usable = self.state in (WorkerState.IDLE, WorkerState.BUSY) and not self._swapping
        return usable and self._worker is not None and self._worker.can_take(params)

    def submit(self, job: Job) -> None:
        """Let the worker look at a frame; as `WorkerProcess.submit`."""
        if self._worker is None:
            raise WorkerDied("not started")
        self._worker.submit(job)
        if self.state is WorkerState.IDLE:
            self._step(Event.FRAME)

    def _on_answer(self, worker: WorkerProcess) -> None:
        if worker is not self._worker:
            return
        self._failures = 0
        # Whoever had the answer may have submitted the next frame.
        if self.state is WorkerState.BUSY and not worker.busy:
            self._step(Event.DONE)
            self._rested.set()

    async def candidate(self, code: Code) -> WorkerProcess:
        """Start a worker beside the running one, with `code`: if that is empty, with the files'.

        It gets no frames before `take_over`. Errors are those of `WorkerProcess.start`.
        """
        worker = self._make()
        try:
            await worker.start(code=code)
        except BaseException:
            await worker.kill("not wanted")
            worker.close()
            raise
        return worker

    async def _start_standby(self) -> WorkerProcess:
        return await self.candidate(self.code)

    async def prepare(self, candidate: WorkerProcess, *, anew: bool) -> str:
        """Let the running worker finish its frames and hand over what it has saved, if anything.

        Returns why the candidate starts anew although the algorithm saves its state, or nothing.
        StateLost if that would be so, the running worker could go on, and `anew` does not allow it.
        `take_over` or `resume` has to follow. AlgorithmFault or WorkerDied if the candidate fails.
        """
        await self._rest()
        lost = ""
        try:
            state = await self._saved()
        except (AlgorithmFault, WorkerDied, ProtocolError) as error:
            state, lost = None, f"{error} (in save)"
            if not anew and self._worker and self._worker.pid:
                raise StateLost(lost) from error
        if state:
            await candidate.restore(state)
        if self.state in (WorkerState.STOPPING, WorkerState.STOPPED) or not candidate.pid:
            raise WorkerDied(candidate.exit_words or "stopped")
        return lost

    async def _rest(self) -> None:
        """Give the worker no more frames, and wait until it has finished those that it has."""
        self._swapping = True
        while self.state is WorkerState.BUSY:
            self._rested.clear()
            await self._rested.wait()

    async def _saved(self) -> State | None:
        if self.state is not WorkerState.IDLE or self._worker is None:
            return await self._kept_state(self.description)
        return await self._worker.save()

    async def snapshot(self) -> State | None:
        """Return what the algorithm saves between two frames, None if nothing; errors as `save`.

        NotAsked if no worker is there. Not while a reload is under way.
        """
        try:
            await self._rest()
            if self.state is not WorkerState.IDLE or self._worker is None:
                raise NotAsked("no worker is there to ask")
            return await self._worker.save()
        finally:
            self.resume()

    async def _kept_state(self, description: Description) -> State | None:
        """Return the state to start with; not after two failures in a row: it may be the cause."""
        if self._kept is None:
            return None
        if self._failures > 1:
            self._kept.left_out("two failures in a row")
            return None
        return await self._kept.state(description)

    def resume(self) -> None:
        """Let the older worker go on."""
        self._swapping = False
        self._on_ready()

    def take_over(self, candidate: WorkerProcess) -> None:
        """Let `candidate` have the frames from now on; the older worker is stopped."""
        self._keeper.cancel()
        old, self._worker = self._worker, candidate
        if old:
            name = f"end {self.program.name}"
            self._leaving = BackgroundTask(name, functools.partial(end, old), restart=False)
            self._leaving.start()
        self.code, self.description = candidate.code, candidate.description
        self._failures = 0
        self._died.clear()
        self._keeper = self._new_keeper()
        self._keeper.start()
        self._step(Event.SWAP)
        self.resume()
        if self._standby:
            self._standby.renew()

    def rearm(self) -> None:
        """Let a quarantined worker start again."""
        self._rearmed.set()

    async def stop(self) -> None:
        """End the worker, gently if it lets itself, and do not start it again."""
        if self.state in (WorkerState.STOPPED, WorkerState.STOPPING):
            return
        self._step(Event.STOP)
        await self._keeper.stop()
        if self._standby:
            await self._standby.stop()
        if self._worker:
            await end(self._worker)
        if self._leaving:
            await self._leaving.ended()
        self._rested.set()
        self._step(Event.GONE)

    def _make(self) -> WorkerProcess:
        def ended() -> None:
            self._on_exit(worker)

        def answered() -> None:
            self._on_answer(worker)

        try:
            worker = WorkerProcess(self.program, self._pool, ended, answered, self._household)
        except OSError as error:  # no descriptors left
            raise WorkerDied(f"could not start: {error.strerror}") from error
        return worker

    async def _launch(self) -> Description:
        worker = await self._loaded()
        state = await self._kept_state(worker.description)
        if state and self._kept:
            self._kept.restored(await _restored(worker, state))
            if not worker.pid:  # the state has ended it
                worker.close()
                worker = await self._loaded()
        return self._ready(worker)

    async def _loaded(self) -> WorkerProcess:
        """Return a worker that has loaded the algorithm: the one that stands by, or another."""
        worker = self._standby.take() if self._standby else None
        if worker:
            self._worker = worker
            return worker
        worker = self._worker = self._make()
        try:
            description = await worker.start(code=self.code)
            if self.description.name and self.description.differences(description):
                await worker.kill("declares other inputs or outputs than before: restart the IOC")
                raise WorkerDied(worker.exit_words)
            if not worker.pid:  # it said that it was ready, and ended
                raise WorkerDied(worker.exit_words)
        except (WorkerError, ProtocolError):
            worker.close()
            raise
        except Exception:
            await worker.kill("a fault of TOSIP")
            worker.close()
            raise
        return worker

    def _ready(self, worker: WorkerProcess) -> Description:
        self.code = worker.code
        self._step(Event.READY)
        self._on_ready()
        if self._standby:
            self._standby.renew()
        return worker.description

    async def _keep_alive(self) -> None:
        """Do what the state asks for, whatever came before: this may be started again itself."""
        while True:
            if self.state is WorkerState.STARTING:
                turn, self._turn = self._turn, None
                async with turn or contextlib.nullcontext():
                    await self._try_launch()
            elif self.state is WorkerState.BACKOFF:
                await self._back_off()
            elif self.state is WorkerState.QUARANTINED:
                await self._rearmed.wait()
                self._failures = 0
                self._step(Event.REARM)
            else:
                await self._died.wait()
                self._died.clear()

    async def _back_off(self) -> None:
        if self._worker:
            self._worker.close()
            self.restarts += 1
        if self._shortages:  # nothing that the algorithm has done
            await asyncio.sleep(restart_delay(self._shortages + 1))
            self._step(Event.RETRY)
            return
        self._failures += 1
        if self._failures > QUARANTINE_AFTER:
            log.error("%s: worker quarantined after: %s", self.program.name, self.last_exit)
            self._rearmed.clear()
            self._step(Event.GIVE_UP)
        else:
            await asyncio.sleep(restart_delay(self._failures))
            self._step(Event.RETRY)

    async def _try_launch(self) -> None:
        try:
            await self._launch()
        except (WorkerError, ProtocolError) as error:
            self._shortages = self._shortages + 1 if is_shortage(error) else 0
            self._note_exit(str(error))
            log.warning("%s: worker did not start: %s", self.program.name, error)
            self._step(Event.DIED)
        else:
            self._shortages = 0

    def _on_exit(self, worker: WorkerProcess) -> None:
        running = self.state in (WorkerState.IDLE, WorkerState.BUSY)
        if worker is not self._worker or not running:
            return
        self._note_exit(worker.exit_words)
        log.warning("%s: worker %s", self.program.name, self.last_exit)
        self._step(Event.DIED)
        self._died.set()
        self._rested.set()

    def _note_exit(self, words: str) -> None:
        self.last_exit, self.last_exit_time = words, time.monotonic()

    def _step(self, event: Event) -> None:
        self.state = next_state(self.state, event)
        self._on_change()


async def _restored(worker: WorkerProcess, state: State) -> str:
    """Let a worker go on with a state; return why it starts anew instead, or nothing."""
    try:
        await worker.restore(state)
    except (AlgorithmFault, WorkerDied) as error:
        if worker.pid:  # what it has half restored goes
            with contextlib.suppress(AlgorithmFault, WorkerDied):
                await worker.renew()
                return f"{error} (in restore)"
            await worker.kill("did not start anew")
        return f"{error} (in restore)"
    return ""


async def end(worker: WorkerProcess) -> None:
    """Stop a worker and close what belongs to it."""
    await worker.stop()
    worker.close()
