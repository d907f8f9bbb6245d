"""The tables of the journal, and how their rows become entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tosip.gateway.spool.stored import Entry, State, StoredFile, Totals

VERSION = 2
TOTALS = tuple(Totals.__dataclass_fields__)
COLUMNS = (
    "id, name, user, camera, size, digest, received, proven,"
    " state, target, reason, refusals, released"
)
SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE files (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    user TEXT NOT NULL,
    camera TEXT NOT NULL,
    size INTEGER NOT NULL,
    digest TEXT NOT NULL,
    received REAL NOT NULL,
    proven INTEGER NOT NULL,
    state TEXT NOT NULL,
    target TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    refusals INTEGER NOT NULL DEFAULT 0,
    released INTEGER NOT NULL DEFAULT 0,
    hidden INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX by_user ON files (user, name, id);
CREATE INDEX by_content ON files (digest, name);
CREATE INDEX by_state ON files (state, received);
CREATE INDEX unreleased ON files (received) WHERE released = 0;
CREATE TABLE totals (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    {", ".join(f"{name} INTEGER NOT NULL DEFAULT 0" for name in TOTALS)}
);
INSERT INTO totals (one) VALUES (1);
CREATE TABLE requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    action TEXT NOT NULL,
    ids TEXT
);
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE settled (one INTEGER PRIMARY KEY CHECK (one = 1), times INTEGER);
INSERT INTO settled VALUES (1, 0);
PRAGMA user_version={VERSION};
COMMIT;
"""  # noqa: S608, names of our own


def plain(text: str) -> str | bytes:
    """Return a text as SQLite takes it: names that are no UTF-8 as the bytes that came."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
    return text


def text(value: str | bytes) -> str:
    """Undo `plain`."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def to_row(entry: Entry) -> tuple[object, ...]:
    """Return the values of the columns."""
    file = entry.file
    facts = (file.id, plain(file.name), plain(file.user), plain(file.camera), file.size)
    more = (file.digest, file.received, file.proven)
    return (
        *facts,
        *more,
        entry.state,
        plain(entry.target),
        plain(entry.reason),
        entry.refusals,
        entry.released,
    )


def to_entry(row: tuple[Any, ...], files: Path) -> Entry:
    """Return the entry that a row tells of; its copy is in the folder `files`."""
    file_id, name, user, camera, size, digest, received, proven, *rest = row
    state, target, reason, refusals, released = rest
    file = StoredFile(
        id=file_id,
        name=text(name),
        user=text(user),
        path=files / file_id,
        size=size,
        digest=digest,
        received=received,
        proven=bool(proven),
        camera=text(camera),
    )
    return Entry(file, State(state), text(target), text(reason), refusals, bool(released))
