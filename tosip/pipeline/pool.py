"""Shared memory for frames: buffers that nobody has to name or clean up.

A buffer is a memfd. The IOC maps it for writing once, then seals it against any further writable
mapping and against changes of size; workers get a second descriptor, opened read-only. The kernel
frees the memory when the last process that maps it is gone, whatever ended it.

A frame holds a `Lease`. When the last NDArray that holds the lease goes away, in whatever thread,
the buffer is free again and the next frame reuses it, its pages already there.
"""

import asyncio
import contextlib
import fcntl
import itertools
import mmap
import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tosip.errors import ProtocolError, TosipError
from tosip.pipeline import socketpair
from tosip.pipeline.protocol import check_layout

_SEAL_SHRINK_AND_GROW = socketpair.F_SEAL_SHRINK | socketpair.F_SEAL_GROW
_SEAL_FUTURE_WRITE = 0x10  # Linux 5.1; fcntl has no name for it before Python 3.14

DEFAULT_BUDGET = 2 * 1024**3


class PoolExhausted(TosipError, MemoryError):
    """The pool's budget is used up by frames that somebody still reads."""


class Buffer:
    """One piece of shared memory of `size` bytes; `reader` is its read-only descriptor."""

    def __init__(self, number: int, descriptor: int, size: int) -> None:
        self.number = number
        self.size = size
        self.memory = mmap.mmap(descriptor, size)
        self.reader = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the descriptor; the memory goes when the last view of it does."""
        reader, self.reader = self.reader, -1
        if reader >= 0:
            os.close(reader)


class Lease:
    """The right to read one buffer, for as long as this object lives."""

    def __init__(self, pool: "Pool", buffer: Buffer) -> None:
        self._pool = pool
        self.buffer = buffer

    def __del__(self) -> None:
        self._pool.give_back(self.buffer)

    def view(self, shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
        """Return the buffer as a writable array: for the driver that fills it, and nobody else."""
        return self._array(self.buffer.memory, shape, dtype)

    def reading_view(self, shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
        """Return the buffer as an array that nobody can make writable."""
        return self._array(memoryview(self.buffer.memory).toreadonly(), shape, dtype)

    def _array(self, memory: Any, shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
        kind = np.dtype(dtype)
        count = check_layout(list(shape), kind.name, self.buffer.size) // kind.itemsize
        return np.frombuffer(memory, kind, count).reshape(tuple(shape))


@dataclass(frozen=True)
class PoolFigures:
    """areaDetector's Pool figures; memory in bytes."""

    budget: int
    memory: int
    buffers: int
    free_buffers: int


class Pool:
    """All buffers of one IOC, at most `budget` bytes.

    `allocate` may be called from driver threads, everything else from the event loop.
    """

    def __init__(self, budget: int = DEFAULT_BUDGET) -> None:
        self.budget = budget
        self._numbers = itertools.count(1)
        self._buffers: dict[int, Buffer] = {}
        self._adopted: set[int] = set()
        self._free: list[Buffer] = []
        # Leases end in any thread, even inside a garbage collection: appending is atomic.
        self._returned: deque[Buffer] = deque()
        self._lock = threading.Lock()
        self._closed = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def allocate(self, size: int) -> Lease:
        """Lease a buffer of at least `size` bytes; PoolExhausted if the budget forbids it."""
        with self._lock:
            return Lease(self, self._take(size))

    def _take(self, size: int) -> Buffer:
        self._collect()
        fitting = [b for b in self._free if size <= b.size <= 2 * max(size, mmap.PAGESIZE)]
        if fitting:
            buffer = min(fitting, key=lambda b: b.size)
            self._free.remove(buffer)
            return buffer
        rounded = _whole_pages(size)
        self._make_room(rounded)
        return self._create(rounded)

    async def allocate_when_free(self, size: int) -> Lease:
        """Lease a buffer, waiting until readers have given enough memory back."""
        if _whole_pages(size) > self.budget:
            raise PoolExhausted(f"pool: expected a frame of at most {self.budget} B, got {size} B")
        while True:
            freed = asyncio.Event()
            waiter = (asyncio.get_running_loop(), freed)
            self._waiting.append(waiter)
            try:
                return self.allocate(size)
            except PoolExhausted:
                await freed.wait()
            finally:
                self._waiting.remove(waiter)

    def adopt(self, descriptor: int, size: int) -> Lease:
        """Lease memory that a worker made; the descriptor is closed in any case.

        ProtocolError unless it is shared memory of at least `size` bytes that can be sealed: its
        maker must not be able to shorten it under a reader.
        """
        try:
            given = os.fstat(descriptor).st_size
            if not size <= given <= _whole_pages(size):
                raise ProtocolError(f"image: expected {size} bytes of memory, got {given}")
            fcntl.fcntl(descriptor, socketpair.F_ADD_SEALS, _SEAL_SHRINK_AND_GROW)
            buffer = Buffer(next(self._numbers), descriptor, given)
        except (OSError, ValueError) as error:
            if isinstance(error, ProtocolError):
                raise
            raise ProtocolError(f"image: expected sealable memory, got {error}") from error
        finally:
            os.close(descriptor)
        with self._lock:
            self._buffers[buffer.number] = buffer
            self._adopted.add(buffer.number)
        return Lease(self, buffer)

    def give_back(self, buffer: Buffer) -> None:
        """End a lease; called by the lease itself, from any thread."""
        # No lock: a garbage collection may end a lease while this thread holds it.
        if self._closed:
            self._buffers.pop(buffer.number, None)
            buffer.close()
            return
        self._returned.append(buffer)
        for loop, freed in list(self._waiting):
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(freed.set)

    def numbers(self) -> set[int]:
        """Return the numbers of all buffers that exist."""
        with self._lock:
            self._collect()
            return set(self._buffers)

    def figures(self) -> PoolFigures:
        """Return how much memory there is and how much of it is free."""
        with self._lock:
            self._collect()
            memory = sum(buffer.size for buffer in self._buffers.values())
            return PoolFigures(self.budget, memory, len(self._buffers), len(self._free))

    def close(self) -> None:
        """Give up what is free; what is still read goes with its last reader."""
        with self._lock:
            self._closed = True
            self._collect()
            for buffer in self._free:
                self._drop(buffer)
            self._free.clear()

    def _collect(self) -> None:
        while self._returned:
            buffer = self._returned.popleft()
            if buffer.number in self._adopted:
                self._adopted.discard(buffer.number)
                self._drop(buffer)
            else:
                self._free.append(buffer)

    def _make_room(self, size: int) -> None:
        used = sum(buffer.size for buffer in self._buffers.values())
        while self._free and used + size > self.budget:
            buffer = self._free.pop(0)
            used -= buffer.size
            self._drop(buffer)
        if used + size > self.budget:
            raise PoolExhausted(
                f"pool: expected {size} B free of {self.budget} B, got {self.budget - used} B"
            )

    def _create(self, size: int) -> Buffer:
        descriptor = socketpair.memfd("tosip-frame")
        try:
            os.ftruncate(descriptor, size)
            buffer = Buffer(next(self._numbers), descriptor, size)
            seals = _SEAL_SHRINK_AND_GROW | _SEAL_FUTURE_WRITE
            fcntl.fcntl(descriptor, socketpair.F_ADD_SEALS, seals)
        finally:
            os.close(descriptor)
        self._buffers[buffer.number] = buffer
        return buffer

    def _drop(self, buffer: Buffer) -> None:
        del self._buffers[buffer.number]
        buffer.close()


def _whole_pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
