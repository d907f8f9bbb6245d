"""After a start: the journal and the folders are put in agreement, whatever ended the last run.

Nothing that was acknowledged is given up. A committed file without a record gets one, from its
description or, without that, from its bytes. A record whose copy is gone or has the wrong size is a
dead letter, loudly. Copies that nobody needs, and uploads that were neither committed nor kept, go.

Without a description, too, a sound journal tells that a file was not acknowledged: a power failure
came before. It is not forwarded under a name that nobody gave it, but goes into quarantine.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tosip.gateway.spool.copies import Copies
from tosip.gateway.spool.disk import Disk, digest_of, remove
from tosip.gateway.spool.journal import Change, Journal
from tosip.gateway.spool.kept import Kept, KeptPartial
from tosip.gateway.spool.layout import KEPT, SIDECAR, Layout, kept, sidecar
from tosip.gateway.spool.partial import Description
from tosip.gateway.spool.retention import Shelf
from tosip.gateway.spool.sidecar import Sidecar, encode, read
from tosip.gateway.spool.stored import Entry, State, StoredFile
from tosip.gateway.spool.tally import WAITING

logger = logging.getLogger(__name__)

NEEDED = "state IN ('held', 'pending', 'renaming', 'dead') OR released=0"


def drop_unfinished(layout: Layout, disk: Disk) -> None:
    """Remove what uploads on their way have left, but for what was kept to be resumed.

    None of it was acknowledged, or it was as the duplicate of another: a commit moves it away
    before. It comes before all else, since it may fill the disk and the journal wants room.
    """
    for path in _files(layout.partial):
        if not kept(path).exists():
            remove(disk, path)
        elif (found := read(kept(path))) is not None:
            with suppress(OSError):
                _cut(disk, path, found.description.size)


def _cut(disk: Disk, path: Path, size: int) -> None:
    """Cut off what came after a resumption: nobody knows its hash."""
    if path.stat().st_size > size:
        fd = disk.open(path)
        try:
            disk.truncate(fd, size)
        finally:
            disk.close(fd)


class Recovery:
    """One start."""

    def __init__(self, layout: Layout, disk: Disk, journal: Journal) -> None:
        self._layout, self._disk, self._journal = layout, disk, journal

    def recover(self, partials: Kept, copies: Copies, quarantine: Shelf) -> None:
        """Put all in order; tell the others what they have."""
        # What we find may not have been synced yet, and will now be relied on.
        self._journal.settle()
        self._disk.sync_folder(self._layout.files)
        with self._journal.change() as change:
            finished = self._recover_files(change)
            self._recover_retained(change)
            self._check_copies(change)
            self._recover_partials(change, partials)
        for shelf in (copies.shelf, quarantine):
            self._fill(shelf)
        self._remove_orphans(self._layout.files)
        for entry in finished:
            copies.finish(entry)
        copies.settle()

    def _recover_files(self, change: Change) -> list[Entry]:
        """Return those whose copies nobody needs any more."""
        finished = []
        for path in _files(self._layout.files):
            entry = change.get(path.name)
            if entry is None and self._was_not_acknowledged(path):
                self._put_into_quarantine(change, path)
            elif entry is None:
                file, held = self._described(path)
                entry = Entry(file, State.HELD if held else State.PENDING)
                logger.warning("spool: %s (%r) had no record; recovered", file.id, file.name)
                change.add(entry)
            elif entry.released and entry.state not in (*WAITING, State.DEAD):
                finished.append(entry)
        return finished

    def _recover_retained(self, change: Change) -> None:
        for path in _files(self._layout.retained):
            entry = change.get(path.name)
            if entry is None:
                file, _ = self._described(path)
                file = replace(file, path=self._layout.files / file.id)
                change.add(Entry(file, State.DELIVERED, released=True))
            elif entry.state in (*WAITING, State.DEAD) and not entry.file.path.exists():
                self._disk.rename(path, entry.file.path)

    def _was_not_acknowledged(self, path: Path) -> bool:
        before = sidecar(self._layout.partial / path.name)
        described = sidecar(path).exists() or before.exists()
        return not described and not self._journal.is_new

    def _put_into_quarantine(self, change: Change, path: Path) -> None:
        logger.warning("spool: %s was not committed; put into quarantine", path.name)
        size = path.stat().st_size
        description = Description(f"recovered/{path.name}", "", size, digest_of(path), False)
        facts = Sidecar(description, self._disk.now(), "a power failure came before its name")
        beside = sidecar(self._layout.quarantine / path.name)
        self._disk.unlink(beside)
        self._disk.write_small(beside, encode(facts))
        self._disk.rename(path, self._layout.quarantine / path.name)
        change.totals = replace(change.totals, quarantined=change.totals.quarantined + 1)

    def _described(self, path: Path) -> tuple[StoredFile, bool]:
        """Describe a file that has no record; tell whether it has a temporary name."""
        beside, before = sidecar(path), sidecar(self._layout.partial / path.name)
        found = read(beside)
        if found is None and (found := read(before)) is not None:
            self._disk.rename(before, beside)
        status = path.stat()
        if found is None:
            name = f"recovered/{path.name}"
            logger.error("spool: %s has no description; it becomes %s", path.name, name)
            digest = digest_of(path)
            file = StoredFile(path.name, name, "", path, status.st_size, digest, status.st_mtime)
            return file, False
        return found.description.stored(path, found.received), found.description.held

    def _check_copies(self, change: Change) -> None:
        for entry in change.entries(NEEDED):
            fault = _fault(entry)
            if not fault:
                continue
            # The pipeline cannot get what is not there.
            released = entry.released or not entry.file.path.exists()
            after = replace(entry, released=released)
            if entry.state in WAITING:
                after = replace(after, state=State.DEAD, reason=fault)
                logger.error("spool: %s (%r): %s", entry.file.id, entry.file.name, fault)
            if after != entry:
                change.replace(entry, after)

    def _recover_partials(self, change: Change, partials: Kept) -> None:
        for path in _files(self._layout.partial):
            found = read(kept(path))
            committed = (self._layout.files / path.name).exists() or change.get(path.name)
            if found is None or committed or path.stat().st_size < found.description.size:
                remove(self._disk, path, kept(path), sidecar(path))
            else:
                remove(self._disk, sidecar(path))
                partials.add(KeptPartial(path.name, found.description, found.received))
        self._remove_orphans(self._layout.partial)

    def _fill(self, shelf: Shelf) -> None:
        for path in _files(shelf.folder):
            status = path.stat()
            # The time of the rename that brought it here.
            shelf.add(path.name, status.st_size, status.st_ctime)
        self._remove_orphans(shelf.folder)

    def _remove_orphans(self, folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            known = path.suffix in ("", SIDECAR, KEPT)
            if not known or not path.with_suffix("").exists():
                remove(self._disk, path)


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.iterdir() if not path.suffix))


def _fault(entry: Entry) -> str:
    """Return what is wrong with a copy, as far as its size tells; empty if nothing is."""
    try:
        size = entry.file.path.stat().st_size
    except FileNotFoundError:
        return "its copy is gone from the spool"
    except OSError as error:
        return f"its copy cannot be read ({error.strerror})"
    if size != entry.file.size:
        return f"expected {entry.file.size} bytes in the spool, got {size}"
    return ""
