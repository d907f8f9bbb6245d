"""The names under which users see what they have uploaded.

The newest of one name is that with the highest id: times go back when the clock does.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from tosip.gateway.spool.commit import stands
from tosip.gateway.spool.copies import Copies
from tosip.gateway.spool.disk import Disk, remove
from tosip.gateway.spool.journal import Change, Journal
from tosip.gateway.spool.kept import Kept, KeptPartial
from tosip.gateway.spool.layout import Layout, sidecar
from tosip.gateway.spool.partial import Description
from tosip.gateway.spool.schema import plain, text
from tosip.gateway.spool.sidecar import Sidecar, encode
from tosip.gateway.spool.stored import Entry, State, StoredFile

VISIBLE = "user=? AND hidden=0 AND state!='discarded'"


@dataclass(frozen=True)
class NameFacts:
    """What is listed; `modified` is Unix time; a `partial` may be resumed at its size."""

    name: str
    size: int
    modified: float
    partial: bool = False


class Names:
    """Looks up, renames and hides names."""

    def __init__(
        self, layout: Layout, disk: Disk, journal: Journal, kept: Kept, copies: Copies
    ) -> None:
        self._layout, self._disk, self._journal = layout, disk, journal
        self._kept, self._copies = kept, copies

    def facts(self, user: str, name: str) -> NameFacts | None:
        """Return what the newest upload under a name is; None if there is none."""
        rows = self._journal.read(
            f"SELECT id, size, received FROM files WHERE {VISIBLE} AND name=?"  # noqa: S608
            " ORDER BY id DESC LIMIT 1",
            plain(user),
            plain(name),
        )
        kept = self._kept.find(user, name)
        if kept is not None and (not rows or rows[0][0] < kept.id):
            return _partial_facts(kept)
        return NameFacts(name, *rows[0][1:]) if rows else None

    def of(self, user: str) -> list[NameFacts]:
        """Return the newest upload under each name of a user, in order of names."""
        rows = self._journal.read(
            "SELECT name, size, received, MAX(id) FROM files"  # noqa: S608
            f" WHERE {VISIBLE} GROUP BY name",
            plain(user),
        )
        found = {text(name): NameFacts(text(name), *facts) for name, *facts, _ in rows}
        newest = {text(name): file_id for name, *_, file_id in rows}
        for kept in self._kept.of(user):
            if newest.get(kept.description.name, "") < kept.id:
                found[kept.description.name] = _partial_facts(kept)
        return [found[name] for name in sorted(found)]

    def hide(self, user: str, name: str) -> bool:
        """Remove an interrupted upload, list acknowledged ones no longer; tell if there were any.

        What was acknowledged is delivered all the same.
        """
        forgotten = self._kept.forget(user, name)
        with self._journal.change() as change:
            rows = change.run(
                f"UPDATE files SET hidden=1 WHERE {VISIBLE} AND name=? RETURNING id",  # noqa: S608
                plain(user),
                plain(name),
            )
        return forgotten or bool(rows)

    def rename(self, user: str, old: str, new: str, held: bool, camera: str | None) -> Entry:
        """Give the newest held file of this name another, and a camera unless that is None.

        On disk when this returns.
        """
        described: Entry | None = None
        try:
            with self._journal.change() as change:
                described = before = self._held(change, user, old)
                file = before.file
                file = replace(file, name=new, camera=file.camera if camera is None else camera)
                after = _renamed(change, before, file, held)
                change.replace(before, after)
                self._describe(after, held)
        except OSError:
            if described is not None:
                with contextlib.suppress(OSError):
                    self._describe(described, held=True)
            raise
        if after.state == State.DUPLICATE:
            self._copies.remove(after.file.path)
        return after

    @staticmethod
    def _held(change: Change, user: str, name: str) -> Entry:
        found = change.entries(
            f"{VISIBLE} AND name=? AND state=? ORDER BY id DESC LIMIT 1",
            plain(user),
            plain(name),
            State.HELD,
        )
        if not found:
            raise LookupError(f"expected an upload under a temporary name, got {name}")
        return found[0]

    def _describe(self, entry: Entry, held: bool) -> None:
        """Write the description of a renamed file, for the day when the journal is lost."""
        file = entry.file
        facts = Description(
            file.name, file.user, file.size, file.digest, file.proven, file.camera, held
        )
        new = self._layout.partial / f"{file.id}.json"
        try:
            self._disk.write_small(new, encode(Sidecar(facts, file.received)))
            self._disk.rename(new, sidecar(file.path))
            self._disk.sync_folder(self._layout.files)
        except BaseException:
            remove(self._disk, new)
            raise


def _renamed(change: Change, entry: Entry, file: StoredFile, held: bool) -> Entry:
    if not held and stands(change, file):
        return replace(entry, file=file, state=State.DUPLICATE, released=True)
    return replace(entry, file=file, state=State.HELD if held else State.PENDING)


def _partial_facts(kept: KeptPartial) -> NameFacts:
    return NameFacts(kept.description.name, kept.description.size, kept.kept, partial=True)
