"""Counting: what one change of a file's state does to the totals, and what has waited longest."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterable
from dataclasses import replace

from tosip.gateway.spool.stored import Entry, State, Totals

WAITING = (State.HELD, State.PENDING, State.RENAMING)
SPARE = 1000
COUNTERS = {
    **dict.fromkeys(WAITING, "pending"),
    State.DELIVERED: "delivered",
    State.DEAD: "dead",
    State.DUPLICATE: "duplicates",
    State.DISCARDED: "discarded",
}


def entered(totals: Totals, entry: Entry) -> Totals:
    """Return the totals with a new file."""
    size = entry.file.size
    totals = replace(
        totals,
        acknowledged=totals.acknowledged + 1,
        bytes_acknowledged=totals.bytes_acknowledged + size,
    )
    return _counted(totals, entry.state, size, 1)


def moved(totals: Totals, old: State, new: State, size: int) -> Totals:
    """Return the totals after a file has changed its state."""
    return _counted(_counted(totals, old, size, -1), new, size, 1)


def _counted(totals: Totals, state: State, size: int, count: int) -> Totals:
    counter = COUNTERS[state]
    changes = {counter: getattr(totals, counter) + count}
    if counter in ("pending", "delivered"):
        changes[f"bytes_{counter}"] = getattr(totals, f"bytes_{counter}") + count * size
    return replace(totals, **changes)


class Waiting:
    """The files that wait to be delivered, to tell at once which has waited longest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def update(self, entries: Iterable[Entry]) -> None:
        """Take notice of changed entries."""
        with self._lock:
            for entry in entries:
                file_id = entry.file.id
                if entry.state not in WAITING:
                    self._since.pop(file_id, None)
                elif file_id not in self._since:
                    self._since[file_id] = entry.file.received
                    heapq.heappush(self._heap, (entry.file.received, file_id))
            self._tidy()

    def _tidy(self) -> None:
        # Behind one that waits for ever all that came later would stay.
        if len(self._heap) > 2 * len(self._since) + SPARE:
            self._heap = [(received, file_id) for file_id, received in self._since.items()]
            heapq.heapify(self._heap)
        while self._heap and self._heap[0][1] not in self._since:
            heapq.heappop(self._heap)

    def oldest(self) -> float | None:
        """Return when the oldest was received (Unix time); None when nothing waits."""
        with self._lock:
            return self._heap[0][0] if self._heap else None
