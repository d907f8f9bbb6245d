"""`tosip gateway status`: totals, the archive, and what waits for it or for a person."""

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from tosip.commands import tables
from tosip.commands.gateway.layout import laid_out
from tosip.commands.gateway.place import find
from tosip.gateway.spool.quarantine import Quarantined
from tosip.gateway.spool.stored import Entry, State
from tosip.gateway.spool.view import SpoolView

WAITING = (State.HELD, State.PENDING, State.RENAMING)


def status(path: Path, *, first: int, as_json: bool) -> int:
    """Print it; 1 if there are dead letters, or the counts do not balance, else 0."""
    facts = collected(find(path).folder)
    if as_json:
        print_json(facts)
    else:
        console = tables.console()
        for table in laid_out(facts, first):
            console.print(table)
    return 1 if facts["dead"] or not facts["balanced"] else 0


def print_json(facts: Any) -> None:
    """Print for programs."""
    json.dump(facts, sys.stdout, indent=2)
    sys.stdout.write("\n")


def collected(folder: Path) -> dict[str, Any]:
    """Return all that is shown, as plain values: oldest first, times in seconds, sizes in bytes."""
    view, now = SpoolView(folder), time.time()
    totals, notes = view.totals(), view.notes()
    pending = [of_entry(entry, now) for entry in view.entries(WAITING)]
    return {
        "spool": str(folder),
        "running": view.running(),
        "totals": dataclasses.asdict(totals),
        "balanced": totals.balanced,
        "archive": {"state": notes.get("archive", ""), "last_error": notes.get("last_error", "")},
        "oldest_pending_age": pending[0]["age"] if pending else None,
        "pending": pending,
        "dead": [of_entry(entry, now) for entry in view.entries([State.DEAD])],
        "quarantined": [_of_quarantined(file, now) for file in view.quarantined()],
        "notes": notes,
    }


def of_entry(entry: Entry, now: float) -> dict[str, Any]:
    """Return what is told of one acknowledged file."""
    file = entry.file
    return {
        "id": file.id,
        "name": file.name,
        "user": file.user,
        "camera": file.camera,
        "size": file.size,
        "digest": file.digest,
        "received": file.received,
        "age": now - file.received,
        "proven": file.proven,
        "state": str(entry.state),
        "refusals": entry.refusals,
        "reason": entry.reason,
    }


def _of_quarantined(file: Quarantined, now: float) -> dict[str, Any]:
    return dataclasses.asdict(file) | {"path": str(file.path), "age": now - file.received}
