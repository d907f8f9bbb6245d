"""Memory for received files, so that the pipeline need not read them back from the disk.

All uploads share a budget. Blocks are made when first needed and recycled from then on: the kernel
takes longer to provide a new page than to receive into it. When the budget is used up, the upload
that asks for more lets go of all it has: its file is then read from the disk, and the memory serves
the others. So at most `budget` bytes are held, and 1 MiB for each running upload.

Whoever takes a `Received` over frees it: the upload when it fails, the gateway when it releases
the file. One that everybody has forgotten is freed when it is collected.
"""

from __future__ import annotations

import threading
from collections import deque

BLOCK = 1 << 20
# What is received at a time is written and hashed next, and should still be in the cache.
STEP = 512 << 10


class Memory:
    """The budget, in bytes; 0 keeps nothing. Used from all threads."""

    def __init__(self, budget: int) -> None:
        # None is a block that was never needed. Ends of a deque are safe to use without a lock,
        # also from a destructor, which may run at any point of any thread.
        self._blocks: deque[bytearray | None] = deque([None] * (budget // BLOCK))

    def begin(self) -> Received:
        """Return the memory for one upload."""
        return Received(self)

    @property
    def free(self) -> int:
        """How many bytes can still be taken."""
        return len(self._blocks) * BLOCK

    def take(self) -> bytearray | None:
        """Return a block, None if the budget is used up."""
        try:
            return self._blocks.pop() or bytearray(BLOCK)
        except IndexError:
            return None

    def give_back(self, blocks: list[bytearray]) -> None:
        """Take blocks back, the last used ones being the next to be taken."""
        self._blocks.extend(blocks)


class Received:
    """The bytes of one upload, as far as they fit; a `Source` to decode from once `complete`.

    One thread fills it (`room`, `took`), any may read it or free it.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._lock = threading.Lock()
        self._blocks: list[bytearray] = []
        self._room = memoryview(b"")
        self._readers = 0
        self.size = 0
        self.complete = True

    def __del__(self) -> None:
        self.free()

    def room(self) -> memoryview:
        """Return where to receive into, at least one byte; what is in it may be overwritten."""
        if not self._room:
            if self.complete:
                self._grow()
            if not self.complete:
                self._room = memoryview(bytearray(STEP))
        return self._room[:STEP]

    def took(self, count: int) -> None:
        """Tell that the first bytes of `room` were filled."""
        self.size += count
        if self.complete:
            self._room = self._room[count:]

    def let_go(self) -> None:
        """Give the memory back; from now on only the size is counted."""
        self.complete = False
        self._room = memoryview(b"")
        self.free()

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the start of `buffer` from `offset` on; return how many bytes came, 0 at the end.

        0 too when the bytes are not here (any more).
        """
        with self._lock:
            if not (self.complete and self._blocks):
                return 0
            self._readers += 1
        try:
            return self._copy(buffer, offset)
        finally:
            with self._lock:
                self._readers -= 1
            self._give_back_unread()

    def free(self) -> None:
        """Give the memory back, once nobody is reading it; may be repeated."""
        with self._lock:
            self.complete = False
        self._give_back_unread()

    def _grow(self) -> None:
        block = self._memory.take()
        if block is None:
            self.let_go()
        else:
            self._blocks.append(block)
            self._room = memoryview(block)

    def _copy(self, buffer: memoryview, offset: int) -> int:
        # Only the pipeline gets here, and it has NumPy; a gateway alone starts sooner without.
        import numpy as np

        end = max(min(offset + len(buffer), self.size), offset)
        filled = 0
        while offset + filled < end:
            number, start = divmod(offset + filled, BLOCK)
            count = min(BLOCK - start, end - offset - filled)
            # Assigning to the memoryview would do, but not let other threads run meanwhile.
            target = np.frombuffer(buffer, np.uint8, count, filled)
            np.copyto(target, np.frombuffer(self._blocks[number], np.uint8, count, start))
            filled += count
        return filled

    def _give_back_unread(self) -> None:
        with self._lock:
            if self.complete or self._readers:
                return
            blocks, self._blocks = self._blocks, []
        self._memory.give_back(blocks)
