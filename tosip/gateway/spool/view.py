"""A look into a spool from outside, while a gateway works there or none does."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tosip.errors import ConfigurationError
from tosip.gateway.spool.journal import PATIENCE, as_os_error
from tosip.gateway.spool.layout import Layout, is_locked
from tosip.gateway.spool.quarantine import Quarantined, list_quarantined
from tosip.gateway.spool.requests import Action
from tosip.gateway.spool.schema import COLUMNS, TOTALS, VERSION, text, to_entry
from tosip.gateway.spool.stored import Entry, State, Totals


class SpoolView:
    """Reads what a spool's journal tells, and leaves requests there; needs no lock.

    Each method opens the journal anew; ConfigurationError if the folder has none, OSError if it
    cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._layout = Layout(folder)
        with self._journal():
            pass

    def running(self) -> bool:
        """Return whether a gateway (or a command) holds the spool."""
        return is_locked(self._layout)

    def totals(self) -> Totals:
        """Return the counters of one moment."""
        (row,) = self._rows(f"SELECT {', '.join(TOTALS)} FROM totals")  # noqa: S608
        return Totals(*row)

    def entries(self, states: Collection[State]) -> list[Entry]:
        """Return the files in these states, oldest first."""
        marks = ",".join("?" * len(states))
        sql = f"SELECT {COLUMNS} FROM files WHERE state IN ({marks}) ORDER BY received, id"  # noqa: S608
        return [to_entry(row, self._layout.files) for row in self._rows(sql, *states)]

    def quarantined(self) -> list[Quarantined]:
        """Return what is in the quarantine, oldest first."""
        return list_quarantined(self._layout)

    def notes(self) -> dict[str, str]:
        """Return the facts that the gateway has noted."""
        rows = self._rows("SELECT name, value FROM notes ORDER BY name")
        return {name: text(value) for name, value in rows}

    def ask(self, action: Action, ids: Collection[str] | None) -> int:
        """Leave a request, which a running gateway takes within a second; None: all dead ones.

        Discarding needs ids: a person discards what that person has seen. Returns a number for
        `waits`.
        """
        if action == "discard" and ids is None:
            raise ValueError("expected the ids of what to discard, got none")
        listed = None if ids is None else json.dumps(list(ids))
        sql = "INSERT INTO requests (action, ids) VALUES (?, ?) RETURNING number"
        return int(self._rows(sql, action, listed)[0][0])

    def waits(self, number: int) -> bool:
        """Return whether a request is not done yet."""
        return bool(self._rows("SELECT 1 FROM requests WHERE number=?", number))

    def _rows(self, sql: str, *values: object) -> list[Any]:
        with self._journal() as db, as_os_error():
            return db.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _journal(self) -> Iterator[sqlite3.Connection]:
        path = self._layout.journal
        if not path.is_file():
            raise ConfigurationError(f"Spool.folder: expected a gateway's spool, got {path.parent}")
        with as_os_error():
            db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                timeout=PATIENCE,
                isolation_level=None,
                uri=True,
            )
        try:
            with as_os_error():
                db.execute("PRAGMA synchronous=FULL")
                (version,) = db.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                raise ConfigurationError(
                    f"Spool.journal: expected version {VERSION}, got {version} in {path}"
                )
            yield db
        finally:
            db.close()
