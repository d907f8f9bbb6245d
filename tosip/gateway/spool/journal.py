"""The journal: what has been done with each acknowledged file, in an SQLite database.

Changes are made in transactions that also change the totals, so these always balance. A lasting one
is on the disk when it ends (WAL with synchronous=FULL), with all that came before it; one that is
not may be undone by a power failure until `settle` returns. Readers have a connection of their own
and do not wait for changes. The methods block, and may be called from any thread; whatever the
database says comes out as `JournalError`, an OSError.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tosip.errors import TosipError
from tosip.gateway.spool.schema import COLUMNS, SCHEMA, TOTALS, VERSION, plain, to_entry, to_row
from tosip.gateway.spool.stored import Entry, Totals
from tosip.gateway.spool.tally import WAITING, Waiting, entered, moved

SQLITE_FULL = 13
PATIENCE = 10.0


class JournalError(TosipError, OSError):
    """The database cannot do what it should; ENOSPC when the disk is full, else EIO."""


@contextlib.contextmanager
def as_os_error() -> Iterator[None]:
    """Let errors of SQLite out as `JournalError`."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        number = errno.ENOSPC if code == SQLITE_FULL else errno.EIO
        raise JournalError(number, f"journal: {error}") from error


class Change:
    """One transaction; `totals` are what they will be when it ends well."""

    def __init__(self, db: sqlite3.Connection, files: Path, totals: Totals) -> None:
        self.totals = totals
        self.touched: list[Entry] = []
        self._db, self._files = db, files

    def run(self, sql: str, *values: object) -> list[Any]:
        """Run a statement; return its rows, all of them."""
        with as_os_error():
            return self._db.execute(sql, values).fetchall()

    def entries(self, condition: str, *values: object) -> list[Entry]:
        """Return the entries that meet a condition in SQL."""
        rows = self.run(f"SELECT {COLUMNS} FROM files WHERE {condition}", *values)  # noqa: S608
        return [to_entry(row, self._files) for row in rows]

    def get(self, file_id: str) -> Entry | None:
        """Return one entry, if it is known."""
        return next(iter(self.entries("id=?", file_id)), None)

    def add(self, entry: Entry) -> None:
        """Record a new file."""
        marks = ",".join("?" * (COLUMNS.count(",") + 1))
        self.run(f"INSERT INTO files ({COLUMNS}) VALUES ({marks})", *to_row(entry))  # noqa: S608
        self.totals = entered(self.totals, entry)
        self.touched.append(entry)

    def replace(self, old: Entry, new: Entry) -> Entry:
        """Record what has changed about a file; return `new`."""
        self.run(
            "UPDATE files SET name=?, camera=?, state=?, target=?, reason=?, refusals=?, released=?"
            " WHERE id=?",
            plain(new.file.name),
            plain(new.file.camera),
            new.state,
            plain(new.target),
            plain(new.reason),
            new.refusals,
            new.released,
            old.file.id,
        )
        self.totals = moved(self.totals, old.state, new.state, old.file.size)
        self.touched.append(new)
        return new


class Journal:
    """The database at `path`; `files` is the folder of the copies that it tells of.

    `is_new`: there was none before, or an empty one.
    """

    def __init__(self, path: Path, files: Path) -> None:
        """Open or make it; sqlite3.Error as it comes."""
        self._files = files
        self._lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._suspect = False
        self._unsynced = True  # what the last run may have left
        self._db = _connect(path)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            self.is_new = version != VERSION
            # Only then: to write it each time would take room that a full disk has not got.
            if self.is_new:
                self._db.executescript(SCHEMA)
            row = self._db.execute(f"SELECT {', '.join(TOTALS)} FROM totals").fetchone()  # noqa: S608
            self.totals = Totals(*row)
            self._reader = _connect(path)
        except BaseException:
            self._db.close()
            raise
        self._waiting = Waiting()
        try:
            self._reader.execute("PRAGMA query_only=1")
            self._waiting.update(self.entries("state IN (?,?,?)", *WAITING))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End; what was written stays."""
        with self._read_lock:
            self._reader.close()
        with self._lock:
            self._db.close()

    def oldest(self) -> float | None:
        """Return when the file that has waited longest was received (Unix time)."""
        return self._waiting.oldest()

    @contextlib.contextmanager
    def change(self, *, lasting: bool = True) -> Iterator[Change]:
        """Begin a transaction; it is recorded when the block ends, undone when it raises."""
        with self._lock:
            change = Change(self._db, self._files, self.totals)
            self._begin_anew(change)
            change.run(f"PRAGMA synchronous={'FULL' if lasting else 'NORMAL'}")
            before = self._db.total_changes
            try:
                change.run("BEGIN IMMEDIATE")
                yield change
                self._count(change)
                change.run("COMMIT")
            except BaseException as error:
                self._suspect |= isinstance(error, JournalError) and error.errno == errno.EIO
                self._roll_back()
                raise
            if self._db.total_changes > before:
                self._unsynced = not lasting
            self.totals = change.totals
            self._waiting.update(change.touched)

    def settle(self) -> None:
        """Return when all that was recorded is on the disk."""
        if self._unsynced:
            with self.change() as change:
                # A transaction that changes nothing would not be synced.
                change.run("UPDATE settled SET times = times + 1")

    def _begin_anew(self, change: Change) -> None:
        """Begin a new log when one could not be written or synced: parts of it may be gone.

        After a failed sync the kernel forgets what it could not write, and what follows behind
        such a gap would not be found after a power failure.
        """
        if self._suspect:
            change.run("PRAGMA synchronous=FULL")
            busy, *_ = change.run("PRAGMA wal_checkpoint(TRUNCATE)")[0]
            if busy:
                raise JournalError(errno.EIO, "journal: expected a new log, got one in use")
            self._suspect = False

    def _count(self, change: Change) -> None:
        if change.totals != self.totals:
            values = [getattr(change.totals, name) for name in TOTALS]
            change.run(f"UPDATE totals SET {'=?, '.join(TOTALS)}=?", *values)  # noqa: S608

    def _roll_back(self) -> None:
        # After some errors SQLite has done so itself.
        if self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def read(self, sql: str, *values: object) -> list[Any]:
        """Return the rows of a SELECT, as of one moment."""
        with self._read_lock, as_os_error():
            return self._reader.execute(sql, values).fetchall()

    def entries(self, condition: str, *values: object) -> list[Entry]:
        """Return the entries that meet a condition in SQL."""
        rows = self.read(f"SELECT {COLUMNS} FROM files WHERE {condition}", *values)  # noqa: S608
        return [to_entry(row, self._files) for row in rows]

    def changed_by_others(self) -> int:
        """Return a number that changes when another connection has written; costs microseconds."""
        with self._lock, as_os_error():
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
