"""Committing: when it returns, an upload survives a power failure.

Each upload syncs its bytes and its description by itself. Then the first that comes leads: it takes
all that wait, gives them their names, syncs the folder once, and records them in one transaction;
those that come meanwhile wait for the next leader among them. So many uploads at once cost few
syncs, and a single one does not wait at all.

A failed sync is final for its file: the kernel may report an error once and then forget the pages.

An upload is a duplicate if another file stands for it: of the same user, camera, name and bytes,
and these are on the archive or proven to be in the spool. Files under temporary names take no part:
each of them may get a name of its own.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping

from tosip.gateway.spool.disk import Disk, digest_of, remove
from tosip.gateway.spool.journal import Change, Journal
from tosip.gateway.spool.layout import Layout, kept, sidecar
from tosip.gateway.spool.partial import Description, Partial
from tosip.gateway.spool.schema import plain
from tosip.gateway.spool.sidecar import Sidecar, encode
from tosip.gateway.spool.stored import Entry, State, StoredFile

logger = logging.getLogger(__name__)

STANDING = (State.PENDING, State.RENAMING, State.DELIVERED)
EQUAL = (
    "digest=? AND name=? AND user=? AND camera=? AND size=? AND id!=?"
    f" AND state IN ({','.join('?' * len(STANDING))})"
)


class Candidate:
    """An upload that waits to be committed; in the end it has an entry or an error.

    Or neither, when there are equal files whose copies are `unread`: before it comes again somebody
    reads them, which may take long. `read` tells of those read before whether they are sound.
    """

    def __init__(self, file: StoredFile, held: bool, read: Mapping[str, bool]) -> None:
        self.file = file
        self.held = held
        self.read = read
        self.unread: list[StoredFile] = []
        self.entry: Entry | None = None
        self.error: BaseException | None = None
        self.finished = False
        self.wake = threading.Event()


class Group:
    """Lets one thread `work` for all that wait."""

    def __init__(self, work: Callable[[list[Candidate]], None]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._waiting: list[Candidate] = []
        self._busy = False

    def submit(self, candidate: Candidate) -> Entry | None:
        """Return the entry, if there is one, or raise the error."""
        with self._lock:
            self._waiting.append(candidate)
            leads, self._busy = not self._busy, True
        if not leads:
            candidate.wake.wait()
        if not candidate.finished:
            self._lead()
        if candidate.error is not None:
            raise candidate.error
        return candidate.entry

    def _lead(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, []
        try:
            self._work(batch)
        except BaseException as error:  # noqa: BLE001, each of them must hear of it
            for candidate in batch:
                candidate.error = candidate.error or error
        with self._lock:
            heir = self._waiting[0] if self._waiting else None
            self._busy = heir is not None
        for candidate in batch:
            candidate.finished = True
            candidate.wake.set()
        if heir is not None:
            heir.wake.set()


class Committer:
    """Makes uploads durable."""

    def __init__(self, layout: Layout, disk: Disk, journal: Journal) -> None:
        self._layout, self._disk, self._journal = layout, disk, journal
        self._group = Group(self._commit)

    def commit(self, partial: Partial, description: Description) -> Entry:
        """Return the entry once it may be acknowledged; after an OSError nothing is left."""
        try:
            file = self._prepare(partial, description)
            return self._submit(file, description.held)
        except BaseException:
            remove(self._disk, partial.path, sidecar(partial.path))
            raise
        finally:
            partial.close()
            remove(self._disk, kept(partial.path))

    def _prepare(self, partial: Partial, description: Description) -> StoredFile:
        if description.size != partial.size:
            raise ValueError(f"expected a size of {partial.size}, got {description.size}")
        received = self._disk.now()
        partial.sync()
        content = encode(Sidecar(description, received))
        self._disk.write_small(sidecar(partial.path), content)
        return description.stored(self._layout.files / partial.id, received)

    def _submit(self, file: StoredFile, held: bool) -> Entry:
        read: dict[str, bool] = {}
        while True:
            candidate = Candidate(file, held, read)
            entry = self._group.submit(candidate)
            if entry is not None:
                return entry
            read |= {equal.id: _has_its_bytes(equal) for equal in candidate.unread}

    def _commit(self, batch: list[Candidate]) -> None:
        try:
            with self._journal.change() as change:
                for candidate in batch:
                    self._place(change, candidate)
                if any(_is_placed(candidate) for candidate in batch):
                    self._disk.sync_folder(self._layout.files)
        except BaseException:
            # Not acknowledged, so they must not come back as if they were.
            self._take_back([candidate.file for candidate in batch])
            raise
        for candidate in batch:
            if candidate.entry is not None and candidate.entry.state == State.DUPLICATE:
                partial = self._layout.partial / candidate.file.id
                remove(self._disk, partial, sidecar(partial))

    def _place(self, change: Change, candidate: Candidate) -> None:
        file = candidate.file
        if not candidate.held and _finds_another(change, candidate):
            candidate.entry = Entry(file, State.DUPLICATE, released=True)
        elif not candidate.unread and self._move(candidate):
            candidate.entry = Entry(file, State.HELD if candidate.held else State.PENDING)
        if candidate.entry is not None:
            change.add(candidate.entry)

    def _move(self, candidate: Candidate) -> bool:
        """Give a file its place; an error is its own alone."""
        file = candidate.file
        partial = self._layout.partial / file.id
        try:
            # The description first, so that no committed file is ever nameless.
            self._disk.rename(sidecar(partial), sidecar(file.path))
            self._disk.rename(partial, file.path)
        except OSError as error:
            candidate.error = error
            self._take_back([file])
        return candidate.error is None

    def _take_back(self, files: list[StoredFile]) -> None:
        for file in files:
            remove(self._disk, file.path, sidecar(file.path))
        with contextlib.suppress(OSError):
            self._disk.sync_folder(self._layout.files)


def stands(change: Change, file: StoredFile) -> bool:
    """Return whether another file stands for this one; this may take long."""
    others = _equals(change, file)
    return any(other.state == State.DELIVERED or _has_its_bytes(other.file) for other in others)


def _finds_another(change: Change, candidate: Candidate) -> bool:
    """Return whether another file is known to stand for this one, else note what to read."""
    others = _equals(change, candidate.file)
    waiting = [other.file for other in others if other.state != State.DELIVERED]
    candidate.unread = [file for file in waiting if file.id not in candidate.read]
    return len(waiting) < len(others) or any(candidate.read.get(file.id) for file in waiting)


def _equals(change: Change, file: StoredFile) -> list[Entry]:
    texts = map(plain, (file.name, file.user, file.camera))
    return change.entries(EQUAL, file.digest, *texts, file.size, file.id, *STANDING)


def _has_its_bytes(file: StoredFile) -> bool:
    try:
        found = digest_of(file.path)
    except OSError:
        return False
    if found != file.digest:
        logger.error("spool: %s (%s) stands for no other: it is damaged", file.id, file.name)
    return found == file.digest


def _is_placed(candidate: Candidate) -> bool:
    return candidate.entry is not None and candidate.entry.state != State.DUPLICATE
