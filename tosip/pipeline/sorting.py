"""Order restored after several workers.

Whoever hands frames to workers numbers them 0, 1, 2, ... and each number comes back exactly once,
by `put` with what became of the frame or by `skip` if nothing did. An item waits for the lower
numbers which have not come yet, but neither for ever (SortTime) nor in any crowd (SortSize): then
the missing ones are given up, and what still comes of them goes out late, counted as disordered.

Nothing is ever dropped. areaDetector drops the array that finds its list full; here the lowest
held one goes out instead, because an item also carries the results which records show.

What is remembered: the held items, and the numbers missing below the highest that came. These are
at most SortSize and the number of workers, for however long the thing runs.
"""

import enum
import heapq
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


class SortMode(enum.Enum):
    """Whether items wait for those before them; the values are areaDetector's choices."""

    UNSORTED = "Unsorted"
    SORTED = "Sorted"


@dataclass(frozen=True, order=True)
class _Held(Generic[T]):
    number: int
    since: float = field(compare=False)
    item: T = field(compare=False)


class Sorter(Generic[T]):
    """Items in the order of their numbers, as far as `time` and `size` allow.

        sorter.put(1, "b", now)  # []: 0 is missing
        sorter.put(0, "a", now)  # ["a", "b"]

    Every method that returns items returns those which go out now, in order. A change of `mode`,
    `time` or `size` cannot return any, so it is followed by a call: `flush` when the mode
    becomes unsorted, else `overdue`. Times are those of `time.monotonic`.
    """

    def __init__(
        self, mode: SortMode = SortMode.UNSORTED, time: float = 0.1, size: int = 10
    ) -> None:
        self.mode = mode
        self.time = time
        """The longest wait for a missing number (SortTime, s)."""
        self.size = size
        self.disordered = 0
        """How many went out after a higher number (DisorderedArrays). A gap is not counted."""
        self._held: list[_Held[T]] = []
        self._missing: set[int] = set()
        self._highest_come = -1
        self._highest_gone = -1

    @property
    def size(self) -> int:
        """How many items can be held (SortSize), at least 1."""
        return self._size

    @size.setter
    def size(self, size: int) -> None:
        self._size = max(1, size)

    @property
    def free(self) -> int:
        """How many more items can be held (SortFree)."""
        return max(0, self.size - len(self._held))

    def put(self, number: int, item: T, now: float) -> list[T]:
        """Take the item of a number; it may itself be among what goes out, or be held."""
        if number == self._highest_come + 1 and not self._held and not self._missing:
            self._highest_come = self._highest_gone = number
            return [item]
        self._come(number)
        if number < self._highest_gone:
            self.disordered += 1
            return [item]
        heapq.heappush(self._held, _Held(number, now, item))
        return self._let_go()

    def skip(self, number: int) -> list[T]:
        """Wait for this number no longer: it has no item."""
        self._come(number)
        return self._let_go()

    def overdue(self, now: float) -> list[T]:
        """Let go what was held for `time`, with all that is held before or waits only for it."""
        late = (held.number for held in self._held if self._deadline(held) <= now)
        return self._let_go(up_to=max(late, default=-1))

    def due(self) -> float | None:
        """When `overdue` will next let something go if nothing comes; None if nothing is held."""
        return min(map(self._deadline, self._held), default=None)

    def flush(self) -> list[T]:
        """Let everything go: the mode has become unsorted, or the end has come."""
        return self._let_go(up_to=self._highest_come)

    def _deadline(self, held: _Held[T]) -> float:
        return held.since + self.time

    def _come(self, number: int) -> None:
        self._missing.discard(number)
        self._missing.update(range(self._highest_come + 1, number))
        self._highest_come = max(self._highest_come, number)

    def _let_go(self, up_to: int = -1) -> list[T]:
        gone = []
        while self._held and (self._held[0].number <= up_to or not self._first_waits()):
            first = heapq.heappop(self._held)
            self._highest_gone = first.number
            self._missing = {number for number in self._missing if number > first.number}
            gone.append(first.item)
        return gone

    def _first_waits(self) -> bool:
        if self.mode is SortMode.UNSORTED or len(self._held) > self.size:
            return False
        return any(number < self._held[0].number for number in self._missing)
