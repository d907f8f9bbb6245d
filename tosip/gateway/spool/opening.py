"""Opening the journal: one that is broken is put aside, and the spool's folder tells the rest."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from tosip.errors import ConfigurationError
from tosip.gateway.spool.disk import Disk
from tosip.gateway.spool.journal import Journal, as_os_error
from tosip.gateway.spool.layout import Layout
from tosip.gateway.spool.schema import VERSION

logger = logging.getLogger(__name__)

# What SQLite says about a file that is no sound database of ours; other errors may pass.
BROKEN = (1, 11, 26)  # SQLITE_ERROR (tables or columns are missing), _CORRUPT, _NOTADB
PARTS = ("", "-wal", "-shm")


def open_journal(layout: Layout, disk: Disk) -> Journal:
    """Return the journal; OSError if that cannot be now, ConfigurationError if it is not ours."""
    with as_os_error():
        fault = _fault(layout.journal)
        if fault:
            aside = _put_aside(layout.journal, disk)
            logger.error(
                "spool: the journal is broken (%s); put aside as %s, made anew from the files",
                fault,
                aside.name,
            )
        journal = Journal(layout.journal, layout.files)
    if journal.is_new:
        disk.sync_folder(layout.folder)
    return journal


def _fault(path: Path) -> str:
    """Return what is wrong with the database, empty if nothing is; it may be missing."""
    if not path.exists():
        return "it is missing" if _part(path, "-wal").exists() else ""
    try:
        db = sqlite3.connect(path, isolation_level=None)
        try:
            return _checked(db, path)
        finally:
            db.close()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in BROKEN:
            return str(error)
        raise


def _checked(db: sqlite3.Connection, path: Path) -> str:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise ConfigurationError(
            f"Spool.journal: expected version {VERSION}, got {version} in {path}"
        )
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        return str(verdict)
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if version < VERSION and tables:
        return f"expected version {VERSION}, got {version}"
    if tables:
        db.execute("SELECT * FROM totals, files, requests, notes, settled LIMIT 1").fetchall()
        if db.execute("SELECT count(*) FROM totals").fetchone() != (1,):
            return "it has no totals"
    return ""


def _put_aside(path: Path, disk: Disk) -> Path:
    number = 1
    while any(_part(_aside(path, number), part).exists() for part in PARTS):
        number += 1
    aside = _aside(path, number)
    for part in PARTS:
        if _part(path, part).exists():
            disk.rename(_part(path, part), _part(aside, part))
    disk.sync_folder(path.parent)
    return aside


def _aside(path: Path, number: int) -> Path:
    return path.with_name(f"journal.broken-{number}")


def _part(path: Path, part: str) -> Path:
    return path.with_name(path.name + part)
