"""Shared memory for frames: buffers that nobody has to name or clean up.

A buffer is a memfd. The IOC maps it for writing once, then seals it against any further writable
mapping and against changes of size; workers get a second descriptor, opened read-only. The kernel
frees the memory when the last process that maps it is gone, whatever ended it.

A frame holds a `Lease`. When the last NDArray that holds the lease goes away, in whatever thread,
the buffer is free again and the next frame reuses it, its pages already there. Buffers that nobody
has needed for a while are given up.

Images that a worker makes lie in memory of its own. The IOC maps it too (`Images`) and tells the
worker when the last reader is done, so that the worker uses the same memory for its next image.
"""

import asyncio
import contextlib
import fcntl
import itertools
import mmap
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tosip.errors import ProtocolError, TosipError
from tosip.events import Event
from tosip.pipeline import socketpair
from tosip.pipeline.protocol import check_layout
from tosip.shortage import in_words, is_shortage
from tosip.tasks import in_thread

_SEAL_SHRINK_AND_GROW = socketpair.F_SEAL_SHRINK | socketpair.F_SEAL_GROW
_SEAL_FUTURE_WRITE = 0x10  # Linux 5.1; fcntl has no name for it before Python 3.14
_SEALS = _SEAL_SHRINK_AND_GROW | _SEAL_FUTURE_WRITE

DEFAULT_BUDGET = 2 * 1024**3
IDLE_TIME = 30.0  # s without use after which memory is given up


class PoolExhausted(TosipError, MemoryError):
    """The pool's budget is used up by frames that somebody still reads."""


class Buffer:
    """One piece of shared memory of `size` bytes; `reader` is its read-only descriptor."""

    def __init__(
        self, number: int, descriptor: int, size: int, images: "Images | None" = None
    ) -> None:
        self.number = number
        self.size = size
        self.images = images
        self.free_since = 0.0
        access = mmap.ACCESS_DEFAULT if images is None else mmap.ACCESS_READ
        self.memory = mmap.mmap(descriptor, size, access=access)
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

    @property
    def used_buffers(self) -> int:
        """How many buffers somebody reads."""
        return self.buffers - self.free_buffers


