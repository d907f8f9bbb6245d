"""How long things are kept that need not be kept: by age and by bytes, the oldest go first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from tosip.gateway.spool.disk import Disk, remove
from tosip.gateway.spool.layout import sidecar


class Item(NamedTuple):
    """Something that may go: since when it is there (Unix time), what it is, its bytes."""

    since: float
    id: str
    size: int


def too_much(items: Iterable[Item], now: float, age: float, size: int) -> list[str]:
    """Return what must go so that nothing is older than `age` s and all together fit in `size`."""
    ordered = sorted(items)
    total = sum(item.size for item in ordered)
    going = []
    for item in ordered:
        if now - item.since <= age and total <= size:
            break
        total -= item.size
        going.append(item.id)
    return going


def each_until(end: float, ids: Iterable[str], remove_one: Callable[[str], None]) -> None:
    """Remove one after the other until the monotonic clock says `end`; at least one."""
    for file_id in ids:
        remove_one(file_id)
        if time.monotonic() > end:
            return


class Shelf:
    """A folder of files with their sidecars that may go when there are too many."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.folder = folder
        self._disk = disk
        self._lock = threading.Lock()
        self._items: dict[str, Item] = {}

    def add(self, file_id: str, size: int, since: float) -> None:
        """Take notice of a file."""
        with self._lock:
            self._items[file_id] = Item(since, file_id, size)

    def expire(self, age: float, size: int, end: float) -> None:
        """Remove what is too old or too much, until the monotonic clock says `end`.

        When this returns no power failure brings it back.
        """
        with self._lock:
            going = too_much(self._items.values(), self._disk.now(), age, size)
        each_until(end, going, self.remove)
        if going:
            self._disk.sync_folder(self.folder)

    def remove(self, file_id: str) -> None:
        """Remove a file; the bytes first, so that they are never without a name."""
        with self._lock:
            self._items.pop(file_id, None)
        path = self.folder / file_id
        remove(self._disk, path, sidecar(path))

    def ids(self) -> list[str]:
        """Return what is there, oldest first."""
        with self._lock:
            return [item.id for item in sorted(self._items.values())]
