"""The IOC whose records are timed: `python -m benchmarks.records_ioc FOLDER CAMERAS`.

Each camera is a FITS driver with a plugin behind it that has 20 outputs and does nothing, all with
all their records, and images. Beside them are 20 bare softioc records with a time stamp of ours.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records_process import obey
from tosip.drivers.driver import FitsDriver
from tosip.drivers.panel import DRIVER_ITEMS
from tosip.drivers.sky import fits_bytes
from tosip.images.server import ImageServer
from tosip.pipeline.jobs import Program
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.plugin import Plugin
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Ports
from tosip.tasks import BackgroundTask

PREFIX = "BENCH:"
OUTPUTS = 20
SHAPE = (1024, 1024)
_ALGORITHM = '''
from tosip import Algorithm, Inputs, Outputs, output

class Figures(Outputs):
    {outputs}

class Idle(Algorithm[Inputs, Figures]):
    """Does nothing."""

    def process(self, image, params, attributes, metadata):
        return Figures({values})
'''
_SIZE = 2 * SHAPE[0] * SHAPE[1]

Way = Callable[[], None]


def outputs(camera: int) -> list[str]:
    """Name the PVs of all outputs of a camera's plugin, in the order in which they are posted."""
    return [f"{PREFIX}FOCUS{camera:02d}:F{number}_RBV" for number in range(OUTPUTS)]


def bare() -> list[str]:
    """Name the bare records."""
    return [f"{PREFIX}BARE:F{number}" for number in range(OUTPUTS)]


class Bench:
    """The cameras, and the ways to give frames."""

    def __init__(self, folder: Path) -> None:
        self.pool = Pool()
        self.ports = Ports()
        self.drivers: list[FitsDriver] = []
        self.plugins: list[Plugin] = []
        self.bare: list[Any] = []
        self._folder = folder
        self._number = 0
        self._file = folder / "frame.fits"
        # No DATE-OBS: the time stamp is that of the file's arrival.
        self._file.write_bytes(fits_bytes(np.full(SHAPE, 100, np.uint16), {"EXPTIME": 1.0}))

    async def start(self, cameras: int, stack: AsyncExitStack) -> None:
        """Start all workers, and the records."""
        stack.callback(self.pool.close)
        file = self._folder / "idle.py"
        file.write_text(_algorithm())
        for number in range(1, cameras + 1):
            program = Program(f"FOCUS{number:02d}", file, None, Path(sys.executable))
            self.drivers.append(FitsDriver(f"CAM{number:02d}", self.pool, self.ports))
            self.plugins.append(Plugin(program, self.pool, self.ports))
        await asyncio.gather(*(plugin.start() for plugin in self.plugins))
        for driver, plugin in zip(self.drivers, self.plugins, strict=True):
            plugin.connect(driver.name)
            stack.push_async_callback(plugin.stop)
            driver.start()
            stack.push_async_callback(driver.stop)
        await self._serve(stack)

    async def _serve(self, stack: AsyncExitStack) -> None:
        from softioc import builder

        from tosip.records.ioc import Ioc

        ioc = Ioc(PREFIX, self._folder / "autosave")
        ioc.add_pool(self.pool)
        images = ImageServer(PREFIX)
        for driver, plugin in zip(self.drivers, self.plugins, strict=True):
            driver.on_change.connect(
                ioc.add_driver(driver.name, driver, DRIVER_ITEMS, "FITS files")
            )
            ioc.add_plugin(plugin.name, plugin, plugin.description)
            images.add(f"{driver.name}:", driver.port)
        fields = {"PINI": "NO", "TSE": -2, "MDEL": -1, "PREC": 3}
        self.bare = [builder.aIn(name, **fields) for name in bare()]
        await ioc.run()
        stack.callback(ioc.stop)
        follow = functools.partial(ioc.follow, self.pool.figures)
        await stack.enter_async_context(BackgroundTask("records", follow))
        await stack.enter_async_context(images)

    async def offer(
        self, *, rate: float, seconds: float, ways: list[str], cameras: int = 1
    ) -> dict[str, float]:
        """Give frames by the clock, each by the next of `ways`, to the next of the cameras."""
        known = {"frame": self._publish, "bare": self._post, "file": self._submit}
        before, count = self._counts(), round(rate * seconds)
        begun = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(begun + number / rate - time.perf_counter())
            way, camera = ways[number % len(ways)], number // len(ways) % cameras
            known[way](camera)
        await asyncio.sleep(begun + seconds - time.perf_counter())
        taken = time.perf_counter() - begun
        done = {name: now - before[name] for name, now in self._counts().items()}
        return {"seconds": taken, "offered": count, **done}

    def _counts(self) -> dict[str, int]:
        counters = [plugin.counters for plugin in self.plugins]
        return {
            "processed": sum(each.processed for each in counters),
            "lost": sum(each.dropped + each.failed for each in counters),
        }

    def _publish(self, camera: int) -> None:
        self._number += 1
        lease = self.pool.allocate(_SIZE)
        port = self.drivers[camera].port
        port.publish(NDArray(self._number, time.time(), SHAPE, "uint16", lease, {}))

    def _submit(self, camera: int) -> None:
        self.drivers[camera].submit(self._file, received=time.time())

    def _post(self, _camera: int) -> None:
        now = time.time()
        for number, record in enumerate(self.bare):
            record.set(float(number), timestamp=now)


def _algorithm() -> str:
    names = [f"f{number}" for number in range(OUTPUTS)]
    lines = (f'{name}: float = output("Figure {name}", units="ADU")' for name in names)
    values = (f"{name}={number}.0" for number, name in enumerate(names))
    return _ALGORITHM.format(outputs="\n    ".join(lines), values=", ".join(values))


async def _run(folder: Path, cameras: int) -> None:
    async with AsyncExitStack() as stack:
        bench = Bench(folder)
        await bench.start(cameras, stack)
        await obey({"offer": bench.offer})


def main() -> None:
    """Serve until standard input ends."""
    asyncio.run(_run(Path(sys.argv[1]), int(sys.argv[2])))
    from tosip.records.ioc import leave

    leave(0)


if __name__ == "__main__":
    main()
