"""The durable spool: a folder where an acknowledged file survives whatever happens to us.

    partial/<id>        an upload on its way, under a name that nobody else ever sees
    files/<id>          a committed file, exactly the bytes that came
    files/<id>.json     who sent it, under which name, with which size and hash
    journal.sqlite      what has been done with it since (`journal`)
    lock                held by the one gateway that works here

Commit: the bytes are synced, the description is written and synced, both are renamed into `files`
(description first, so that no file there is ever nameless), the folder is synced, the journal gets
its record. Only then may anybody be told that the file is safe. A crash at any point leaves either
a partial, which is dropped, or a committed file, which is found again by `Spool.reconcile`.

A failed sync is final for its file: the kernel may report an error once and then forget the pages.
Every method blocks and may be called from any thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tosip.errors import ConfigurationError
from tosip.gateway.journal import Entry, Journal, State
from tosip.gateway.stored import StoredFile

logger = logging.getLogger(__name__)

HISTORY = 24 * 3600.0
TIDY_INTERVAL = 600.0


@dataclass(frozen=True)
class Partial:
    """An upload on its way: an open file that its receiver writes to."""

    id: str
    path: Path
    fd: int


@dataclass(frozen=True)
class Description:
    """What the receiver knows about a complete upload."""

    name: str
    user: str
    size: int
    sha256: str
    proven: bool


class Spool:
    """The spool in one folder; opening takes its lock, `close` gives it back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._partial, self._files = folder / "partial", folder / "files"
        self._lock = _take_lock(folder)
        try:
            self._journal = Journal(folder / "journal.sqlite", self._files)
        except ConfigurationError:
            os.close(self._lock)
            raise
        self._tidied = 0.0

    def close(self) -> None:
        """Let another gateway have the spool."""
        self._journal.close()
        os.close(self._lock)

    def free_space(self) -> int:
        """Return the bytes that are left on the spool's disk."""
        return shutil.disk_usage(self.folder).free

    def begin(self) -> Partial:
        """Open a file for an upload, under an id that sorts by time and never comes again."""
        file_id = f"{time.time_ns():x}-{secrets.token_hex(4)}"
        path = self._partial / file_id
        return Partial(file_id, path, os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640))

    def discard(self, partial: Partial) -> None:
        """Drop an upload that was not committed."""
        with contextlib.suppress(OSError):
            os.close(partial.fd)
        _remove(partial.path)

    def commit(self, partial: Partial, description: Description) -> StoredFile:
        """Make an upload durable; when this returns it may be acknowledged, and not before."""
        file = StoredFile(
            partial.id,
            description.name,
            description.user,
            self._files / partial.id,
            description.size,
            description.sha256,
            time.time(),
            description.proven,
        )
        os.fdatasync(partial.fd)
        sidecar = _write_sidecar(partial.path.with_name(partial.id + ".json"), file)
        try:
            os.rename(sidecar, _sidecar(file.path))
            os.rename(partial.path, file.path)
            _sync_folder(self._files)
            self._journal.add(file)
        except BaseException:
            # Not acknowledged, so it must not come back as if it were.
            _remove(file.path)
            raise
        os.close(partial.fd)
        return file

    def mark(self, file_id: str, state: State, target: str = "") -> None:
        """Record how far a delivery is; a file that nobody needs any more is removed."""
        self._remove_finished(self._journal.set_state(file_id, state, target))

    def release(self, file_id: str) -> None:
        """Record that the pipeline is done with a file; see `mark`."""
        self._remove_finished(self._journal.set_released(file_id))

    def latest_size(self, name: str) -> int | None:
        """Return the size of the newest file under this name, as long as it is remembered."""
        return self._journal.latest_size(name)

    def reconcile(self) -> list[Entry]:
        """Put folder and journal in agreement after a start; return what is still to be done.

        Partials go. Committed files without a record get one. Records whose file is gone are
        marked, loudly: nothing of ours removes a file that is still needed.
        """
        shutil.rmtree(self._partial)
        self._partial.mkdir()
        entries = self._journal.entries()
        for path in self._committed():
            if path.name not in entries:
                file = _recovered(path)
                logger.warning("spool: %s (%s) had no record; recovered", file.id, file.name)
                self._journal.add(file)
                entries[file.id] = Entry(file)
        return [entry for entry in entries.values() if self._still_needed(entry)]

    def _committed(self) -> Iterator[Path]:
        for path in sorted(self._files.iterdir()):
            if path.suffix != ".json":
                yield path
            elif not path.with_suffix("").exists():
                path.unlink()

    def _still_needed(self, entry: Entry) -> bool:
        if entry.finished:
            _remove(entry.file.path)
            return False
        if entry.file.path.exists():
            return True
        if entry.state != State.MISSING:
            logger.error("spool: %s (%s) is gone from the disk", entry.file.id, entry.file.name)
            self._journal.set_state(entry.file.id, State.MISSING)
        return False

    def _remove_finished(self, entry: Entry | None) -> None:
        if entry is None or not entry.finished:
            return
        _remove(entry.file.path)
        if time.monotonic() - self._tidied > TIDY_INTERVAL:
            self._tidied = time.monotonic()
            self._journal.forget_finished(time.time() - HISTORY)


def _take_lock(folder: Path) -> int:
    try:
        for name in ("partial", "files"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o640)
    except OSError as error:
        raise ConfigurationError(
            f"Spool.folder: expected a folder to write to, got {folder} ({error.strerror})"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigurationError(
            f"Spool.folder: expected a spool of its own, got {folder},"
            " which another gateway is using"
        ) from None
    return lock


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _write_sidecar(path: Path, file: StoredFile) -> Path:
    facts = {
        "name": file.name,
        "user": file.user,
        "size": file.size,
        "sha256": file.sha256,
        "received": file.received,
        "proven": file.proven,
    }
    with path.open("w", encoding="utf-8") as sidecar:
        json.dump(facts, sidecar)
        sidecar.flush()
        os.fsync(sidecar.fileno())
    return path


def _recovered(path: Path) -> StoredFile:
    """Describe a committed file from its sidecar, or from its bytes when that is unreadable."""
    try:
        facts = json.loads(_sidecar(path).read_text("utf-8"))
        return StoredFile(id=path.name, path=path, **facts)
    except (OSError, ValueError, TypeError):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        status = path.stat()
        name = f"recovered/{path.name}"
        return StoredFile(path.name, name, "", path, status.st_size, digest, status.st_mtime)


def _remove(path: Path) -> None:
    """Remove a file and then its sidecar: the other way round it would come back nameless."""
    path.unlink(missing_ok=True)
    _sidecar(path).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
