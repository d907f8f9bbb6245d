"""The driver of one camera: stored FITS files become NDArrays on its port.

Files are read one after the other, in a thread. A file that cannot be read is a fault of that frame
only: it is counted, shown and logged, and the next one is read. A file that does not claim to be
FITS is no fault: it is counted apart. A pool that is full delays reading; the files wait where they
are stored.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tosip.drivers.fits import FitsFrame, read_fits
from tosip.drivers.fits_claim import claims_fits
from tosip.drivers.fits_options import FitsOptions
from tosip.drivers.fits_source import Source
from tosip.drivers.fits_time import TIME_FAULT, TIME_SOURCE
from tosip.errors import FrameError, TosipError
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.origin import Origin
from tosip.pipeline.pool import Lease, Pool, PoolExhausted
from tosip.pipeline.ports import Port, Ports

POOL_TIMEOUT = 60.0  # of a reader that waits for memory
_DEFAULTS = FitsOptions()

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Stored:
    path: Path
    name: str
    received: float
    done: Callable[[], None]
    memory: Source | None


def load_fits(
    path: Path,
    pool: Pool,
    loop: asyncio.AbstractEventLoop,
    unique_id: int,
    received: float,
    memory: Source | None = None,
    options: FitsOptions = _DEFAULTS,
) -> NDArray:
    """Read a file into a leased buffer; call it in a thread beside `loop`.

    `received` (Unix seconds) is the time stamp of a frame whose header has no usable one. `memory`
    has the file's bytes, if they are there. FrameError if the file is no frame, or if the pool
    stays full.
    """
    leases: list[Lease] = []

    def allocate(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> "np.ndarray[Any, Any]":
        size = int(np.prod(shape)) * dtype.itemsize
        waiting = asyncio.run_coroutine_threadsafe(pool.allocate_when_free(size), loop)
        try:
            leases.append(waiting.result(POOL_TIMEOUT))
        except (TimeoutError, PoolExhausted) as error:
            waiting.cancel()
            raise FrameError(f"{path.name}: expected room in the frame pool, got none") from error
        return leases[-1].view(shape, dtype)

    frame: FitsFrame = read_fits(
        path, allocate, max_bytes=pool.budget, memory=memory, options=options
    )
    return NDArray(
        unique_id,
        received if frame.timestamp is None else frame.timestamp,
        frame.pixels.shape,
        frame.pixels.dtype.name,
        leases[-1],
        frame.attributes,
    )


class FitsDriver:
    """Usage: `driver = FitsDriver("CAM01", pool, ports)`, `driver.start()`, `driver.submit(path)`.

    `on_change` is a list of functions to call, on the event loop, when a file comes, when it was
    read, and when the plugins have done with all frames.
    """

    def __init__(
        self, name: str, pool: Pool, ports: Ports, options: FitsOptions = _DEFAULTS
    ) -> None:
        self.name = name
        self.options = options
        self.pool = pool
        self.origin = Origin()
        self.wait_for_plugins = False
        self.acquiring = True
        self.preallocate = 0  # buffers that PreAllocBuffers makes
        self.port: Port = ports.add(name)
        self.on_change: list[Callable[[], None]] = []
        self.unique_id = 0
        self.array_counter = 0
        self.failed_files = 0
        self.other_files = 0
        self.skipped_files = 0
        self.time_source = ""
        self.time_fault = ""
        self.last_name = ""
        self.message = ""
        self._reading = False
        self._files: asyncio.Queue[_Stored] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """How many files wait to be read."""
        return self._files.qsize()

    @property
    def busy(self) -> bool:
        """Whether files are in work and, if clients wait for plugins, their frames: AcquireBusy."""
        working = self._reading or self.queued > 0
        return working or (self.wait_for_plugins and self.origin.queued > 0)

    def start(self) -> None:
        """Read what is submitted from now on."""
        self.origin.on_idle.append(self._changed)
        self._task = asyncio.create_task(self._work(), name=f"driver {self.name}")

    async def stop(self) -> None:
        """Stop reading; files that wait stay where they are stored."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def acquire(self, acquiring: bool) -> None:
        """Read files, or let those that come from now on go by unread."""
        self.acquiring = acquiring
        self._changed()

    def submit(
        self,
        path: Path,
        *,
        name: str = "",
        received: float | None = None,
        done: Callable[[], None] = lambda: None,
        memory: Source | None = None,
    ) -> None:
        """Read a file as soon as those before it are read; `done` is called when it was.

        `done` is called at once, and the file is not read, while the driver is not acquiring.
        `name` is what people know the file by, if that is not its path's. `memory` has its bytes,
        if they are in memory, until `done`.
        """
        if not self.acquiring:
            self.skipped_files += 1
            self._call(done)
            self._changed()
            return
        received = time.time() if received is None else received
        self._files.put_nowait(_Stored(path, name or path.name, received, done, memory))
        self._changed()

    async def _work(self) -> None:
        while True:
            stored = await self._files.get()
            self._reading = True
            await self.port.room()
            await self._read(stored)
            self._reading = False
            self._call(stored.done)
            self._changed()

    def _changed(self) -> None:
        for listener in tuple(self.on_change):
            self._call(listener)

    def _call(self, listener: Callable[[], None]) -> None:
        try:
            listener()
        except Exception:  # of a record, say: the next file must be read
            log.exception("%s: %r", self.name, listener)

    async def _read(self, stored: _Stored) -> None:
        if not await asyncio.to_thread(claims_fits, stored.path, stored.name, stored.memory):
            self.other_files += 1
            log.info("%s: %s is no frame: archived only", self.name, stored.name)
            return
        self.unique_id += 1
        self.last_name = stored.name
        loop = asyncio.get_running_loop()
        try:
            array = await asyncio.to_thread(
                load_fits,
                stored.path,
                self.pool,
                loop,
                self.unique_id,
                stored.received,
                stored.memory,
                self.options,
            )
        except TosipError as error:
            self.failed_files += 1
            # The spool names files by its own ids; people know the name that the camera gave.
            self.message = str(error).replace(stored.path.name, stored.name)
            log.warning("%s: %s", self.name, self.message)
            return
        except Exception as error:
            self.failed_files += 1
            self.message = f"{stored.name}: a fault of TOSIP: {error!r}"
            log.exception("%s: %s", self.name, stored.name)
            return
        array = replace(array, origin=self.origin)
        self.array_counter += 1
        self.message = ""
        self.time_source = str(array.attributes[TIME_SOURCE])
        self.time_fault = str(array.attributes.get(TIME_FAULT, ""))
        self.port.publish(array)
