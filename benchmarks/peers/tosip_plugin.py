"""TOSIP itself, in the shape of a peer: one plugin behind a source port.

A frame's pixels are put into the pool once per array and not for each frame, as a driver reads its
camera into memory from the pool, and as pvapy's NTNDArrays are built once.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from types import TracebackType
from typing import Self

import numpy as np

from benchmarks.peers import ATTRIBUTES, IN_FLIGHT, PARAMS, TIMEOUT, PeerError
from benchmarks.rig import Rig
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.origin import Origin
from tosip.pipeline.plugin import Outcome

_BODY = "return Figures(value=float(image[0, 0]))"
_AHEAD = 2  # frames that a worker can have; the others wait in the queue


class TosipPeer:
    """A plugin whose algorithm reads one pixel.

    >>> with TosipPeer() as peer:
    ...     peer.round_trip(array)
    """

    lost = 0  # a lossless queue loses nothing

    def __init__(self) -> None:
        self._rig = Rig()
        self._origin = Origin()
        self._array: np.ndarray | None = None
        self._frame: NDArray | None = None
        self._number = 0
        self._pixels: list[float] = []

    def __enter__(self) -> Self:
        self._rig.__enter__()
        plugin = self._rig.plugin(_BODY, queue_size=IN_FLIGHT - _AHEAD)
        plugin.params.update(PARAMS)
        plugin.on_outcome.connect(self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._frame = None
        self._rig.__exit__(kind, error, trace)

    def round_trip(self, array: np.ndarray) -> None:
        """Publish one frame and wait for the plugin's outcome."""
        self.round_trips(array, 1)

    def round_trips(self, array: np.ndarray, count: int) -> list[float]:
        """The seconds of each, without those that starting the event loop takes."""
        frame = self._use(array)
        self._pixels.clear()
        taken = self._rig.run(self._publish_one_by_one(frame, count))
        self._check_pixels(array, count)
        return taken

    def throughput(self, array: np.ndarray, count: int) -> float:
        """Frames per second through a lossless queue."""
        frame = self._use(array)
        self._pixels.clear()
        start = perf_counter()
        self._rig.run(self._publish(frame, count))
        taken = perf_counter() - start
        self._check_pixels(array, count)
        return count / taken

    def _check_pixels(self, array: np.ndarray, count: int) -> None:
        if self._pixels != [float(array[0, 0])] * count:
            raise PeerError(f"TOSIP: expected pixel {array[0, 0]} {count} times")

    async def _publish_one_by_one(self, frame: NDArray, count: int) -> list[float]:
        taken = []
        for _ in range(count):
            start = perf_counter()
            await self._publish(frame, 1)
            taken.append(perf_counter() - start)
        return taken

    async def _publish(self, frame: NDArray, count: int) -> None:
        done = asyncio.Event()
        self._origin.on_idle.connect(done.set)
        for _ in range(count):
            await self._rig.source.room()
            self._number += 1
            self._rig.source.publish(
                NDArray(
                    self._number,
                    0.0,
                    frame.shape,
                    frame.dtype,
                    frame.lease,
                    ATTRIBUTES,
                    origin=self._origin,
                )
            )
        async with asyncio.timeout(TIMEOUT):
            while self._origin.queued:
                done.clear()
                await done.wait()
        self._origin.on_idle.disconnect(done.set)

    def _hear(self, outcome: Outcome) -> None:
        if outcome.outputs is not None:
            self._pixels.append(outcome.outputs["value"])

    def _use(self, array: np.ndarray) -> NDArray:
        """Put an array's pixels into the pool."""
        if self._frame is None or array is not self._array:
            lease = self._rig.pool.allocate(array.nbytes)
            np.copyto(lease.view(array.shape, array.dtype), array)
            self._frame = NDArray(0, 0.0, array.shape, array.dtype.name, lease, {})
            self._array = array
        return self._frame
