"""From the last byte of a frame to an algorithm's `process`: gateway, FITS driver, plugin, worker.

`python -m benchmarks.gateway_frames FOLDER` is the process with all these, told what to do line by
line; its algorithm answers with the moment at which it was called, by the clock that all processes
of the machine share. A frame is announced after its 226, and decoded from memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

from benchmarks.gateway_ours import CAMERAS, PASSWORD, settings
from benchmarks.records_process import Told, obey
from benchmarks.rig import BenchmarkError
from benchmarks.timing import table
from tosip.drivers.driver import FitsDriver
from tosip.gateway import Gateway, StoredFile
from tosip.gateway.receiving.memory import Received
from tosip.pipeline.jobs import Program
from tosip.pipeline.plugin import Outcome, Plugin
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Ports
from tosip.testing.ioc import free_port

_FRAMES = 20
_WARM = 3
_PAUSE = 0.15  # s between frames, so that each finds an idle system
_TIMEOUT = 60.0
_LIMIT = 60.0  # ms
_ALGORITHM = '''
import time
from tosip import Algorithm, Inputs, Outputs, output

class Moment(Outputs):
    moment: float = output("When it was called, s", default=0.0)

class Clock(Algorithm[Inputs, Moment]):
    """Tells when it is called."""

    def process(self, image, params, attributes, metadata):
        return Moment(moment=time.monotonic())
'''

Row = tuple[str, str, str, bool]


class Frames:
    """A gateway whose files one driver reads and one plugin looks at."""

    def __init__(self, gateway: Gateway, driver: FitsDriver, plugin: Plugin) -> None:
        self._gateway, self._driver = gateway, driver
        self._outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        gateway.on_stored = self._route
        plugin.on_outcome.connect(self._outcomes.put_nowait)

    def _route(self, file: StoredFile, received: Received | None) -> None:
        self._driver.submit(
            file.path,
            name=file.name,
            received=file.received,
            memory=received,
            done=lambda: self._gateway.release(file.id),
        )

    async def port(self) -> int:
        """Return the gateway's port."""
        return self._gateway.port

    async def moments(self, *, count: int) -> list[float]:
        """Return when the algorithm was called with each of so many frames."""
        moments = []
        for _ in range(count):
            outcome = await asyncio.wait_for(self._outcomes.get(), _TIMEOUT)
            if outcome.outputs is None:
                raise BenchmarkError(f"expected a result, got {outcome.message}")
            moments.append(float(outcome.outputs["moment"]))
        return moments


@contextlib.asynccontextmanager
async def _running(folder: Path) -> AsyncIterator[Frames]:
    async with contextlib.AsyncExitStack() as stack:
        pool, ports = Pool(), Ports()
        stack.callback(pool.close)
        driver = FitsDriver("CAM", pool, ports)
        driver.start()
        stack.push_async_callback(driver.stop)
        file = folder / "clock.py"
        file.write_text(_ALGORITHM)
        plugin = Plugin(Program("CLOCK", file, None, Path(sys.executable)), pool, ports)
        stack.push_async_callback(plugin.stop)
        await plugin.start()
        plugin.connect("CAM")
        gateway = Gateway(settings(folder / "spool", free_port()))
        frames = Frames(gateway, driver, plugin)
        stack.push_async_callback(gateway.stop)
        await gateway.start()
        yield frames


def frames(cameras: Told, folder: Path, size: int) -> list[Row]:
    """Measure the way of a frame, print it, and return the row for the targets."""
    told = Told("benchmarks.gateway_frames", {}, str(folder))
    try:
        who = {"port": told("port"), "users": [CAMERAS[0]], "password": PASSWORD}
        count = _WARM + _FRAMES
        times = cameras("upload", files=count, pause=_PAUSE, prefix="frame", **who)[_WARM:]
        moments = told("moments", count=count)[_WARM:]
    finally:
        told.stop()
    pairs = list(zip(times, moments, strict=True))
    seconds = {
        "last byte to 226": [each["acknowledged"] - each["last"] for each in times],
        "last byte to process()": [moment - each["last"] for each, moment in pairs],
    }
    table(
        f"A frame of {size / 2**20:.0f} MiB from one camera to an algorithm, {_FRAMES} frames",
        ("from, to", "median ms", "least", "most"),
        [
            (what, *(f"{1e3 * each:.1f}" for each in (median(taken), min(taken), max(taken))))
            for what, taken in seconds.items()
        ],
    )
    middle = 1e3 * median(seconds["last byte to process()"])
    found = f"{middle:.0f} ms"
    return [("last byte to process(), median", found, f"< {_LIMIT:g} ms", middle < _LIMIT)]


async def _serve(folder: Path) -> None:
    async with _running(folder) as running:
        await obey({"port": running.port, "moments": running.moments})


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
