"""The worker processes of one plugin: one, or several that share the frames of its queue."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from tosip.description import Description
from tosip.errors import ConfigurationError, WorkerError
from tosip.pipeline.code import Code
from tosip.pipeline.jobs import Program
from tosip.pipeline.kept_state import KeptState
from tosip.pipeline.parameters import ParameterSet
from tosip.pipeline.pool import Pool
from tosip.pipeline.process import WorkerProcess
from tosip.pipeline.resources import Household
from tosip.pipeline.state import State
from tosip.pipeline.states import WorkerState
from tosip.pipeline.supervisor import Supervisor, Turn
from tosip.tasks import BackgroundTask

MOST_WORKERS = 16

# What operators are shown of several workers: the state that most needs their attention.
_TELLING = (
    WorkerState.QUARANTINED,
    WorkerState.BACKOFF,
    WorkerState.STARTING,
    WorkerState.STOPPING,
    WorkerState.BUSY,
    WorkerState.IDLE,
    WorkerState.STOPPED,
)

log = logging.getLogger(__name__)


class RestartRequired(WorkerError):
    """Newer code declares other inputs or outputs; `changes` tells which, in words."""

    def __init__(self, changes: Sequence[str]) -> None:
        self.changes = tuple(changes)
        super().__init__(f"it declares otherwise: {', '.join(changes)}: restart the IOC")


class Workers:
    """All workers of one plugin; the arguments are those of `Supervisor`.

    `household` tells what their processes use and print, also those that have ended. `tried` is the
    code that the last reload has found, as far as it came.
    """

    def __init__(
        self,
        program: Program,
        pool: Pool,
        on_change: Callable[[], None],
        on_ready: Callable[[], None],
        kept: KeptState | None = None,
    ) -> None:
        self.household = Household(program.name)
        self._arguments = (program, pool, on_change, on_ready, self.household, kept)
        self.name = program.name
        self.watch = program.watch
        self._handing_over = asyncio.Lock()
        self._supervisors = [Supervisor(*self._arguments)]
        self._leaving: list[BackgroundTask] = []
        self._retired_restarts = 0
        self.tried = self.code

    @property
    def description(self) -> Description:
        """What the algorithm declares; known after `start`."""
        return self._supervisors[0].description

    @property
    def state(self) -> WorkerState:
        """What the workers are doing: the state that most needs attention."""
        return min((each.state for each in self._supervisors), key=_TELLING.index)

    @property
    def pids(self) -> list[int]:
        """The process numbers of those that run."""
        return [each.pid for each in self._supervisors if each.pid]

    @property
    def pid(self) -> int:
        """The first one's process number, 0 when there is none."""
        return self._supervisors[0].pid

    @property
    def restarts(self) -> int:
        """How often a worker was started again."""
        return self._retired_restarts + sum(each.restarts for each in self._supervisors)

    @property
    def fault(self) -> str:
        """Why one of them is not looked after at present; empty if all is well."""
        return next((each.fault for each in self._supervisors if each.fault), "")

    @property
    def last_exit(self) -> str:
        """How the worker that ended last came to it, in words."""
        ended = [each for each in self._supervisors if each.last_exit]
        return max(ended, key=lambda each: each.last_exit_time).last_exit if ended else ""

    @property
    def code_hash(self) -> str:
        """The hash of all code that they have loaded."""
        return self.code.hash

    @property
    def printed(self) -> Sequence[str]:
        """The last lines that the first one has printed; they go on to grow."""
        return self._supervisors[0].printed

    @property
    def code(self) -> Code:
        """What they run."""
        return self._supervisors[0].code

    @property
    def standing_by(self) -> int:
        """How many workers wait, loaded, to take the place of others."""
        return sum(each.standing_by for each in self._supervisors)

    @property
    def number(self) -> int:
        """How many workers there are (NumThreads)."""
        return len(self._supervisors)

    async def start(self) -> Description:
        """Start the first worker; what is wrong with the algorithm comes through."""
        return await self._supervisors[0].start()

    def start_like(self, other: "Workers", turn: Turn | None = None) -> Description:
        """Start the first worker as those of another plugin that runs the same code.

        Returns at once, as `Supervisor.start_like`; the declaration is known without it.
        """
        self._supervisors[0].start_like(other._supervisors[0], turn)
        return self.description

    def resize(self, number: int) -> None:
        """Have `number` workers; those that are too many finish their frame and go.

        ConfigurationError if that is too many, or more than one for an algorithm that keeps state.
        """
        if not 1 <= number <= MOST_WORKERS:
            raise ConfigurationError(
                f"{self.name}.NumThreads: expected 1 to {MOST_WORKERS}, got {number}"
            )
        if number > 1 and self.description.stateful:
            raise ConfigurationError(
                f"{self.name}.NumThreads: expected 1, as {self.description.name} keeps state, "
                f"got {number}"
            )
        while len(self._supervisors) > number:
            self._retire(self._supervisors.pop())
        while len(self._supervisors) < number:
            supervisor = Supervisor(*self._arguments)
            self._supervisors.append(supervisor)
            supervisor.start_like(self._supervisors[0])

    def _retire(self, supervisor: Supervisor) -> None:
        self._retired_restarts += supervisor.restarts
        leaving = BackgroundTask(f"stop {self.name}", supervisor.stop, restart=False)
        leaving.start()
        self._leaving = [*(each for each in self._leaving if each.running), leaving]

    def free(self, params: ParameterSet) -> Supervisor | None:
        """Find a worker that can take a frame with these parameters: an idle one if there is."""
        able = [each for each in self._supervisors if each.can_take(params)]
        idle = [each for each in able if each.state is WorkerState.IDLE]
        return next(iter(idle or able), None)

    async def reload(
        self, try_out: Callable[[WorkerProcess], Awaitable[None]], *, anew: bool = False
    ) -> str:
        """Let workers with what the files hold now take over, all together, between two frames.

        `try_out` is given the first of them and raises if it is no good. Returns why they start
        anew although the algorithm saves its state, or nothing; StateLost instead if a running
        worker could go on, unless `anew` allows it. RestartRequired, WorkerError or ProtocolError
        if it comes to nothing: then all goes on as before.
        """
        supervisors = list(self._supervisors)
        candidates: list[WorkerProcess] = []
        prepared: list[Supervisor] = []
        lost: list[str] = []
        try:
            self.tried = Code(self.code.folder, again=self.code.late)
            candidates.append(await supervisors[0].candidate(self.tried))
            await self._examine(candidates[0], try_out)
            for supervisor in supervisors[1:]:
                candidates.append(await supervisor.candidate(self.tried))
            async with self._handing_over:
                for supervisor, candidate in zip(supervisors, candidates, strict=True):
                    prepared.append(supervisor)
                    lost.append(await supervisor.prepare(candidate, anew=anew))
                for supervisor, candidate in zip(supervisors, candidates, strict=True):
                    supervisor.take_over(candidate)
        except BaseException:
            for supervisor in prepared:
                supervisor.resume()
            for candidate in candidates:
                await candidate.stop()
                candidate.close()
            raise
        return next(filter(None, lost), "")

    async def snapshot(self) -> State | None:
        """Return what the first worker's algorithm saves, between two frames; errors as `save`."""
        async with self._handing_over:
            return await self._supervisors[0].snapshot()

    async def _examine(
        self, candidate: WorkerProcess, try_out: Callable[[WorkerProcess], Awaitable[None]]
    ) -> None:
        changes = self.description.differences(candidate.description)
        if changes:
            raise RestartRequired(changes)
        await try_out(candidate)
        # What it has learnt from the trial it must not know when the frame comes.
        await candidate.renew()

    def rearm(self) -> None:
        """Let those that are quarantined start again."""
        for supervisor in self._supervisors:
            supervisor.rearm()

    async def stop(self) -> None:
        """End all workers, gently if they let themselves."""
        leaving = (each.ended() for each in self._leaving)
        await asyncio.gather(*(each.stop() for each in self._supervisors), *leaving)
