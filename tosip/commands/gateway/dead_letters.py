"""`tosip gateway retry` and `discard`: what a person decides about dead letters.

A running gateway is asked by way of the journal, and has `PATIENCE` seconds to act; without one the
command does it itself, under the spool's lock.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tosip.commands import tables
from tosip.commands.gateway.layout import files
from tosip.commands.gateway.place import Place, find
from tosip.commands.gateway.status import of_entry, print_json
from tosip.errors import ConfigurationError
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import State
from tosip.gateway.spool.view import SpoolView

PATIENCE = 20.0
LOOK = 0.1

Action = Literal["retry", "discard"]
Facts = dict[str, Any]


def retry(path: Path, ids: Sequence[str], *, every: bool, as_json: bool) -> int:
    """Forward dead letters again; 1 if any is dead still, else 0."""
    if every == bool(ids):
        raise ConfigurationError(f"ID: expected ids or --all, got {'both' if every else 'neither'}")
    place = find(path)
    return _do(place, "retry", _chosen(place, ids or None), as_json=as_json)


def discard(path: Path, ids: Sequence[str], *, yes: bool, as_json: bool) -> int:
    """Give up dead letters for good; 1 if any is still there, or the person did not agree."""
    place = find(path)
    chosen = _chosen(place, ids)
    if not yes and not _agreed(chosen):
        sys.stderr.write("nothing was discarded\n")
        return 1
    return _do(place, "discard", chosen, as_json=as_json)


def _dead(place: Place) -> dict[str, Facts]:
    entries = SpoolView(place.folder).entries([State.DEAD])
    return {entry.file.id: of_entry(entry, time.time()) for entry in entries}


def _chosen(place: Place, ids: Sequence[str] | None) -> list[Facts]:
    dead = _dead(place)
    if ids is None:
        return list(dead.values())
    if unknown := [file_id for file_id in dict.fromkeys(ids) if file_id not in dead]:
        raise ConfigurationError(
            f"ID: expected dead letters of {place.folder}, got {', '.join(unknown)}"
        )
    return [dead[file_id] for file_id in dict.fromkeys(ids)]


def _agreed(chosen: Sequence[Facts]) -> bool:
    if not sys.stdin.isatty():
        raise ConfigurationError("--yes: expected it where nobody can be asked, got none")
    tables.console(sys.stderr).print(files("To be discarded for good", chosen, "reason"))
    sys.stderr.write("Discard them? The archive does not have them. [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _do(place: Place, action: Action, chosen: Sequence[Facts], *, as_json: bool) -> int:
    ids = [facts["id"] for facts in chosen]
    if ids:
        _ask_or_act(place, action, ids)
    dead = _dead(place)
    done = "retried" if action == "retry" else "discarded"
    rows = [dead.get(facts["id"], facts) | {"outcome": done} for facts in chosen]
    for row in rows:
        if row["id"] in dead:
            row["outcome"] = f"dead still: {row['reason']}"
    if as_json:
        print_json(rows)
    elif rows:
        tables.console().print(files("Dead letters", rows, "outcome"))
    else:
        sys.stdout.write("no dead letters\n")
    return 1 if any(row["id"] in dead for row in rows) else 0


def _ask_or_act(place: Place, action: Action, ids: Sequence[str]) -> None:
    view = SpoolView(place.folder)
    if not view.running():
        try:
            spool = Spool(place.folder, place.keeping)
        except ConfigurationError:
            # A gateway may have been started just now.
            if not view.running():
                raise
        else:
            _act(spool, action, ids)
            return
    _ask(place, view, action, ids)


def _act(spool: Spool, action: Action, ids: Sequence[str]) -> None:
    try:
        if action == "retry":
            spool.retry(ids)
        else:
            spool.give_up(ids)
    finally:
        spool.close()


def _ask(place: Place, view: SpoolView, action: Action, ids: Sequence[str]) -> None:
    number = view.ask(action, ids)
    end = time.monotonic() + PATIENCE
    # What the gateway has not taken out of the dead when it is done stays there.
    while view.waits(number) and not _dead(place).keys().isdisjoint(ids):
        if time.monotonic() > end:
            error = view.notes().get("last_error", "")
            raise ConfigurationError(
                f"{action}: expected the gateway to act within {PATIENCE:.0f} s, got no sign of it"
                f" (its last error: {error or 'none'}); it will, as soon as it can"
            )
        time.sleep(LOOK)