class Pool:
    """All buffers of one IOC, at most `budget` bytes.

    `allocate` may be called from driver threads, everything else from the event loop.
    """

    def __init__(self, budget: int = DEFAULT_BUDGET) -> None:
        self.budget = budget
        self._numbers = itertools.count(1)
        self._buffers: dict[int, Buffer] = {}
        self._free: list[Buffer] = []
        # Leases end in any thread, even inside a garbage collection: appending is atomic.
        self._returned: deque[Buffer] = deque()
        self._lock = threading.Lock()
        self._closed = False
        self.on_change: Event[[]] = Event("Pool.on_change")
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._watchers: dict[Callable[[], None], asyncio.AbstractEventLoop] = {}

    def allocate(self, size: int) -> Lease:
        """Lease a buffer of at least `size` bytes; PoolExhausted if the budget forbids it."""
        with self.locked() as free:
            return Lease(self, self._take(size, free))

    def _take(self, size: int, free: list[Buffer]) -> Buffer:
        most = 2 * max(size, mmap.PAGESIZE)
        fitting = [b for b in free if b.images is None and size <= b.size <= most]
        if fitting:
            buffer = min(fitting, key=lambda b: b.size)
            free.remove(buffer)
            return buffer
        return self._create(_whole_pages(size))

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

    def give_back(self, buffer: Buffer) -> None:
        """End a lease; called by the lease itself, from any thread."""
        # No lock: a garbage collection may end a lease while this thread holds it.
        if self._closed:
            self._buffers.pop(buffer.number, None)
            buffer.close()
            return
        self._returned.append(buffer)
        if buffer.images:
            buffer.images.returned.append(buffer.number)
        for loop, freed in list(self._waiting):
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(freed.set)

    @contextlib.contextmanager
    def locked(self) -> Iterator[list[Buffer]]:
        """Hold the pool's lock; gives the list of the free buffers, to look at and to change."""
        with self._lock:
            self._collect()
            yield self._free

    def add(self, descriptor: int, size: int, images: "Images | None" = None) -> Buffer:
        """Map memory that counts from now on; inside `locked` only. PoolExhausted as `allocate`."""
        self._make_room(size)
        buffer = Buffer(next(self._numbers), descriptor, size, images)
        self._buffers[buffer.number] = buffer
        return buffer

    def numbers(self) -> set[int]:
        """Return the numbers of all buffers that exist."""
        with self.locked():
            return set(self._buffers)

    async def preallocate(self, number: int, size: int) -> None:
        """Make `number` buffers of `size` bytes, pages and all; PoolExhausted if there is no room.

        They wait for frames like any other free buffer, and go when nobody needs them.
        """

        def make() -> None:
            leases = [self.allocate(size) for _ in range(number if size else 0)]
            for lease in leases:
                lease.view((size,), np.uint8)[:: mmap.PAGESIZE] = 0  # the kernel makes the page

        await in_thread(make)
        self.changed()

    def changed(self) -> None:
        """Call what is in `on_change`: the figures may be new."""
        self.on_change()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` on the running event loop after buffers have been given up."""
        self._watchers[watcher] = asyncio.get_running_loop()

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Undo `watch`."""
        self._watchers.pop(watcher, None)

    def figures(self) -> PoolFigures:
        """Return how much memory there is and how much of it is free."""
        with self.locked() as free:
            memory = sum(buffer.size for buffer in self._buffers.values())
            return PoolFigures(self.budget, memory, len(self._buffers), len(free))

    def shrink(self, idle: float = 0.0) -> None:
        """Give up the buffers that have been free for `idle` seconds."""
        with self.locked() as free:
            since = time.monotonic() - idle
            for buffer in [b for b in free if b.free_since <= since]:
                self.drop(buffer)

    async def shrink_when_idle(self, idle: float = IDLE_TIME) -> None:
        """Give up what is not needed any more, again and again; a task of the IOC."""
        while True:
            await asyncio.sleep(idle / 2)
            self.shrink(idle)

    def close(self) -> None:
        """Give up what is free; what is still read goes with its last reader."""
        self._closed = True
        self.shrink()

    def _collect(self) -> None:
        now = time.monotonic()
        while self._returned:
            buffer = self._returned.popleft()
            buffer.free_since = now
            self._free.append(buffer)
            if buffer.images and buffer.images.closed:
                self.drop(buffer)

    def _make_room(self, size: int) -> None:
        used = sum(buffer.size for buffer in self._buffers.values())
        while self._free and used + size > self.budget:
            used -= self._free[0].size
            self.drop(self._free[0])
        if used + size > self.budget:
            raise PoolExhausted(
                f"pool: expected {size} B free of {self.budget} B, got {self.budget - used} B"
            )

    def _create(self, size: int) -> Buffer:
        descriptor = socketpair.memfd("tosip-frame")
        try:
            os.ftruncate(descriptor, size)
            buffer = self.add(descriptor, size)
            fcntl.fcntl(descriptor, socketpair.F_ADD_SEALS, _SEALS)
        finally:
            os.close(descriptor)
        return buffer

    def drop(self, buffer: Buffer) -> None:
        """Give a free buffer up; inside `locked` only."""
        self._free.remove(buffer)
        del self._buffers[buffer.number]
        buffer.close()
        if buffer.images:
            buffer.images.dropped(buffer)
        for watcher, loop in list(self._watchers.items()):
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(watcher)


class Images:
    """The images of one worker process: its own memory, leased to whoever reads it here.

    The worker names its buffers by numbers of its own. Each comes with a descriptor every time; the
    memory is known by its inode, which is nobody else's while it is mapped here.
    """

    def __init__(self, pool: Pool) -> None:
        self.closed = False
        # Numbers of buffers whose readers are done; leases end in any thread.
        self.returned: deque[int] = deque()
        self._pool = pool
        self._known: dict[tuple[int, int], Buffer] = {}
        self._names: dict[int, int] = {}
        self._untold: list[int] = []
        self._gone: list[int] = []

    def lease(self, number: int, descriptor: int, size: int) -> Lease:
        """Lease the worker's buffer `number`; the descriptor is closed in any case.

        ProtocolError unless it is shared memory of at least `size` bytes that can be sealed (its
        maker must not be able to shorten it under a reader) and that nobody here reads any more.
        PoolExhausted if the budget forbids it.
        """
        try:
            with self._pool.locked() as free:
                buffer = self._known_buffer(descriptor) or self._adopt(descriptor, size, free)
                if buffer not in free or size > buffer.size:
                    raise ProtocolError("image: expected memory that nobody reads")
                free.remove(buffer)
                self._names[buffer.number] = number
                self._gone = [gone for gone in self._gone if gone != number]
                return Lease(self._pool, buffer)
        except PoolExhausted:
            self._gone.append(number)
            raise
        except (OSError, ValueError) as error:
            if isinstance(error, TosipError):
                raise
            if is_shortage(error):
                self._gone.append(number)
                raise PoolExhausted(f"image: not taken: {in_words(error)}") from error
            raise ProtocolError(f"image: expected sealable memory, got {error}") from error
        finally:
            os.close(descriptor)

    def _known_buffer(self, descriptor: int) -> Buffer | None:
        status = os.fstat(descriptor)
        return self._known.get((status.st_dev, status.st_ino))

    def _adopt(self, descriptor: int, size: int, free: list[Buffer]) -> Buffer:
        status = os.fstat(descriptor)
        # The worker may reuse memory of twice the size that it needs.
        if not size <= status.st_size <= 2 * _whole_pages(size):
            raise ProtocolError(f"image: expected {size} bytes of memory, got {status.st_size}")
        fcntl.fcntl(descriptor, socketpair.F_ADD_SEALS, _SEALS)
        buffer = self._pool.add(descriptor, status.st_size, self)
        self._known[status.st_dev, status.st_ino] = buffer
        free.append(buffer)
        return buffer

    def spare(self) -> list[int]:
        """Return the worker's numbers of buffers that nobody reads any more, until `told`."""
        returned = [self.returned.popleft() for _ in range(len(self.returned))]
        self._untold += [self._names[number] for number in returned if number in self._names]
        return self._untold

    def told(self) -> None:
        """Know that the worker has been told of the `spare` ones."""
        self._untold = []

    def gone(self) -> list[int]:
        """Return, once, the worker's numbers of buffers that the pool has given up."""
        gone, self._gone = self._gone, []
        return gone

    def refuse(self, number: int) -> None:
        """Know that the worker's buffer could not be taken: the worker may free it."""
        self._gone.append(number)

    def dropped(self, buffer: Buffer) -> None:
        """Know that the pool has given a buffer up; called with the pool's lock held."""
        self._known = {inode: known for inode, known in self._known.items() if known is not buffer}
        self._gone.append(self._names.pop(buffer.number))

    def close(self) -> None:
        """Give up what is free, as its maker has ended; the rest goes with its last reader."""
        self.closed = True
        with self._pool.locked() as free:
            for buffer in [b for b in free if b.images is self]:
                self._pool.drop(buffer)


def _whole_pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
