"""A plugin: a queue, supervised workers that run the algorithm, and a port for what comes out.

Every array that is handed in ends in exactly one count: received = processed + failed + dropped +
queued + in process, at every moment. Nobody upstream waits for a plugin.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tosip import names
from tosip.algorithm import Status
from tosip.description import Description
from tosip.errors import ConfigurationError, ProtocolError, WorkerError
from tosip.events import Event
from tosip.pipeline.failure import Failure, failure_of
from tosip.pipeline.freshness import Freshness
from tosip.pipeline.jobs import AlgorithmFault, Answer, Job, Program, WorkerDied
from tosip.pipeline.kept_state import KeptState
from tosip.pipeline.ndarray import AttributeValue, NDArray
from tosip.pipeline.parameters import Parameters
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Port, Ports
from tosip.pipeline.process import WorkerProcess
from tosip.pipeline.queues import Entry, FrameQueue, Policy
from tosip.pipeline.reload import Reloader
from tosip.pipeline.sorting import Sorter, SortMode
from tosip.pipeline.state import State
from tosip.pipeline.supervisor import Turn
from tosip.pipeline.throttle import Throttle
from tosip.pipeline.workers import Workers
from tosip.shortage import in_words, is_shortage

FIRST_DELAY, LONGEST_DELAY = 0.05, 5.0  # s until frames that could not be sent are sent again
MOST_WAITS = 30  # about two minutes: then that frame fails, and the next one is tried

log = logging.getLogger(__name__)


@dataclass
class Counters:
    """What has become of the arrays that were handed in."""

    received: int = 0
    processed: int = 0
    failed: int = 0
    dropped: int = 0
    in_process: int = 0


@dataclass(frozen=True)
class Outcome:
    """What one array came to. `outputs` are plain values; None when there are none to show.

    `failed` says that the algorithm raised, died or reported an error: older outputs are not to be
    believed any more. `latency` is from the array's arrival to this outcome, in seconds, `seconds`
    the algorithm's own time.
    """

    array: NDArray
    status: Status
    message: str
    outputs: Mapping[str, Any] | None
    failed: bool
    latency: float
    seconds: float

    @property
    def good(self) -> bool:
        """Whether there are new outputs to believe."""
        return not self.failed and self.outputs is not None and self.status is not Status.SKIP


@dataclass(frozen=True, eq=False)
class _Done:
    """An outcome on its way out, with the array for the plugins behind if there is one."""

    received: float
    outcome: Outcome
    result: NDArray | None = None


class Plugin:
    """One plugin of an IOC: make it, `start` it, `connect` it to a port; `stop` ends it.

    Its events are called on the event loop: `on_outcome` after every frame, `on_change` after every
    change of state, `on_failure` for frames whose algorithm raised or whose worker died, not for
    results that tell an error, `on_stale` when no good result has come for `max_age` seconds (0:
    never).
    An algorithm that wants its state kept has it in `state_file`; None keeps none.
    """

    def __init__(
        self,
        program: Program,
        pool: Pool,
        ports: Ports,
        *,
        queue_size: int = 20,
        policy: Policy = Policy.DROP_NEWEST,
        process_timeout: float = 10.0,
        threads: int = 1,
        max_age: float = 0.0,
        state_file: Path | None = None,
    ) -> None:
        self.name = program.name
        self.program = program
        self.pool = pool
        self.preallocate = 0  # buffers that PreAllocBuffers makes
        self.port: Port = ports.add(program.name)
        self._policy = policy
        self.queue = FrameQueue(queue_size, policy)
        self.counters = Counters()
        self.enabled = True
        self.min_callback_time = 0.0
        self.process_timeout = process_timeout
        # areaDetector's counters, which operators reset; `counters` always balance.
        self.array_counter = 0
        self.dropped_arrays = 0
        self.dropped_output_arrays = 0
        self.last_outcome: Outcome | None = None
        self.on_outcome: Event[[Outcome]] = Event(f"{self.name}.on_outcome")
        self.on_change: Event[[]] = Event(f"{self.name}.on_change")
        self.on_failure: Event[[Failure]] = Event(f"{self.name}.on_failure")
        self.on_stale: Event[[]] = Event(f"{self.name}.on_stale")
        self.freshness = Freshness(max_age, self._got_stale)
        self.bundle_count = 0  # whoever keeps failed frames tells by `kept_bundles`
        self.last_bundle = ""
        self.kept: KeptState | None = None
        if state_file:
            self.kept = KeptState(
                program.name,
                state_file,
                self._snapshot,
                lambda: self.workers.code_hash,
                self.on_change,
            )
        self.workers = Workers(program, pool, self.on_change, self._hand_out, self.kept)
        self.reloader = Reloader(program.file, self.workers, self._try_out, self.on_change)
        self.params = Parameters(self.name, Description("", ""))
        self.staging = False
        self.sorter: Sorter[_Done] = Sorter()
        self.throttle = Throttle()
        self._threads = threads
        self._found: list[tuple[str, str]] = []  # attributes, and the outputs that give them
        self._ports = ports
        self._running = False
        self._last_taken = -1e9
        self._overdue: asyncio.TimerHandle | None = None
        self._short = ""  # what is missing to send frames
        self._again: asyncio.TimerHandle | None = None  # until they are sent again
        self._delay = FIRST_DELAY
        self.port.on_room.connect(self._hand_out)

    @property
    def description(self) -> Description:
        """What the algorithm declares; known after `start`."""
        return self.workers.description

    @property
    def source(self) -> str:
        """Name of the port that the arrays come from."""
        return self._ports.source(self.name)

    async def start(self) -> Description:
        """Start the workers; what is wrong with the algorithm comes through.

        ConfigurationError if the machine does not have what the limits name.
        """
        self.program.limits.check(self.name)
        return self._started(await self.workers.start())

    def start_like(self, other: "Plugin", turn: Turn | None = None) -> Description:
        """Start as another plugin that has started and runs the same code; returns at once.

        Frames wait in the queue until the worker has had its `turn` to start. Errors as `start`.
        """
        self.program.limits.check(self.name)
        return self._started(self.workers.start_like(other.workers, turn))

    def _started(self, description: Description) -> Description:
        self.reloader.start()
        self.params = Parameters(self.name, description)
        self.workers.resize(self._threads)
        self._found = [(names.pascal_case(field.name), field.name) for field in description.outputs]
        self._running = True
        if self.kept:
            self.kept.start(description)
        return description

    async def stop(self) -> None:
        """End the work and the workers.

        Frames in process have a moment to finish; those that wait are dropped.
        """
        self._running = False
        if self._again:
            self._again.cancel()
        await self.reloader.stop()
        # Counted first: whoever is told that there is room sees counters that balance.
        self.counters.dropped += len(self.queue)
        self._dropped(self.queue.clear())
        if self.kept:
            await self.kept.stop(self.program.stop_timeout)
        await self.workers.stop()
        self._sort(self.sorter.flush)
        self.freshness.stop()
        self._stop_waiting()

    @property
    def blocking(self) -> bool:
        """Whether the source waits when the queue is full, and loses nothing.

        It is what BlockingCallbacks is set for in areaDetector; arrays are processed side by side
        with the source all the same.
        """
        return self.queue.policy is Policy.BLOCK

    @blocking.setter
    def blocking(self, blocking: bool) -> None:
        drop = Policy.DROP_NEWEST if self._policy is Policy.BLOCK else self._policy
        self.queue.policy = Policy.BLOCK if blocking else drop

    @property
    def max_age(self) -> float:
        """Seconds after which the last good result is too old; 0: it never is."""
        return self.freshness.limit

    @max_age.setter
    def max_age(self, seconds: float) -> None:
        self.freshness.limit = seconds

    def _got_stale(self) -> None:
        log.warning("%s: no good result for %g s", self.name, self.max_age)
        self.on_stale()
        self.on_change()

    def connect(self, source: str) -> None:
        """Take arrays from the port `source` from now on; ConfigurationError if that cannot be."""
        self._ports.connect(self.name, source, self.receive, self.queue)
        self.on_change()

    def receive(self, array: NDArray) -> None:
        """Take one array; returns at once."""
        if not self.enabled or not self._running:
            return
        now = time.monotonic()
        if now - self._last_taken < self.min_callback_time:
            return  # as in areaDetector: not dropped, never taken
        self._last_taken = now
        self.counters.received += 1
        array.origin.taken()
        entry, dropped = self.queue.put(array)
        self.counters.dropped += len(dropped) + (entry is None)
        if entry is None:
            self.dropped_arrays += 1
            array.origin.done()
            self.on_change()
        self._dropped(dropped)
        self._hand_out()
        if len(self.queue):  # what waits is shown at once; what is taken, with its outcome
            self.on_change()

    def _dropped(self, entries: Sequence[Entry]) -> None:
        """Let go of entries that `counters` has as dropped."""
        for entry in entries:
            self.dropped_arrays += 1
            entry.array.origin.done()
            self._sort(self.sorter.skip, entry.number)
        if entries:
            self.on_change()

    def enable(self, enabled: bool) -> None:
        """Take arrays, or none; the queue is left to drain."""
        self.enabled = enabled
        if not enabled:
            self.last_outcome = self.port.last = None  # or their arrays would stay leased
        self.on_change()

    def write(self, name: str, value: Any) -> Any:
        """Set an input as an operator does: at once, or with `staging` when `params.apply` comes.

        Returns the plain value; ParameterError as `Parameters.set`.
        """
        plain = (self.params.stage if self.staging else self.params.set)(name, value)
        self.on_change()
        return plain

    def stage_changes(self, staging: bool) -> None:
        """Let inputs wait for `apply`, or not any more: what waits then is given up."""
        self.staging = staging
        if not staging:
            self.params.discard()
        self.on_change()

    def apply(self) -> None:
        """Put all staged values of inputs in force together."""
        self.params.apply()
        self.on_change()

    async def _try_out(self, candidate: WorkerProcess) -> None:
        """Let newer code look at the last frame; what it makes of it is nobody's.

        AlgorithmFault or WorkerDied if it fails.
        """
        if self.last_outcome is None:
            return
        done: asyncio.Future[Answer | WorkerError | ProtocolError | None]
        done = asyncio.get_running_loop().create_future()
        array, params = self.last_outcome.array, self.params.current

        def finish(answer: Answer | WorkerError | ProtocolError | None) -> None:
            if not done.done():  # the reload may have been given up
                done.set_result(answer)

        candidate.submit(Job(array, params, self.source, self.process_timeout, finish))
        answer = await done
        if isinstance(answer, WorkerError | ProtocolError):
            raise answer

    def process_again(self) -> None:
        """Process the last array once more, for example after a parameter has changed."""
        if self.last_outcome is None:
            raise ConfigurationError(f"{self.name}.ProcessPlugin: expected a last array, got none")
        self.receive(self.last_outcome.array)

    def set_sorting(
        self,
        *,
        mode: SortMode | None = None,
        time: float | None = None,
        size: int | None = None,
    ) -> None:
        """Change how the order is restored; None leaves a setting as it is."""
        self.sorter.mode = self.sorter.mode if mode is None else mode
        self.sorter.time = self.sorter.time if time is None else time
        self.sorter.size = self.sorter.size if size is None else size
        self._let_overdue_go()

    def _hand_out(self) -> None:
        """Give waiting arrays to workers that can take them."""
        while self._running and len(self.queue) and not self.port.blocked and not self._again:
            supervisor = self.workers.free(self.params.current)
            if supervisor is None:
                return
            self.counters.in_process += 1
            entry = self.queue.take()
            job = Job(
                entry.array,
                self.params.current,
                self.source,
                self.process_timeout,
                functools.partial(self._done, entry),
            )
            try:
                supervisor.submit(job)
            except Exception as error:  # noqa: BLE001 (it is counted, and logged there)
                self._not_sent(entry, error)
            else:
                self.params.take()  # not before: a button that was pressed waits with its frame
                self._short, self._delay = "", FIRST_DELAY

    def _not_sent(self, entry: Entry, error: Exception) -> None:
        """Deal with a frame that could not be sent: no worker has seen it."""
        loop = asyncio.get_running_loop()
        if is_shortage(error) and entry.waits < MOST_WAITS:
            self.counters.in_process -= 1
            self.queue.put_back(replace(entry, waits=entry.waits + 1))
            if not self._short:
                log.warning("%s: frames wait: %s", self.name, in_words(error))
            self._short = f"frames wait: {in_words(error)}"
            self._again = loop.call_later(self._delay, self._send_again)
            self._delay = min(2 * self._delay, LONGEST_DELAY)
            self.on_change()
            return
        if is_shortage(error):
            error = ProtocolError(f"frame: not sent: {in_words(error)}")
        elif not isinstance(error, ProtocolError | WorkerError):
            log.error("%s: frame %d", self.name, entry.array.unique_id, exc_info=error)
            error = ProtocolError(f"a fault of TOSIP: {error!r}")
        # Not at once: it hands out the next, and all of them may be such.
        loop.call_soon(self._done, entry, error)

    def _send_again(self) -> None:
        self._again = None
        self._hand_out()
        self.on_change()

    @property
    def fault(self) -> str:
        """Why frames wait or workers are not looked after, if that is so; else empty."""
        return self._short or self.workers.fault

    def _done(self, entry: Entry, answer: Answer | WorkerError | ProtocolError | None) -> None:
        if answer is None:
            self._look_again(entry)
            return
        if isinstance(answer, WorkerDied) and answer.from_outside and not entry.tries:
            self._look_again(replace(entry, tries=1))
            return
        try:
            done = self._read(entry, answer)
        except Exception as error:
            log.exception("%s: frame %d", self.name, entry.array.unique_id)
            done = self._failed(entry, f"a fault of TOSIP: {error!r}")
        self.counters.in_process -= 1
        if self.kept and isinstance(answer, Answer):
            self.kept.changed()
        if done.outcome.failed:
            self.counters.failed += 1
        else:
            self.counters.processed += 1
            self.array_counter += 1
        # Before anything else: the worker can be at the next frame while this one is published.
        self._hand_out()
        if isinstance(answer, WorkerError):
            self._tell_failure(entry.array, answer)
        self._sort(self.sorter.put, entry.number, done, time.monotonic())
        if self.sorter.mode is SortMode.SORTED:
            self.on_change()  # it may be held: SortFree

    async def _snapshot(self) -> State | None:
        return await self.workers.snapshot()

    def _tell_failure(self, array: NDArray, error: WorkerError) -> None:
        failure = failure_of(array, self.program, error) if self.on_failure else None
        if failure:
            self.on_failure(failure)

    def kept_bundles(self, count: int, last: str) -> None:
        """Know how many failed frames are kept, and under which name the last one."""
        self.bundle_count, self.last_bundle = count, last
        self.on_change()

    def _look_again(self, entry: Entry) -> None:
        """Give an array to the next worker: it was not the array's fault, or nobody saw it."""
        self.counters.in_process -= 1
        if self._running:
            self.queue.put_back(entry)
            self._hand_out()
        else:
            self.counters.dropped += 1
            self._dropped([entry])

    def _read(self, entry: Entry, answer: Answer | WorkerError | ProtocolError) -> _Done:
        if isinstance(answer, Answer):
            return self._answered(entry, answer)
        # Text, not the error: one that a log keeps would keep the frame's memory.
        text = f"worker {answer}" if isinstance(answer, WorkerDied) else str(answer)
        log.warning("%s: frame %d: %s", self.name, entry.array.unique_id, text)
        if isinstance(answer, AlgorithmFault):
            text = answer.traceback
        return self._failed(entry, text)

    def _failed(self, entry: Entry, text: str) -> _Done:
        latency = time.monotonic() - entry.received
        outcome = Outcome(entry.array, Status.ERROR, text, None, True, latency, 0.0)
        return _Done(entry.received, outcome)

    def _answered(self, entry: Entry, answer: Answer) -> _Done:
        message, array = answer.message, entry.array
        if message["params"]:
            self.params.update(message["params"])
        status = Status(message["status"])
        outcome = Outcome(
            array,
            status,
            message["message"],
            message["outputs"],
            status is Status.ERROR,
            time.monotonic() - entry.received,
            message["seconds"],
        )
        if answer.refused:
            log.warning("%s: frame %d: image: %s", self.name, array.unique_id, answer.refused)
            self.dropped_output_arrays += 1
        if outcome.failed or answer.refused:
            return _Done(entry.received, outcome)
        return _Done(entry.received, outcome, self._result(array, status, answer))

    def _result(self, array: NDArray, status: Status, answer: Answer) -> NDArray:
        """Make the array for the plugins behind: they see what was found as attributes."""
        message = answer.message
        found: dict[str, AttributeValue] = {}
        if message["outputs"] is not None:
            found |= {attribute: message["outputs"][name] for attribute, name in self._found}
        found["Status"] = status.value
        found["CodeHash"] = self.workers.code_hash
        return (answer.image or array).with_attributes({**found, **message["attributes"]})

    def _sort(self, change: Callable[..., list[_Done]], *arguments: Any) -> None:
        """Let out what comes next in order after a change of the sorter."""
        for done in change(*arguments):
            self._come_out(done)
        due = self.sorter.due()
        if due is not None and self._overdue is None:
            loop = asyncio.get_running_loop()
            self._overdue = loop.call_later(due - time.monotonic(), self._let_overdue_go)

    def _let_overdue_go(self) -> None:
        self._stop_waiting()
        if self.sorter.mode is SortMode.UNSORTED:
            self._sort(self.sorter.flush)
        self._sort(self.sorter.overdue, time.monotonic())
        self.on_change()

    def _stop_waiting(self) -> None:
        if self._overdue:
            self._overdue.cancel()
        self._overdue = None

    def _come_out(self, done: _Done) -> None:
        outcome = done.outcome
        if self.sorter.mode is SortMode.SORTED:  # it may have waited for others
            outcome = replace(outcome, latency=time.monotonic() - done.received)
        self.last_outcome = outcome if self.enabled else None
        if outcome.good:
            self.freshness.renew()
        self.on_outcome(outcome)
        self.on_change()
        if done.result is not None:
            self._publish(done.result)
        if not self.enabled:
            self.port.last = None
        outcome.array.origin.done()

    def _publish(self, result: NDArray) -> None:
        if self.throttle.take(result.size, time.monotonic()):
            self.port.publish(result)
        else:
            self.dropped_output_arrays += 1
            self.on_change()
