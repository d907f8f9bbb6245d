"""The driver of one camera: stored FITS files become NDArrays on its port.

Files are read one after the other, in a thread. A file that cannot be read is a fault of that frame
only: it is counted, shown and logged, and the next one is read. A file that does not claim to be
FITS is no fault: it is counted apart. A pool that is full delays reading; the files wait where they
are stored.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tosip.drivers.fits import FitsFrame, read_images
from tosip.drivers.fits_claim import claims_fits
from tosip.drivers.fits_options import FitsOptions
from tosip.drivers.fits_source import Source
from tosip.drivers.fits_time import TIME_FAULT, TIME_SOURCE
from tosip.errors import FrameError, TosipError
from tosip.events import Event, call
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.origin import Origin
from tosip.pipeline.pool import Lease, Pool, PoolExhausted
from tosip.pipeline.ports import Port, Ports
from tosip.shortage import is_shortage
from tosip.tasks import BackgroundTask, in_thread

POOL_TIMEOUT = 60.0  # of a reader that waits for memory
_DEFAULTS = FitsOptions()
_MOST_CHOICES = 100  # layouts of files whose choice of an image was logged
# s; a file for which there was no descriptor, memory or thread is tried so often again.
TRY_AGAIN = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, *12 * (10.0,))

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Stored:
    path: Path
    name: str
    received: float
    done: Callable[[], None]
    memory: Source | None


@dataclass(frozen=True, eq=False)
class Loaded:
    """An image as an NDArray, and what `FitsFrame` says in words about it."""

    array: NDArray
    choice: str
    fault: str


def load_images(
    path: Path,
    pool: Pool,
    loop: asyncio.AbstractEventLoop,
    received: float,
    memory: Source | None = None,
    options: FitsOptions = _DEFAULTS,
) -> Iterator[Loaded]:
    """Read the images of a file, each into a leased buffer; go on in a thread beside `loop`.

    `received` (Unix seconds) is the time stamp of a frame whose header has no usable one. `memory`
    has the file's bytes, if they are there. The arrays have no number (`unique_id`) yet. FrameError
    if the file is no frame, or if the pool stays full.
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

    for frame in read_images(path, allocate, max_bytes=pool.budget, memory=memory, options=options):
        yield Loaded(_ndarray(frame, leases.pop(), received), frame.choice, frame.fault)


def _ndarray(frame: FitsFrame, lease: Lease, received: float) -> NDArray:
    return NDArray(
        0,
        received if frame.timestamp is None else frame.timestamp,
        frame.pixels.shape,
        frame.pixels.dtype.name,
        lease,
        frame.attributes,
        frame.color_mode,
    )


class Feeder(Protocol):
    """Submits files to a driver by itself, from `start` until `stop`."""

    @property
    def fault(self) -> str:
        """Why no files are submitted at present; empty if all is well."""

    def start(self, driver: "FitsDriver") -> None:
        """Begin to submit files; called on the event loop."""

    async def stop(self) -> None:
        """Stop submitting."""


