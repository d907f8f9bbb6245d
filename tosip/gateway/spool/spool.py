"""The durable spool: a folder where an acknowledged file survives whatever happens to us.

`layout` tells what is where in it, `commit` how a file gets there so that it stays, `recovery` what
a start does after a crash. Every method blocks and may be called from any thread; when the disk or
the journal fails they raise OSError, and what was not done does not count.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

from tosip.errors import ConfigurationError
from tosip.gateway import lives
from tosip.gateway.settings import Keeping
from tosip.gateway.spool.commit import Committer
from tosip.gateway.spool.copies import Copies
from tosip.gateway.spool.deliveries import Deliveries
from tosip.gateway.spool.disk import Disk
from tosip.gateway.spool.ids import Ids
from tosip.gateway.spool.kept import Kept
from tosip.gateway.spool.layout import Layout, take_lock
from tosip.gateway.spool.names import NameFacts, Names
from tosip.gateway.spool.notes import Notes
from tosip.gateway.spool.opening import open_journal
from tosip.gateway.spool.partial import Description, NoPartialError, Partial
from tosip.gateway.spool.quarantine import Quarantine, Quarantined
from tosip.gateway.spool.recovery import Recovery, drop_unfinished
from tosip.gateway.spool.requests import Request, Requests
from tosip.gateway.spool.reserve import Reserve
from tosip.gateway.spool.retention import each_until, too_much
from tosip.gateway.spool.stored import Entry, State, Totals

__all__ = ["Description", "NameFacts", "NoPartialError", "Partial", "Quarantined", "Spool"]

SWEEP_TIME = 0.25
STEPS = {State.PENDING: "committed", State.HELD: "held", State.DUPLICATE: "duplicate"}


class Spool:
    """The spool in one folder; opening takes its lock and recovers it, `close` gives it back."""

    def __init__(
        self, folder: Path, keeping: Keeping | None = None, disk: Disk | None = None
    ) -> None:
        self.folder = folder
        self._keeping = keeping or Keeping()
        self._disk = disk or Disk()
        self._layout = Layout(folder)
        self._reserve = Reserve(self._layout, self._disk)
        self._layout.make(self._disk)
        self._lock = take_lock(self._layout)
        try:
            self._open()
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, OSError):
                raise self._unusable(error) from None
            raise

    def _open(self) -> None:
        layout, disk = self._layout, self._disk
        drop_unfinished(layout, disk)
        self._journal = self._reserve.spend(lambda: open_journal(layout, disk))
        try:
            self._kept = Kept(layout, disk)
            self._copies = Copies(layout, disk, self._journal, self._keeping)
            self._quarantine = Quarantine(layout, disk, self._journal)
            recovery = Recovery(layout, disk, self._journal)
            self._reserve.spend(
                lambda: recovery.recover(self._kept, self._copies, self._quarantine.shelf)
            )
            self._committer = Committer(layout, disk, self._journal)
            self._deliveries = Deliveries(disk, self._journal, self._copies)
            self._names = Names(layout, disk, self._journal, self._kept, self._copies)
            self._requests = Requests(self._journal)
            self._notes = Notes(self._journal)
            self._reserve.fill()
            self._ids = Ids(self._newest_id())
        except BaseException:
            self._journal.close()
            raise

    def _unusable(self, error: OSError) -> ConfigurationError:
        wanted = "room on its disk" if self._reserve.is_wanted(error) else "a folder to work in"
        return ConfigurationError(f"Spool.folder: expected {wanted}, got {self.folder} ({error})")

    def close(self) -> None:
        """Let another gateway have the spool."""
        with contextlib.suppress(OSError):
            self.settle()
        self._journal.close()
        os.close(self._lock)

    @property
    def totals(self) -> Totals:
        """The counters of one moment, at once."""
        return self._journal.totals

    def oldest_pending(self) -> float | None:
        """Return when the file that waits longest was received (Unix time), at once."""
        return self._journal.oldest()

    def free_space(self) -> int:
        """Return the bytes that are left on the spool's disk."""
        return self._disk.free_space(self.folder)

    def begin(self) -> Partial:
        """Open a file for an upload, under an id that sorts by time and never comes again."""
        path = self._layout.partial / self._ids.next(self._disk.now())
        return Partial(self._disk, path, self._disk.create(path))

    def resume(self, user: str, name: str, offset: int) -> Partial:
        """Open an interrupted upload of the same user, at its exact size, to go on with it.

        Its bytes are the ones that came; NoPartialError, which tells what there is, if not.
        """
        return self._kept.resume(user, name, offset)

    def commit(self, partial: Partial, description: Description) -> Entry:
        """Make an upload durable; when this returns it may be acknowledged, and not before.

        The entry is held, pending, or a duplicate of another one. After an error nothing is left
        of the upload.
        """
        began = time.perf_counter()
        entry = self._committer.commit(partial, description)
        self._kept.forget(description.user, description.name)
        lives.tell(STEPS[entry.state], **entry.file.facts, seconds=time.perf_counter() - began)
        return entry

    def keep(
        self, partial: Partial, description: Description, wanted: Callable[[], bool] = lambda: True
    ) -> None:
        """Keep an interrupted upload, to be resumed; one that is empty or not `wanted` goes.

        `wanted` is asked when `supersede` cannot come between the answer and what follows from it.
        """
        self._kept.keep(partial, description, wanted)

    def supersede(self, user: str, name: str) -> None:
        """Remove for good what there is to resume: another upload of the name has begun."""
        self._kept.supersede(user, name)

    def quarantine(self, partial: Partial, description: Description, reason: str) -> None:
        """Put a refused upload where people may look at it."""
        self._quarantine.put(partial, description, reason)

    def discard(self, partial: Partial) -> None:
        """Drop an upload that was not committed; may be repeated."""
        self._kept.discard(partial)

    def rename(self, user: str, old: str, new: str, held: bool, camera: str | None = None) -> Entry:
        """Rename a user's own held file; held again if the new name is a temporary one too.

        It is of `camera` from now on (None: as before). On disk when this returns; LookupError,
        with a sentence, if there is no such file.
        """
        began = time.perf_counter()
        entry = self._names.rename(user, old, new, held, camera)
        lives.tell("renamed", **entry.file.facts, seconds=time.perf_counter() - began)
        return entry

    def hide(self, user: str, name: str) -> bool:
        """List a user's own name no longer; what was acknowledged is delivered all the same."""
        return self._names.hide(user, name)

    def facts(self, user: str, name: str) -> NameFacts | None:
        """Return what the newest upload under a user's own name is."""
        return self._names.facts(user, name)

    def names(self, user: str) -> list[NameFacts]:
        """Return what a user has uploaded, the newest under each name."""
        return self._names.of(user)

    def mark(
        self, file_id: str, state: State, target: str = "", reason: str = "", refusals: int = 0
    ) -> Entry | None:
        """Record how far a delivery is; a copy that nobody needs any more goes at `settle`.

        What is delivered, duplicate or discarded stays so; None if the id is unknown. A power
        failure may undo it: the archive then has to be asked.
        """
        return self._reserve.spend(
            lambda: self._deliveries.mark(file_id, state, target, reason, refusals)
        )

    def release(self, file_id: str) -> None:
        """Record that the pipeline is done with a file; see `mark`."""
        self._reserve.spend(lambda: self._deliveries.release(file_id))

    def retry(self, ids: Collection[str] | None) -> list[Entry]:
        """Give dead letters (None: all) another chance; return those that have one."""
        return self._reserve.spend(lambda: self._deliveries.retry(ids))

    def give_up(self, ids: Collection[str]) -> list[Entry]:
        """Discard dead letters, as a person has decided; return these."""
        return self._reserve.spend(lambda: self._deliveries.give_up(ids))

    def overdue(self, hold: float) -> list[Entry]:
        """Deliver what was held for `hold` seconds under the name that it has; return it.

        Among it may be duplicates, which need nothing more.
        """
        return self._reserve.spend(lambda: self._deliveries.overdue(hold))

    def dead(self, most: int = -1) -> list[Entry]:
        """Return what waits for a person, oldest first; the newest `most` if not negative."""
        return self._deliveries.dead(most)

    def quarantined(self) -> list[Quarantined]:
        """Return what is in the quarantine, oldest first."""
        return self._quarantine.entries()

    def take_requests(self) -> list[Request]:
        """Return what commands have asked for; each request comes again until it is done."""
        return self._requests.take()

    def finish_request(self, request: Request) -> None:
        """Record that a request was acted on."""
        self._reserve.spend(lambda: self._requests.done(request))

    def note(self, **facts: str) -> None:
        """Note small facts for `SpoolView.notes`."""
        self._notes.write(facts)

    def reconcile(self) -> list[Entry]:
        """Return all that still needs delivery, holding or release, oldest first."""
        return self._journal.entries(
            "id IN (SELECT id FROM files WHERE state IN ('held', 'pending', 'renaming')"
            " UNION SELECT id FROM files WHERE released=0) ORDER BY received, id"
        )

    def spare(self, most: int) -> list[Entry]:
        """Return the oldest files that are delivered and wait for the pipeline only."""
        # The plus keeps SQLite from going through all that was ever delivered.
        return self._journal.entries(
            "released=0 AND +state=? ORDER BY received, id LIMIT ?", State.DELIVERED, most
        )

    def newest(self) -> list[Entry]:
        """Return the newest file of each camera."""
        return self._journal.entries("id IN (SELECT MAX(id) FROM files GROUP BY camera)")

    def settle(self) -> None:
        """Remove, or retain, the copies that nobody needs any more; call it once a second or so."""
        self._reserve.spend(self._copies.settle)
        if self.totals.dead:
            self._reserve.yield_to_others()

    def sweep(self) -> None:
        """Remove what is too old or too much, for a fraction of a second; call it now and then."""
        keeping, end = self._keeping, time.monotonic() + SWEEP_TIME
        self._reserve.fill()
        self._copies.shelf.expire(keeping.delivered_age, keeping.delivered_bytes, end)
        self._quarantine.shelf.expire(keeping.quarantine_age, keeping.quarantine_bytes, end)
        now = self._disk.now()
        partials = too_much(self._kept.items(), now, keeping.partial_age, keeping.partial_bytes)
        each_until(end, partials, self._kept.expire)
        self._deliveries.forget(now - keeping.history, end)

    def _newest_id(self) -> str:
        (row,) = self._journal.read("SELECT MAX(id) FROM files")
        folders = (self._layout.partial, self._layout.quarantine)
        found = [path.name for folder in folders for path in folder.iterdir()]
        return max([*found, row[0] or ""])
