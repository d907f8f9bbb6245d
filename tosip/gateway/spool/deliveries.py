"""How far the delivery of each file is, what the pipeline has done, and what a person decides."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterable
from dataclasses import replace

from tosip.gateway.spool.commit import stands
from tosip.gateway.spool.copies import Copies
from tosip.gateway.spool.disk import Disk
from tosip.gateway.spool.journal import Change, Journal
from tosip.gateway.spool.stored import Entry, State

ROWS = 500
ASKED_AGAIN = (State.RENAMING, State.DELIVERED)
FINAL = (State.DELIVERED, State.DUPLICATE, State.DISCARDED)


class Deliveries:
    """Records it; a copy that nobody needs any more goes."""

    def __init__(self, disk: Disk, journal: Journal, copies: Copies) -> None:
        self._disk, self._journal, self._copies = disk, journal, copies

    def mark(
        self, file_id: str, state: State, target: str, reason: str, refusals: int
    ) -> Entry | None:
        """Record how far a delivery is; what is delivered, duplicate or discarded stays so.

        What the archive can be asked for again is not synced.
        """
        with self._journal.change(lasting=state not in ASKED_AGAIN) as change:
            entry = change.get(file_id)
            if entry is None or entry.state in FINAL:
                return entry
            after = replace(entry, state=state, target=target, reason=reason, refusals=refusals)
            entry = change.replace(entry, after)
        self._finish([entry])
        return entry

    def release(self, file_id: str) -> None:
        """Record that the pipeline is done with a file.

        Not synced: if a power failure undoes it, the pipeline gets the file once more, or, if its
        copy has gone, it is known to have been released.
        """
        with self._journal.change(lasting=False) as change:
            entry = change.get(file_id)
            if entry is None or entry.released:
                return
            entry = change.replace(entry, replace(entry, released=True))
        self._finish([entry])

    def retry(self, ids: Collection[str] | None) -> list[Entry]:
        """Give dead letters whose copies are there another chance; return these."""
        with self._journal.change() as change:
            return [
                change.replace(entry, replace(entry, state=State.PENDING, reason="", refusals=0))
                for entry in _dead(change, ids)
                if entry.file.path.exists()
            ]

    def give_up(self, ids: Collection[str]) -> list[Entry]:
        """Discard dead letters, as a person has decided; return these."""
        with self._journal.change() as change:
            given_up = [
                change.replace(entry, replace(entry, state=State.DISCARDED, released=True))
                for entry in _dead(change, ids)
            ]
        self._finish(given_up)
        return given_up

    def overdue(self, hold: float) -> list[Entry]:
        """Deliver what was held for longer than `hold` seconds under the name that it has.

        So does what comes from a future as far away: the clock was set back. One that another file
        stands for becomes its duplicate.
        """
        now = self._disk.now()
        held = "state=? AND (received<=? OR received>=?) ORDER BY received, id"
        condition = (held, State.HELD, now - hold, now + hold)
        if not self._journal.entries(*condition):
            return []
        with self._journal.change() as change:
            ended = [_end_hold(change, entry) for entry in change.entries(*condition)]
        self._finish(ended)
        return ended

    def dead(self, most: int) -> list[Entry]:
        """Return what waits for a person, oldest first; at most so many, unless negative."""
        newest = "state=? ORDER BY received DESC, id DESC LIMIT ?"
        return self._journal.entries(newest, State.DEAD, most)[::-1]

    def forget(self, before: float, end: float) -> None:
        """Forget files received before then that nobody needs, until the monotonic clock says.

        Not before their copies are gone: a start that found a copy that nobody knows of would count
        it as another file. So of each state the oldest go, up to the first that has a copy yet;
        there may be too many of these to ask about all.
        """
        while self._forget_some(before) == ROWS and time.monotonic() < end:
            pass

    def _forget_some(self, before: float) -> int:
        forgotten = 0
        for state in FINAL:
            ids = self._without_copies(state, before, ROWS - forgotten)
            if ids:
                with self._journal.change(lasting=False) as change:
                    for file_id in ids:
                        change.run("DELETE FROM files WHERE id=?", file_id)
            forgotten += len(ids)
        return forgotten

    def _without_copies(self, state: State, before: float, most: int) -> list[str]:
        rows = self._journal.read(
            "SELECT id FROM files WHERE state=? AND received<? AND released=1"
            " ORDER BY received LIMIT ?",
            *(state, before, most),
        )
        ids = (file_id for (file_id,) in rows)
        return list(itertools.takewhile(lambda file_id: not self._copies.has(file_id), ids))

    def _finish(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.state in FINAL and entry.released:
                self._copies.finish(entry)


def _end_hold(change: Change, entry: Entry) -> Entry:
    if stands(change, entry.file):
        return change.replace(entry, replace(entry, state=State.DUPLICATE, released=True))
    return change.replace(entry, replace(entry, state=State.PENDING))


def _dead(change: Change, ids: Collection[str] | None) -> list[Entry]:
    if ids is None:
        return change.entries("state=? ORDER BY received, id", State.DEAD)
    found = (change.get(file_id) for file_id in dict.fromkeys(ids))
    return [entry for entry in found if entry is not None and entry.state == State.DEAD]
