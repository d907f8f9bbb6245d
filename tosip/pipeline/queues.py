"""The bounded queue in front of a plugin."""

import enum
import itertools
import time
from collections import deque
from dataclasses import dataclass

from tosip.events import Event
from tosip.pipeline.ndarray import NDArray


class Policy(enum.Enum):
    """What happens to an array that finds the queue full."""

    DROP_NEWEST = "drop newest"
    """areaDetector's: the new array is dropped."""
    DROP_OLDEST = "drop oldest"
    """The array that has waited longest makes room: for displays."""
    BLOCK = "block"
    """Nothing is dropped; whoever puts has to wait for room first: for files."""


@dataclass(frozen=True, eq=False)
class Entry:
    """An array in the queue: its place in the row of all, and when it came (`time.monotonic`).

    `tries` counts workers that were killed from outside while they looked at it, `waits` how often
    it could not be sent to one.
    """

    array: NDArray
    number: int
    received: float
    tries: int = 0
    waits: int = 0


class FrameQueue:
    """Arrays waiting for a worker, at most `size`.

    `on_room` is called when there is room after there may have been none.
    """

    def __init__(self, size: int, policy: Policy) -> None:
        self._policy = policy
        self.on_room: Event[[]] = Event("FrameQueue.on_room")
        self._size = max(1, size)
        self._numbers = itertools.count()
        self._entries: deque[Entry] = deque()

    @property
    def policy(self) -> Policy:
        """What happens when the queue is full; it can be changed."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = policy
        self._tell_room()

    @property
    def size(self) -> int:
        """How many arrays can wait, at least 1; it can be changed."""
        return self._size

    @size.setter
    def size(self, size: int) -> None:
        self._size = max(1, size)
        self._tell_room()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def blocked(self) -> bool:
        """Whether whoever puts has to wait."""
        return self.policy is Policy.BLOCK and len(self) >= self.size

    def put(self, array: NDArray) -> tuple[Entry | None, list[Entry]]:
        """Add an array; return its entry, None if it was dropped, and the entries that went."""
        if self.policy is Policy.DROP_NEWEST and len(self) >= self.size:
            return None, []
        dropped = []
        while self.policy is Policy.DROP_OLDEST and len(self) >= self.size:
            dropped.append(self._entries.popleft())
        entry = Entry(array, next(self._numbers), time.monotonic())
        self._entries.append(entry)
        return entry, dropped

    def put_back(self, entry: Entry) -> None:
        """Put an entry that was taken before all others, whether there is room or not."""
        self._entries.appendleft(entry)

    def take(self) -> Entry:
        """Take the entry that came first; IndexError if there is none."""
        entry = self._entries.popleft()
        self._tell_room()
        return entry

    def clear(self) -> list[Entry]:
        """Take everything."""
        entries = list(self._entries)
        self._entries.clear()
        self._tell_room()
        return entries

    def _tell_room(self) -> None:
        if not self.blocked:
            self.on_room()
