"""What becomes of the spool's copy of a file that nobody needs any more."""

from __future__ import annotations

import contextlib
import logging
import threading
from pathlib import Path

from tosip.gateway.settings import Keeping
from tosip.gateway.spool.disk import Disk, remove
from tosip.gateway.spool.journal import Journal
from tosip.gateway.spool.layout import Layout, sidecar
from tosip.gateway.spool.retention import Shelf
from tosip.gateway.spool.stored import Entry, State

logger = logging.getLogger(__name__)


class Copies:
    """Removes copies, or retains them for a while.

    A copy goes only when the disk has the record that it may: deliveries need not wait for that,
    and many share one sync.
    """

    def __init__(self, layout: Layout, disk: Disk, journal: Journal, keeping: Keeping) -> None:
        self.shelf = Shelf(layout.retained, disk)
        self._layout, self._disk, self._journal = layout, disk, journal
        self._keeping = keeping
        self._lock = threading.Lock()
        self._finished: list[Entry] = []
        self._gone: list[Path] = []

    def finish(self, entry: Entry) -> None:
        """Let go, at the next `settle`, of a file that is delivered and released, or discarded."""
        with self._lock:
            self._finished.append(entry)

    def has(self, file_id: str) -> bool:
        """Tell whether there is a copy, or one that a power failure could bring back."""
        path = self._layout.files / file_id
        # In the order in which it moves. The description goes when the copy is sure to be gone.
        return any(map(Path.exists, (path, self._layout.retained / file_id, sidecar(path))))

    def settle(self) -> None:
        """Let go of what is finished; after an OSError of the journal it is tried again."""
        with self._lock:
            finished, self._finished = self._finished, []
        if finished:
            self._settle(finished)
        self._tidy()

    def _settle(self, finished: list[Entry]) -> None:
        try:
            self._journal.settle()
        except OSError:
            with self._lock:
                self._finished += finished
            raise
        for entry in finished:
            if entry.state == State.DELIVERED and self._keeping.delivered_age > 0:
                self._retain(entry)
            else:
                self.remove(entry.file.path)

    def remove(self, path: Path) -> None:
        """Remove a copy; its description stays until `settle`.

        Else a power failure could leave bytes that nobody knows the name of.
        """
        remove(self._disk, path)
        with self._lock:
            self._gone.append(path)

    def _tidy(self) -> None:
        """Make sure that removed copies are gone, then remove their descriptions."""
        with self._lock:
            gone, self._gone = self._gone, []
        if not gone:
            return
        try:
            for path in gone:
                self._disk.unlink(path)
            self._disk.sync_folder(self._layout.files)
        except OSError as error:
            logger.warning("spool: %s cannot be tidied (%s)", self._layout.files, error)
            with self._lock:
                self._gone += gone
        else:
            remove(self._disk, *map(sidecar, gone))

    def _retain(self, entry: Entry) -> None:
        file = entry.file
        path = self._layout.retained / file.id
        try:
            with contextlib.suppress(FileNotFoundError):
                self._disk.rename(sidecar(file.path), sidecar(path))
            self._disk.rename(file.path, path)
        except OSError as error:
            logger.warning("spool: %s cannot be retained (%s)", file.id, error)
            self.remove(file.path)
        else:
            self.shelf.add(file.id, file.size, self._disk.now())
