"""What it costs to hand a frame to a worker process and hear its answer.

An algorithm that does nothing, with 10 inputs, looks at frames with 30 attributes; the time is from
the call in the IOC's process to the checked answer there. Copying the same bytes once, in turn in
the same run, is the scale: a hand-off does not touch the pixels, so its time must not grow with
them. The second table is for an algorithm that returns an image of the frame's size.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool
from tosip.pipeline.process import Program, WorkerProcess

_MIB = 1 << 20
_SIZES = (_MIB // 4, 8 * _MIB, 32 * _MIB, 128 * _MIB)
_REPEATS = 15
_TIMEOUT = 60.0
_ALGORITHM = '''
import numpy as np
from tosip import Algorithm, Inputs, Outputs, Result, output, param

class Params(Inputs):
    {inputs}

class Figures(Outputs):
    value: float = output("A value", default=0.0)

class Nothing(Algorithm[Params, Figures]):
    """Does nothing, or makes an image."""

    def process(self, image, params, attributes, metadata):
        if params.p0 == 1:
            made = np.empty(image.shape, image.dtype)
        elif params.p0 == 2:
            made = self.new_image(image.shape, image.dtype)
        else:
            return Figures()
        made.fill(7)
        return Result(Figures(), image=made)
'''
_NOTHING, _NEW, _ASKED = 0, 1, 2
_ATTRIBUTES = {f"KEY{number:02}": f"a value of {number}" for number in range(30)}
Way = Callable[[], Awaitable[None]]


def main() -> None:
    """Print the tables."""
    asyncio.run(_measure())


async def _measure() -> None:
    pool = Pool()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "nothing.py"
        inputs = "\n    ".join(f'p{n}: int = param("Input {n}", default=0)' for n in range(10))
        file.write_text(_ALGORITHM.format(inputs=inputs))
        worker = WorkerProcess(
            Program("BENCH", file, None, Path(sys.executable)), pool, lambda: None
        )
        try:
            await worker.start()
            times = {size: await _times(worker, pool, size) for size in _SIZES}
        finally:
            await worker.stop()
            worker.close()
            pool.close()
    _show("Round trip of a frame", times, ("hand-off",))
    _show("Round trip with an image that is filled", times, ("new image", "new_image() asked"))


async def _times(worker: WorkerProcess, pool: Pool, size: int) -> dict[str, float]:
    """Median seconds of each way for one size of frames; all ways take turns."""
    array = _frame(pool, size)
    source, target = array.pixels, np.zeros(array.shape, array.dtype)

    async def copy() -> None:
        np.copyto(target, source)

    def trip(kind: int) -> Way:
        params: dict[str, Any] = {f"p{n}": 0 for n in range(10)} | {"p0": kind}

        async def way() -> None:
            await worker.process(array, params, "CAM01", _TIMEOUT)

        return way

    images: dict[str, Way] = {"new image": trip(_NEW), "new_image() asked": trip(_ASKED)}
    # Apart: the kernel frees the images' memory in time that would be counted to others.
    return {
        **await _in_turns(images),
        **await _in_turns({"np.copyto": copy, "hand-off": trip(_NOTHING)}),
    }


async def _in_turns(ways: dict[str, Way]) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_REPEATS + 1):
        for name, way in ways.items():
            start = perf_counter()
            await way()
            taken[name].append(perf_counter() - start)
    return {name: median(values[1:]) for name, values in taken.items()}  # the first maps buffers


def _frame(pool: Pool, size: int) -> NDArray:
    shape = (size // 2 // 512, 512)
    lease = pool.allocate(size)
    lease.view(shape, "uint16").fill(5)
    return NDArray(1, 0.0, shape, "uint16", lease, _ATTRIBUTES)


def _show(title: str, times: dict[int, dict[str, float]], ways: tuple[str, ...]) -> None:
    table = Table(title=f"{title}, median of {_REPEATS}")
    table.add_column("way")
    for heading in ("MiB", "us", "np.copyto us", "times np.copyto"):
        table.add_column(heading, justify="right")
    for way in ways:
        for size, medians in times.items():
            taken, copied = medians[way], medians["np.copyto"]
            numbers = (f"{size / _MIB:g}", f"{1e6 * taken:.0f}", f"{1e6 * copied:.0f}")
            table.add_row(way, *numbers, f"{taken / copied:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
