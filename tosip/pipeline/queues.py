"""The bounded queue in front of a plugin."""

import asyncio
import enum
import time
from collections import deque
from dataclasses import dataclass

from tosip.pipeline.ndarray import NDArray


class Policy(enum.Enum):
    """What happens to an array that finds the queue full."""

    DROP_NEWEST = "drop newest"
    """areaDetector's: the new array is dropped."""
    DROP_OLDEST = "drop oldest"
    """The array that has waited longest makes room: for displays."""
    BLOCK = "block"
    """Nothing is dropped; whoever puts has to `await` room first: for files."""


@dataclass(frozen=True)
class Entry:
    """An array in the queue, with the time (`time.monotonic`) when it came."""

    array: NDArray
    received: float


class FrameQueue:
    """Arrays waiting for a worker, at most `size`."""

    def __init__(self, size: int, policy: Policy) -> None:
        self._size = max(1, size)
        self.policy = policy
        self._entries: deque[Entry] = deque()
        self._changed = asyncio.Event()

    @property
    def size(self) -> int:
        """How many arrays can wait, at least 1; it can be changed."""
        return self._size

    @size.setter
    def size(self, size: int) -> None:
        self._size = max(1, size)
        self._changed.set()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, array: NDArray) -> int:
        """Add an array and return how many were dropped for it (the new one included)."""
        dropped = 0
        if self.policy is Policy.DROP_NEWEST and len(self) >= self.size:
            return 1
        while self.policy is Policy.DROP_OLDEST and len(self) >= self.size:
            self._entries.popleft()
            dropped += 1
        self._entries.append(Entry(array, time.monotonic()))
        self._changed.set()
        return dropped

    async def get(self) -> Entry:
        """Wait for the array that came first and take it."""
        while not self._entries:
            self._changed.clear()
            await self._changed.wait()
        entry = self._entries.popleft()
        self._changed.set()
        return entry

    async def room(self) -> None:
        """Wait until an array more would fit."""
        while len(self) >= self.size:
            self._changed.clear()
            await self._changed.wait()

    def clear(self) -> int:
        """Drop everything and return how many there were."""
        count = len(self)
        self._entries.clear()
        self._changed.set()
        return count
