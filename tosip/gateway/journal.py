"""The journal: what has been done with each acknowledged file, in an SQLite database.

A file's record is `pending` until the archive has it, `renaming` while the archive is asked to
give it its final name (after a crash this tells where to look), then `delivered`. Beside that,
`released` tells that the pipeline is done with it. Each change is on disk before its method returns
(WAL with synchronous=FULL). The methods block and may be called from any thread.

The journal holds nothing that the spool's folder does not: without it every file there is found
again, and delivered again if it must.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tosip.errors import ConfigurationError
from tosip.gateway.stored import StoredFile

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    user TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    received REAL NOT NULL,
    proven INTEGER NOT NULL,
    state TEXT NOT NULL,
    target TEXT NOT NULL DEFAULT '',
    released INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_name ON files (name, received);
CREATE INDEX IF NOT EXISTS by_state ON files (state, released);
"""


class State(StrEnum):
    """How far a file's delivery has come."""

    PENDING = "pending"
    RENAMING = "renaming"
    DELIVERED = "delivered"
    MISSING = "missing"


@dataclass(frozen=True)
class Entry:
    """One record; `target` is the archive's name for the file, once one was chosen."""

    file: StoredFile
    state: State = State.PENDING
    target: str = ""
    released: bool = False

    @property
    def finished(self) -> bool:
        """Nobody needs the spool's copy any more."""
        return self.released and self.state == State.DELIVERED


class Journal:
    """The database; `folder` is where the spool keeps the files that it tells of."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._prepare(path)
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"Spool.journal: expected an SQLite database, got {path} ({error});"
                " moved away, it is made anew from the files in the spool"
            ) from None

    def _prepare(self, path: Path) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            self._db.close()
            raise ConfigurationError(
                f"Spool.journal: expected version {VERSION}, got {version} in {path}"
            )
        self._db.executescript(SCHEMA)
        self._db.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        """End; what was written stays."""
        with self._lock:
            self._db.close()

    def add(self, file: StoredFile) -> None:
        """Record a file that must be delivered."""
        facts = (file.id, file.name, file.user, file.size, file.sha256, file.received, file.proven)
        with self._lock:
            self._db.execute(
                "INSERT INTO files (id, name, user, size, sha256, received, proven, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*facts, State.PENDING),
            )

    def set_state(self, file_id: str, state: State, target: str = "") -> Entry | None:
        """Record how far the delivery is; return the whole record."""
        return self._update("state=?, target=?", (state, target), file_id)

    def set_released(self, file_id: str) -> Entry | None:
        """Record that the pipeline is done with the file; return the whole record."""
        return self._update("released=?", (1,), file_id)

    def _update(self, change: str, values: tuple[object, ...], file_id: str) -> Entry | None:
        with self._lock:
            # All rows must be fetched: until then SQLite has not committed.
            rows = self._db.execute(
                f"UPDATE files SET {change} WHERE id=? RETURNING *",  # noqa: S608, ours alone
                (*values, file_id),
            ).fetchall()
        return self._entry(rows[0]) if rows else None

    def entries(self) -> dict[str, Entry]:
        """Return every record, oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM files ORDER BY received").fetchall()
        return {row[0]: self._entry(row) for row in rows}

    def latest_size(self, name: str) -> int | None:
        """Return the size of the newest file acknowledged under this name, None if unknown."""
        with self._lock:
            row = self._db.execute(
                "SELECT size FROM files WHERE name=? ORDER BY received DESC LIMIT 1", (name,)
            ).fetchone()
        return None if row is None else int(row[0])

    def forget_finished(self, before: float) -> None:
        """Drop the records of files that were finished and received before then."""
        with self._lock:
            self._db.execute(
                "DELETE FROM files WHERE state=? AND released=1 AND received<?",
                (State.DELIVERED, before),
            )

    def _entry(self, row: tuple[object, ...]) -> Entry:
        file_id, name, user, size, sha256, received, proven, state, target, released = row
        file = StoredFile(
            str(file_id),
            str(name),
            str(user),
            self._folder / str(file_id),
            int(str(size)),
            str(sha256),
            float(str(received)),
            bool(proven),
        )
        return Entry(file, State(str(state)), str(target), bool(released))
