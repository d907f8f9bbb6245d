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
from tosip.pipeline.parameters import Parameters
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
        """End the work and the worker; arrays that wait are dropped."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._drop(self.queue.clear())
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
        self._drop(self.queue.put(array))

    def _drop(self, count: int) -> None:
        if count:
            self.counters.dropped += count
            self.dropped_arrays += count
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
            # In a method of its own: variables that outlive the frame would keep it leased.
            await self._handle(await self.queue.get())
            # A quick worker may have answered before it was waited for: let others run too.
            await asyncio.sleep(0)

    async def _handle(self, entry: Entry) -> None:
        self.counters.in_process += 1
        try:
            outcome, result = await self._process(entry)
        except asyncio.CancelledError:
            self.counters.in_process -= 1
            self._drop(1)
            raise
        self.counters.in_process -= 1
        if outcome.failed:
            self.counters.failed += 1
        else:
            self.counters.processed += 1
            self.array_counter += 1
        self.last_outcome = outcome
        for listener in tuple(self.on_outcome):
            self._call(listener, outcome)
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
            self._warn(array, str(fault))
            outcome = replace(outcome, message=fault.traceback)
        except WorkerError as error:
            self._warn(array, f"worker {error}")
            outcome = replace(outcome, message=f"worker {error}")
        except ProtocolError as error:  # the worker has not seen it
            self._warn(array, str(error))
            outcome = replace(outcome, message=str(error))
        except Exception as error:
            log.exception("%s: frame %d", self.name, array.unique_id)
            outcome = replace(outcome, message=f"a fault of TOSIP: {error!r}")
        return replace(outcome, latency=time.monotonic() - entry.received), result

    def _warn(self, array: NDArray, text: str) -> None:
        # Text, not the error: one that a log keeps would keep the frame's memory.
        log.warning("%s: frame %d: %s", self.name, array.unique_id, text)

    def _outcome(self, array: NDArray, message: Message) -> Outcome:
        for name, value in message["params"].items():
            self.params.set(name, value)
        status = Status(message["status"])
        return Outcome(
            array,
            status,
            message["message"],
            message["outputs"],
            status is Status.ERROR,
            0.0,
            message["seconds"],
        )

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
            self._call(listener)

    def _call(self, listener: Callable[..., None], *arguments: Any) -> None:
        try:
            listener(*arguments)
        except Exception:  # of a record, say: frames must go on
            log.exception("%s: %r", self.name, listener)
