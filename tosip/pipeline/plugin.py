"""A plugin: a queue, a supervised algorithm, and a port for the arrays that come out.

Every array that is handed in ends in exactly one count: received = processed + failed + dropped +
queued + in process, at every moment. Nobody upstream waits for a plugin.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tosip import names
from tosip.algorithm import Status
from tosip.description import Description, Kind
from tosip.errors import ConfigurationError, ProtocolError, WorkerError
from tosip.pipeline.ndarray import AttributeValue, NDArray
from tosip.pipeline.parameters import ParameterError, Parameters
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Port, Ports
from tosip.pipeline.process import AlgorithmFault, Program
from tosip.pipeline.protocol import Message
from tosip.pipeline.queues import Entry, FrameQueue, Policy
from tosip.pipeline.supervisor import Supervisor

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


class Plugin:
    """One plugin of an IOC: make it, `start` it, `connect` it to a port; `stop` ends it.

    `on_outcome` and `on_change` are lists of functions to call, on the event loop, after every
    frame and after every change of state.
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
    ) -> None:
        self.name = program.name
        self.program = program
        self.port: Port = ports.add(program.name)
        self.queue = FrameQueue(queue_size, policy)
        self.counters = Counters()
        self.enabled = True
        self.min_callback_time = 0.0
        self.process_timeout = process_timeout
        # areaDetector's counters, which operators reset; `counters` always balance.
        self.array_counter = 0
        self.dropped_arrays = 0
        self.last_outcome: Outcome | None = None
        self.on_outcome: list[Callable[[Outcome], None]] = []
        self.on_change: list[Callable[[], None]] = []
        self.supervisor = Supervisor(program, pool, self._changed)
        self.params = Parameters(self.name, Description("", ""))
        self._ports = ports
        self._task: asyncio.Task[None] | None = None
        self._last_taken = -1e9

    @property
    def description(self) -> Description:
        """What the algorithm declares; known after `start`."""
        return self.supervisor.description

    @property
    def source(self) -> str:
        """Name of the port that the arrays come from."""
        return self._ports.source(self.name)

    async def start(self) -> Description:
        """Start the worker and the work; what is wrong with the algorithm comes through."""
        description = await self.supervisor.start()
        self.params = Parameters(self.name, description)
        self._task = asyncio.create_task(self._work(), name=f"plugin {self.name}")
        return description

    async def stop(self) -> None:
        """End the work and the worker."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.supervisor.stop()

    def connect(self, source: str) -> None:
        """Take arrays from the port `source` from now on; ConfigurationError if that cannot be."""
        self._ports.connect(self.name, source, self.receive)
        self._changed()

    def receive(self, array: NDArray) -> None:
        """Take one array; returns at once."""
        if not self.enabled:
            return
        now = time.monotonic()
        if now - self._last_taken < self.min_callback_time:
            return  # as in areaDetector: not dropped, never taken
        self._last_taken = now
        self.counters.received += 1
        dropped = self.queue.put(array)
        if dropped:
            self.counters.dropped += dropped
            self.dropped_arrays += dropped
            self._changed()

    async def receive_when_room(self, array: NDArray) -> None:
        """Take one array as soon as the queue has room for it: for files, of which none is lost."""
        await self.queue.room()
        self.receive(array)

    def enable(self, enabled: bool) -> None:
        """Take arrays, or none; the queue is left to drain."""
        self.enabled = enabled
        if not enabled:
            self.last_outcome = None  # or its array would stay leased
        self._changed()

    def process_again(self) -> None:
        """Process the last array once more, for example after a parameter has changed."""
        if self.last_outcome is None:
            raise ConfigurationError(f"{self.name}.ProcessPlugin: expected a last array, got none")
        self.receive(self.last_outcome.array)

    async def _work(self) -> None:
        while True:
            entry = await self.queue.get()
            self.counters.in_process += 1
            try:
                outcome, result = await self._process(entry)
            finally:
                self.counters.in_process -= 1
            if outcome.failed:
                self.counters.failed += 1
            else:
                self.counters.processed += 1
                self.array_counter += 1
            self.last_outcome = outcome
            for listener in tuple(self.on_outcome):
                listener(outcome)
            self._changed()
            if result is not None:
                self.port.publish(result)

    async def _process(self, entry: Entry) -> tuple[Outcome, NDArray | None]:
        array = entry.array
        outcome = Outcome(array, Status.ERROR, "", None, True, 0.0, 0.0)
        result = None
        try:
            message, image = await self.supervisor.process(
                array, self.params.take(), self.source, self.process_timeout
            )
            outcome = self._outcome(array, message)
            result = None if outcome.failed else self._result(outcome, message, image)
        except AlgorithmFault as fault:
            log.warning("%s: frame %d: %s", self.name, array.unique_id, fault)
            outcome = replace(outcome, message=fault.traceback)
        except (WorkerError, ProtocolError) as error:
            log.warning("%s: frame %d: worker %s", self.name, array.unique_id, error)
            outcome = replace(outcome, message=f"worker {error}")
        return replace(outcome, latency=time.monotonic() - entry.received), result

    def _outcome(self, array: NDArray, message: Message) -> Outcome:
        text = message["message"]
        for name, value in message["params"].items():
            try:
                self.params.set(name, value)
            except ParameterError as error:
                text = f"{text}\n{error}".strip()
        outputs = message["outputs"]
        if outputs is not None:
            outputs = _checked(self.description, outputs)
        status = _status(message["status"])
        failed = status is Status.ERROR
        return Outcome(array, status, text, outputs, failed, 0.0, float(message["seconds"]))

    def _result(self, outcome: Outcome, message: Message, image: NDArray | None) -> NDArray:
        """Make the array for the plugins behind: they see what was found as attributes."""
        found: dict[str, AttributeValue] = {}
        for field in self.description.outputs:
            if outcome.outputs is not None and field.kind is not Kind.ARRAY:
                found[names.pascal_case(field.name)] = outcome.outputs[field.name]
        found["Status"] = outcome.status.value
        found["CodeHash"] = self.supervisor.code_hash
        return (image or outcome.array).with_attributes({**found, **message["attributes"]})

    def _changed(self) -> None:
        for listener in tuple(self.on_change):
            listener()


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise ProtocolError(f"result.status: expected a status, got {text[:40]!r}") from None


def _checked(description: Description, outputs: Mapping[str, Any]) -> dict[str, Any]:
    if outputs.keys() != {field.name for field in description.outputs}:
        raise ProtocolError(f"result.outputs: expected those of {description.name}")
    try:
        return {field.name: field.plain(outputs[field.name]) for field in description.outputs}
    except ValueError as error:
        raise ProtocolError(f"result.outputs: {error}") from error
