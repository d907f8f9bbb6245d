"""A plugin with a real worker process whose algorithm does what each frame tells it.

    async with plugin_rig(program) as rig:
        outcome = await rig.process("os._exit(3)")

The code travels in the frame's attribute DO and runs inside `process`; what it assigns to `result`
is returned.
"""

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tosip.pipeline.guard import GUARD
from tosip.pipeline.jobs import Answer, Job, Program
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.origin import Origin
from tosip.pipeline.parameters import Parameters
from tosip.pipeline.plugin import Outcome, Plugin
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Ports
from tosip.pipeline.process import WorkerProcess

SOURCE = '''
import ctypes, enum, os, signal, subprocess, sys, time
import numpy as np
from numpy.typing import NDArray
from tosip import Algorithm, Inputs, Outputs, Result, Status, command, output, param


class Band(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Params(Inputs):
    threshold: float = param("Threshold", default=1.0, limits=(0.0, 100.0))
    count: int = param("Count", default=3)
    band: Band = param("Band", default=Band.RED)
    weights: NDArray[np.float64] = param("Weights", default=np.ones(2), length=4)
    press: bool = command("Press")


class Figures(Outputs):
    total: float = output("Sum of the pixels", default=0.0)
    number: int = output("A number", default=0)
    line: NDArray[np.int16] = output("A line", default=(), length=3)
    unknown: float = output("Never known", default=float("nan"))


class Probe(Algorithm[Params, Figures]):
    """Does what the frame tells it."""

    def process(self, image, params, attributes, metadata):
        scope = dict(globals(), **locals())
        exec(attributes.get("DO", ""), scope)
        return scope.get("result", Figures(total=float(image.sum())))
'''
READY = 30.0


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, with a limit."""
    asyncio.run(asyncio.wait_for(work, 60.0))


def probe(folder: Path, source: str = SOURCE, **options: Any) -> Program:
    """Write the algorithm's file and name it."""
    file = folder / "probe.py"
    file.write_text(source)
    options = {"interpreter": Path(sys.executable), **options}
    return Program("PROBE", file, None, **options)


def frame(
    pool: Pool,
    do: str = "",
    *,
    shape: Any = (4, 5),
    fill: int = 1,
    dtype: str = "uint16",
    **more: Any,
) -> NDArray:
    """A frame of equal pixels."""
    lease = pool.allocate(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    lease.view(shape, dtype)[:] = fill
    number, mode = more.pop("unique_id", 7), more.pop("color_mode", "Mono")
    return NDArray(number, 1234.5, shape, dtype, lease, {"DO": do, **more}, mode)


async def answered(worker: WorkerProcess, array: NDArray, timeout: float = 10.0) -> Answer:
    """Let a worker look at a frame and return its answer; raise what it came to instead."""
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    params = Parameters("CAM", worker.description).take()
    worker.submit(Job(array, params, "CAM", timeout, done.set_result))
    answer = await done
    if not isinstance(answer, Answer):
        raise answer
    return answer


def descriptors() -> int:
    """How many files this process has open, without those of garbage."""
    GUARD.start()  # once it is there, it stays
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def alive(pid: int) -> bool:
    """Whether a process runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Rig:
    """A plugin, the pool and port before it, and what comes out of it."""

    def __init__(self, plugin: Plugin, pool: Pool, ports: Ports) -> None:
        self.plugin, self.pool, self.ports = plugin, pool, ports
        self.source = ports.add("CAM")
        self.origin = Origin()
        self.published: list[NDArray] = []
        plugin.port.listen(self.published.append)

    async def process(self, do: str = "", **more: Any) -> Outcome:
        """Let one frame through and return what became of it."""
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.plugin.on_outcome.connect(done.set_result)
        self.source.publish(frame(self.pool, do, **more))
        outcome = await asyncio.wait_for(done, READY)
        self.plugin.on_outcome.disconnect(done.set_result)
        # From Python 3.12 on the call that wakes us holds the outcome, and so the frame.
        await asyncio.sleep(0)
        return outcome

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is looked at after every change of the plugin."""
        changed = asyncio.Event()
        self.plugin.on_change.connect(changed.set)
        async with asyncio.timeout(READY):
            while not condition():
                changed.clear()
                await changed.wait()
        self.plugin.on_change.disconnect(changed.set)

    def let_go(self) -> None:
        """Hold no frame any more, here and in the plugin."""
        self.published.clear()
        self.source.last = None
        self.plugin.enable(False)

    def printed(self) -> Sequence[str]:
        """The last lines that the present worker has printed; they go on to grow."""
        return self.plugin.workers.printed

    def balanced(self) -> bool:
        """Whether every frame that came in is accounted for."""
        c = self.plugin.counters
        known = c.processed + c.failed + c.dropped + len(self.plugin.queue) + c.in_process
        return c.received == known


@asynccontextmanager
async def plugin_rig(program: Program, **options: Any) -> AsyncIterator[Rig]:
    pool, ports = Pool(), Ports()
    plugin = Plugin(program, pool, ports, **options)
    rig = Rig(plugin, pool, ports)
    try:
        await plugin.start()
        plugin.connect("CAM")
        yield rig
    finally:
        await plugin.stop()
        rig.let_go()  # each frame holds descriptors of its memory
        pool.close()