class FitsDriver:
    """Usage: `driver = FitsDriver("CAM01", pool, ports)`, `driver.start()`, `driver.submit(path)`.

    `on_change` is called, on the event loop, when a file comes, when it was read, and when the
    plugins have done with all frames. `fault` says why no file is read at present, if that is so.
    A `feeder` submits files by itself while the driver runs.
    """

    def __init__(
        self,
        name: str,
        pool: Pool,
        ports: Ports,
        options: FitsOptions = _DEFAULTS,
        feeder: Feeder | None = None,
    ) -> None:
        self.name = name
        self.options = options
        self.pool = pool
        self.origin = Origin()
        self.wait_for_plugins = False
        self.acquiring = True
        self.preallocate = 0  # buffers that PreAllocBuffers makes
        self.port: Port = ports.add(name)
        self.on_change: Event[[]] = Event(f"{name}.on_change")
        self.unique_id = 0
        self.array_counter = 0
        self.failed_files = 0
        self.other_files = 0
        self.skipped_files = 0
        self.time_source = ""
        self.time_fault = ""
        self.period = 0.0  # s between the time stamps of the last two frames; 0 if not known
        self.last_name = ""
        self.message = ""
        self._feeder = feeder
        self._reading = False
        self._choices: set[str] = set()
        self._files: asyncio.Queue[_Stored] = asyncio.Queue()
        self._task = BackgroundTask(f"driver {name}", self._work, self.on_change)
        self._short = ""

    @property
    def queued(self) -> int:
        """How many files wait to be read."""
        return self._files.qsize()

    @property
    def reading(self) -> bool:
        """Whether a file is in work."""
        return self._reading

    @property
    def busy(self) -> bool:
        """Whether files are in work and, if clients wait for plugins, their frames: AcquireBusy."""
        working = self._reading or self.queued > 0
        return working or (self.wait_for_plugins and self.origin.queued > 0)

    def start(self) -> None:
        """Read what is submitted from now on."""
        self.origin.on_idle.connect(self.on_change)
        self._task.start()
        if self._feeder:
            self._feeder.start(self)

    async def stop(self) -> None:
        """Stop reading; files that wait stay where they are stored."""
        await self._task.stop()
        if self._feeder:
            await self._feeder.stop()

    @property
    def fault(self) -> str:
        """Why no file is read at present, although files may wait; empty if all is well."""
        return self._short or self._task.fault or (self._feeder.fault if self._feeder else "")

    def acquire(self, acquiring: bool) -> None:
        """Read files, or let those that come from now on go by unread."""
        self.acquiring = acquiring
        self.on_change()

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
            call(self.name, done)
            self.on_change()
            return
        received = time.time() if received is None else received
        self._files.put_nowait(_Stored(path, name or path.name, received, done, memory))
        self.on_change()

    async def _work(self) -> None:
        while True:
            self._reading = False
            stored = await self._files.get()
            self._reading = True
            await self.port.room()
            await self._read(stored)
            self._reading = False
            call(self.name, stored.done)
            self.on_change()

    async def _read(self, stored: _Stored) -> None:
        if not await self._claims_fits(stored):
            self.other_files += 1
            log.info("%s: %s is no frame: archived only", self.name, stored.name)
            return
        self.unique_id += 1
        self.last_name = stored.name
        try:
            await self._read_images(stored)
        except TosipError as error:
            self.failed_files += 1
            # The spool names files by its own ids; people know the name that the camera gave.
            self.message = str(error).replace(stored.path.name, stored.name)
            log.warning("%s: %s", self.name, self.message)
        except Exception as error:
            self.failed_files += 1
            self.message = f"{stored.name}: a fault of TOSIP: {error!r}"
            log.exception("%s: %s", self.name, stored.name)

    async def _claims_fits(self, stored: _Stored) -> bool:
        try:
            return await in_thread(claims_fits, stored.path, stored.name, stored.memory)
        except OSError:  # no thread for it now; reading it tries again
            return True

    async def _read_images(self, stored: _Stored) -> None:
        """Publish the images of a file, in order, each under a number of its own.

        Tries again while there is no descriptor, memory or thread for it.
        """
        first, published, delays = self.unique_id, 0, iter(TRY_AGAIN)
        images = self._images(stored)
        while True:
            try:
                loaded = await in_thread(next, images, None)
            except Exception as error:
                delay = next(delays, None)
                if delay is None or not is_shortage(error):
                    raise
                await self._wait(stored, error, delay)
                images = itertools.islice(self._images(stored), published, None)
                continue
            if loaded is None:
                return
            if published:
                await self.port.room()
            self.unique_id = first + published
            published += 1
            self._log(stored.name, loaded)
            self.array_counter += 1
            self.message = ""
            self.time_source = str(loaded.array.attributes[TIME_SOURCE])
            self.time_fault = str(loaded.array.attributes.get(TIME_FAULT, ""))
            if self.port.last:
                self.period = max(0.0, loaded.array.timestamp - self.port.last.timestamp)
            self.port.publish(replace(loaded.array, unique_id=self.unique_id, origin=self.origin))
            del loaded  # or its memory could not serve the next

    def _images(self, stored: _Stored) -> Iterator[Loaded]:
        loop = asyncio.get_running_loop()
        return load_images(
            stored.path, self.pool, loop, stored.received, stored.memory, self.options
        )

    async def _wait(self, stored: _Stored, error: Exception, delay: float) -> None:
        """Show what a file waits for, for `delay` seconds."""
        self._short = f"{stored.name} waits: {error}"
        log.warning("%s: %s", self.name, self._short)
        self.on_change()
        try:
            await asyncio.sleep(delay)
        finally:
            self._short = ""

    def _log(self, name: str, loaded: Loaded) -> None:
        if loaded.fault:
            log.warning("%s: %s: %s", self.name, name, loaded.fault)
        if loaded.choice and loaded.choice not in self._choices:
            if len(self._choices) < _MOST_CHOICES:
                self._choices.add(loaded.choice)
            log.info("%s: %s: reads %s", self.name, name, loaded.choice)
