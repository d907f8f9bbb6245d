"""The quarantine: uploads that ended short, kept for people to look at, never forwarded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tosip.gateway.spool.disk import Disk, remove
from tosip.gateway.spool.journal import Journal
from tosip.gateway.spool.layout import Layout, kept, sidecar
from tosip.gateway.spool.partial import Description, Partial
from tosip.gateway.spool.retention import Shelf
from tosip.gateway.spool.sidecar import Sidecar, encode, read


@dataclass(frozen=True)
class Quarantined:
    """A refused upload; `received` is Unix time, `reason` what the camera was told."""

    id: str
    path: Path
    name: str
    user: str
    camera: str
    size: int
    received: float
    reason: str


class Quarantine:
    """Puts uploads there and lists them."""

    def __init__(self, layout: Layout, disk: Disk, journal: Journal) -> None:
        self.shelf = Shelf(layout.quarantine, disk)
        self._layout, self._disk, self._journal = layout, disk, journal

    def put(self, partial: Partial, description: Description, reason: str) -> None:
        """Keep an upload with the reason for its refusal; after an OSError nothing is left."""
        path = self._layout.quarantine / partial.id
        facts = Sidecar(replace(description, size=partial.size), self._disk.now(), reason)
        try:
            partial.sync()
            self._disk.write_small(sidecar(path), encode(facts))
            self._disk.rename(partial.path, path)
            self._disk.sync_folder(path.parent)
            with self._journal.change() as change:
                quarantined = change.totals.quarantined + 1
                change.totals = replace(change.totals, quarantined=quarantined)
        except BaseException:
            remove(self._disk, partial.path, path, sidecar(path))
            raise
        finally:
            partial.close()
            remove(self._disk, kept(partial.path))
        self.shelf.add(partial.id, partial.size, facts.received)

    def entries(self) -> list[Quarantined]:
        """Return what is there, oldest first."""
        return list_quarantined(self._layout)


def list_quarantined(layout: Layout) -> list[Quarantined]:
    """Return what is in the quarantine, oldest first."""
    found = []
    for path in sorted(layout.quarantine.glob("*.json")):
        copy = path.with_suffix("")
        facts = read(path)
        if facts is not None and copy.exists():
            described = facts.description
            found.append(
                Quarantined(
                    id=copy.name,
                    path=copy,
                    name=described.name,
                    user=described.user,
                    camera=described.camera,
                    size=described.size,
                    received=facts.received,
                    reason=facts.reason,
                )
            )
    return found
