"""A driver that obeys areaDetector's acquisition controls: it takes a series of exposures.

`Acquire` starts a series of one (ImageMode Single), NumImages (Multiple) or endless (Continuous)
exposures, each AcquireTime long, AcquirePeriod from start to start. A write of 1 to `Acquire` ends
when the series does, as areaDetector's does. The frames come from an `Exposures` object: simulated
ones, stored ones, or those of a camera that TOSIP triggers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import replace
from typing import Protocol

from tosip.errors import TosipError
from tosip.events import Event
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.origin import Origin
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Port, Ports

SINGLE, MULTIPLE, CONTINUOUS = IMAGE_MODES = ("Single", "Multiple", "Continuous")
IDLE, ACQUIRING, WAITING, ERROR, ABORTED = "Idle", "Acquire", "Waiting", "Error", "Aborted"

FAILURE_PAUSE = 0.1  # s after an exposure that failed, so that a period of 0 does not spin

log = logging.getLogger(__name__)


class NoMoreFrames(Exception):
    """Raised by `Exposures.take` at the end of a list that is taken once."""


class Exposures(Protocol):
    """Makes the frames of a `SeriesDriver`.

    `shape` is (rows, columns) of the detector; (0, 0) if unknown before the first frame.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a full frame."""

    async def take(self, unique_id: int, timestamp: float) -> NDArray:
        """Return the next frame; `timestamp` is the start of its exposure (Unix seconds).

        Raises TosipError if this frame cannot be made (the series goes on) and NoMoreFrames at the
        end.
        """


class SeriesDriver:
    """Usage: `driver = SeriesDriver("CAM1", pool, ports, exposures)`, `driver.start()`.

    `acquire(True)` begins a series unless one runs; `acquire(False)` aborts it. With `autostart`
    the first series begins at `start`.
    """

    def __init__(
        self, name: str, pool: Pool, ports: Ports, exposures: Exposures, *, autostart: bool = True
    ) -> None:
        self.name = name
        self.pool = pool
        self.preallocate = 0  # buffers that PreAllocBuffers makes
        self.port: Port = ports.add(name)
        self.origin = Origin()
        self.on_change: Event[[]] = Event(f"{name}.on_change")
        self.wait_for_plugins = False
        self.acquire_time = 0.1
        self.acquire_period = 1.0
        self.image_mode = CONTINUOUS
        self.num_images = 1
        self.num_images_counter = 0
        self.array_counter = 0
        self.failed_frames = 0
        self.unique_id = 0
        self.state = IDLE
        self.message = ""
        self.exposures = exposures
        self._autostart = autostart
        self._series: asyncio.Task[None] | None = None

    @property
    def acquiring(self) -> bool:
        """Whether a series runs."""
        return self._series is not None

    @property
    def busy(self) -> bool:
        """Whether a series runs or, if clients wait for plugins, its frames are in work."""
        return self.acquiring or (self.wait_for_plugins and self.origin.queued > 0)

    def start(self) -> None:
        """Begin the first series, with `autostart`; otherwise wait for `acquire`."""
        self.origin.on_idle.connect(self.on_change)
        if self._autostart:
            self._begin()

    async def stop(self) -> None:
        """Abort the series."""
        await self._abort()

    async def acquire(self, acquiring: bool) -> None:
        """Take a series and return at its end, or abort the one that runs."""
        if not acquiring:
            await self._abort()
            return
        if self._series is None:
            self._begin()
        if self._series is not None and self.image_mode != CONTINUOUS:
            await asyncio.wait([self._series])

    def _begin(self) -> None:
        self.num_images_counter = 0
        self.message = ""
        self.state = ACQUIRING
        self._series = asyncio.create_task(self._take_series(), name=f"series {self.name}")
        self._series.add_done_callback(self._ended)
        self.on_change()

    async def _abort(self) -> None:
        series = self._series
        if series is not None:
            series.cancel()
            await asyncio.wait([series])

    def _ended(self, series: asyncio.Task[None]) -> None:
        self._series = None
        if series.cancelled():
            self.state, self.message = ABORTED, "acquisition aborted"
        elif error := series.exception():
            self.state, self.message = ERROR, f"a fault of TOSIP: {error!r}"
            log.error("%s: the series ended", self.name, exc_info=error)
        else:
            self.state = IDLE
        self.on_change()

    async def _take_series(self) -> None:
        with contextlib.suppress(NoMoreFrames):
            while not self._complete():
                begun = asyncio.get_running_loop().time()
                await self._take_one()
                self.on_change()
                if not self._complete():
                    await self._wait(begun + self.acquire_period)

    def _complete(self) -> bool:
        if self.image_mode == CONTINUOUS:
            return False
        wanted = 1 if self.image_mode == SINGLE else self.num_images
        return self.num_images_counter >= wanted

    async def _take_one(self) -> None:
        await self.port.room()
        self.state = ACQUIRING
        timestamp = time.time()
        await asyncio.sleep(self.acquire_time)
        self.unique_id += 1
        try:
            array = await self.exposures.take(self.unique_id, timestamp)
        except NoMoreFrames:
            raise
        except TosipError as error:
            await self._fail(str(error))
            log.warning("%s: %s", self.name, error)
        except Exception as error:  # one exposure must not end the camera
            await self._fail(f"a fault of TOSIP: {error!r}")
            log.exception("%s: exposure %d", self.name, self.unique_id)
        else:
            self.message = ""
            self.array_counter += 1
            self.port.publish(replace(array, origin=self.origin))
        self.num_images_counter += 1

    async def _fail(self, message: str) -> None:
        self.failed_frames += 1
        self.message = message
        self.on_change()
        await asyncio.sleep(FAILURE_PAUSE)

    async def _wait(self, due: float) -> None:
        delay = due - asyncio.get_running_loop().time()
        if delay > 0:
            self.state = WAITING
            self.on_change()
        await asyncio.sleep(max(0.0, delay))
