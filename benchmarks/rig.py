"""A source port, frames as cameras give them, and plugins with real workers, to be timed.

The event loop runs only inside `Rig.run`, so that blocks of frames take turns with other work.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self, TypeVar

from benchmarks.peers import ATTRIBUTES, PARAMS
from benchmarks.timing import Block
from tosip.pipeline.jobs import Answer, Job, Program
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.origin import Origin
from tosip.pipeline.parameters import Parameters
from tosip.pipeline.plugin import Outcome, Plugin
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Ports
from tosip.pipeline.process import WorkerProcess
from tosip.pipeline.queues import Policy
from tosip.pipeline.resources import Household
from tosip.pipeline.supervisor import Supervisor

MIB = 1 << 20
NOTHING = "return Figures()"
_ALGORITHM = '''
import numpy as np
from tosip import Algorithm, Inputs, Outputs, Result, output, param

class Params(Inputs):
    {inputs}

class Figures(Outputs):
    value: float = output("A value", default=0.0)

class Bench(Algorithm[Params, Figures]):
    """What is timed."""

    def process(self, image, params, attributes, metadata):
        {body}
'''
_TIMEOUT = 60.0
_BUFFERS = 3  # of one size: one is read, one remembered by the plugin, one filled by the camera
_COLUMNS = 512

T = TypeVar("T")


class BenchmarkError(RuntimeError):
    """A measurement that did not measure what it says."""


def shape_of(size: int) -> tuple[int, int]:
    """The shape of a 16-bit frame of `size` bytes."""
    return size // 2 // _COLUMNS, _COLUMNS


class Rig:
    """A pool, the port CAM, and what listens to it.

    >>> with Rig() as rig:
    ...     plugin = rig.plugin()
    ...     seconds = rig.trips(plugin, 32 * MIB, 200)()
    """

    def __init__(self) -> None:
        self.pool = Pool()
        self.ports = Ports()
        self.source = self.ports.add("CAM")
        self.origin = Origin()
        self._plugins: list[Plugin] = []
        self._workers: list[WorkerProcess] = []
        self._supervisors: list[Supervisor] = []
        self._published = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._runner = self._stack.enter_context(asyncio.Runner())
        self._stack.callback(self.pool.close)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            self._runner.run(self._stop())

    async def _stop(self) -> None:
        ends = [plugin.stop() for plugin in self._plugins]
        ends += [supervisor.stop() for supervisor in self._supervisors]
        await asyncio.gather(*ends, *(worker.stop() for worker in self._workers))
        for worker in self._workers:
            worker.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the event loop until `work` is done."""
        return self._runner.run(asyncio.wait_for(work, _TIMEOUT))

    def program(
        self, name: str = "BENCH", body: str = NOTHING, *, standby: bool = False
    ) -> Program:
        """Write an algorithm of 10 inputs p0 to p9 and one output; `body` is its `process`."""
        inputs = "\n    ".join(f'{p}: int = param("Input {p}", default=0)' for p in PARAMS)
        file = self._folder / f"{name.lower()}.py"
        indented = body.strip().replace("\n", "\n        ")
        file.write_text(_ALGORITHM.format(inputs=inputs, body=indented))
        return Program(name, file, None, Path(sys.executable), standby=standby)

    def plugin(self, body: str = NOTHING, **options: Any) -> Plugin:
        """Start a plugin that listens to CAM."""
        return self.plugins(["BENCH"], body, **options)[0]

    def plugins(
        self, names: Iterable[str], body: str = NOTHING, *, standby: bool = False, **options: Any
    ) -> list[Plugin]:
        """Start plugins that listen to CAM and, unless `options` say otherwise, lose nothing."""

        async def start() -> list[Plugin]:
            options.setdefault("policy", Policy.BLOCK)
            programs = [self.program(name, body, standby=standby) for name in names]
            made = [Plugin(program, self.pool, self.ports, **options) for program in programs]
            self._plugins += made
            await asyncio.gather(*(plugin.start() for plugin in made))
            for plugin in made:
                plugin.connect("CAM")
            return made

        return self.run(start())

    def worker(self, kind: type[WorkerProcess] = WorkerProcess) -> WorkerProcess:
        """Start a worker that belongs to no plugin."""

        async def start() -> WorkerProcess:
            worker = kind(self.program("BARE"), self.pool, lambda: None)
            self._workers.append(worker)
            await worker.start()
            return worker

        return self.run(start())

    def supervisor(self) -> Supervisor:
        """Start a supervised worker that belongs to no plugin."""
        name = "SUPERVISED"
        supervisor = Supervisor(
            self.program(name), self.pool, lambda: None, lambda: None, Household(name)
        )
        self._supervisors.append(supervisor)
        self.run(supervisor.start())
        return supervisor

    async def until(self, plugin: Plugin, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is looked at after every change of the plugin."""
        changed = asyncio.Event()
        plugin.on_change.connect(changed.set)
        while not condition():
            changed.clear()
            await changed.wait()
        plugin.on_change.disconnect(changed.set)

    def frame(self, size: int) -> NDArray:
        """Make the next frame, in memory from the pool, as a driver does before it fills it."""
        self._published += 1
        shape = shape_of(size)
        lease = self.pool.allocate(math.prod(shape) * 2)
        return NDArray(self._published, 0.0, shape, "uint16", lease, ATTRIBUTES, origin=self.origin)

    def fill_buffers(self, *sizes: int) -> None:
        """Give the pool all the buffers it will need, each written to, as exposures do."""
        for size in sizes:
            frames = [self.frame(size) for _ in range(_BUFFERS)]
            for frame in frames:
                frame.lease.view(frame.shape, frame.dtype).fill(5)

    def trips(self, plugin: Plugin, size: int, count: int, **params: int) -> Block:
        """From publishing a frame to the call of the plugin's listener, one frame at a time."""

        async def trips() -> list[float]:
            plugin.params.update(params)
            watch = _Watch()
            plugin.on_outcome.connect(watch.outcome)
            try:
                for _ in range(count):
                    await watch.time(self.source.publish, self.frame(size))
            finally:
                plugin.on_outcome.disconnect(watch.outcome)
            return watch.taken

        return lambda: self.run(trips())

    def bare_trips(self, worker: WorkerProcess | Supervisor, size: int, count: int) -> Block:
        """From submitting a frame to a worker to the call with its answer."""
        params = Parameters("BARE", worker.description).take()

        async def trips() -> list[float]:
            watch = _Watch()
            for _ in range(count):
                job = Job(self.frame(size), params, "CAM", _TIMEOUT, watch.answer)
                await watch.time(worker.submit, job)
            return watch.taken

        return lambda: self.run(trips())

    def whole_trips(self, size: int, count: int) -> Block:
        """From publishing a frame to the moment when no plugin has anything of it any more."""

        async def trips() -> list[float]:
            watch = _Watch()
            self.origin.on_idle.connect(watch.stop)
            try:
                for _ in range(count):
                    await watch.time(self.source.publish, self.frame(size))
            finally:
                self.origin.on_idle.disconnect(watch.stop)
            return watch.taken

        return lambda: self.run(trips())

    def stream(self, size: int, count: int) -> Block:
        """The mean seconds per frame when the source waits for nothing but room in the queues."""

        async def stream() -> list[float]:
            idle = asyncio.Event()
            self.origin.on_idle.connect(idle.set)
            start = perf_counter()
            for _ in range(count):
                await self.source.room()
                self.source.publish(self.frame(size))
            while self.origin.queued:
                idle.clear()
                await idle.wait()
            taken = perf_counter() - start
            self.origin.on_idle.disconnect(idle.set)
            return [taken / count]

        return lambda: self.run(stream())

    def check_nothing_lost(self) -> None:
        """BenchmarkError if a plugin has dropped or failed a frame that it was given."""
        for plugin in self._plugins:
            counters = plugin.counters
            if counters.processed != counters.received:
                raise BenchmarkError(f"{plugin.name}: expected all frames processed: {counters}")


class _Watch:
    """Times one thing after the other, each from a call here to a call back."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self._start = 0.0
        self._fault: object = None
        self._stopped = asyncio.Event()

    async def time(self, begin: Callable[[Any], None], argument: object) -> None:
        self._stopped.clear()
        self._start = perf_counter()
        begin(argument)
        await self._stopped.wait()
        if self._fault is not None:
            raise BenchmarkError(f"expected a result, got {self._fault}")

    def stop(self) -> None:
        self.taken.append(perf_counter() - self._start)
        self._stopped.set()

    def outcome(self, outcome: Outcome) -> None:
        self.stop()
        self._fault = outcome.message if outcome.failed else None

    def answer(self, answer: object) -> None:
        self.stop()
        self._fault = None if isinstance(answer, Answer) else answer
