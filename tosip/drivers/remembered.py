"""Which files a folder driver has read: kept in SQLite, so that a restart reads none twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from tosip.drivers.folder_watch import Stamp
from tosip.errors import ConfigurationError

_TABLE = (
    "CREATE TABLE IF NOT EXISTS files"
    " (name BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER) WITHOUT ROWID"
)


class ReadFiles:
    """The names of the files that were read, with their stamps; `(name, stamp) in read_files`."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute(_TABLE)
            rows = self._database.execute("SELECT name, size, mtime_ns FROM files").fetchall()
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"{path}: expected a list of files read: {error}") from error
        self._stamps = {bytes(name): Stamp(size, mtime) for name, size, mtime in rows}

    def __contains__(self, file: tuple[bytes, Stamp]) -> bool:
        name, stamp = file
        return self._stamps.get(name) == stamp

    def add(self, files: Iterable[tuple[bytes, Stamp]]) -> None:
        """Remember that these versions were read; durable when this returns."""
        added = list(files)
        self._stamps.update(added)
        rows = [(name, stamp.size, stamp.mtime_ns) for name, stamp in added]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)

    def keep_only(self, names: Iterable[bytes]) -> None:
        """Forget the files that are gone, so that the list does not grow for ever."""
        gone = [(name,) for name in self._stamps.keys() - set(names)]
        with self._database:
            self._database.executemany("DELETE FROM files WHERE name = ?", gone)
        for (name,) in gone:
            del self._stamps[name]

    def close(self) -> None:
        """Close the database."""
        self._database.close()
