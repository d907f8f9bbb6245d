"""What is known about a file that the gateway has acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    """How far a file has come.

    `HELD` has a temporary name and waits to be renamed. `PENDING` must be delivered; `RENAMING`
    too, and the archive may have given it its final name already. `DELIVERED` is verified on the
    archive. `DEAD` was given up after refusals, and waits for a person. `DUPLICATE` has
    user, camera, name and bytes of another file, which stands for it. `DISCARDED` was given up by a
    person.
    """

    HELD = "held"
    PENDING = "pending"
    RENAMING = "renaming"
    DELIVERED = "delivered"
    DEAD = "dead"
    DUPLICATE = "duplicate"
    DISCARDED = "discarded"


@dataclass(frozen=True)
class StoredFile:
    """One acknowledged upload; two uploads of one name are two of these.

    `path` is the spool's copy: read it, never change it; it stays until the file is delivered and
    released. `name` is the virtual path as uploaded (or renamed), without a leading slash. `digest`
    is the hash of its bytes (`tosip.gateway.digest`). `received` is Unix time. `proven` tells that
    FITS headers or ALLO showed the file to be whole; other files are accepted as they came.
    `camera` is whom it belongs to, by configuration; empty if nobody could tell.
    """

    id: str
    name: str
    user: str
    path: Path
    size: int
    digest: str
    received: float
    proven: bool = False
    camera: str = ""

    @property
    def facts(self) -> dict[str, object]:
        """What each log line about the file tells."""
        known = {"id": self.id, "camera": self.camera, "name": self.name}
        return {**known, "size": self.size, "hash": self.digest}


@dataclass(frozen=True)
class Entry:
    """A file with what has been done about it.

    `target` is the archive's name for it, once one was chosen; `reason` why it is dead; `refusals`
    how often the archive has refused it. `released`: the pipeline is done with it.
    """

    file: StoredFile
    state: State = State.PENDING
    target: str = ""
    reason: str = ""
    refusals: int = 0
    released: bool = False


@dataclass(frozen=True)
class Totals:
    """Counts since the spool was made, one consistent moment of them.

    Always: acknowledged = delivered + pending + dead + duplicates + discarded, where `pending`
    includes what is held or being delivered, and `dead` those that still wait for a person.
    """

    acknowledged: int = 0
    delivered: int = 0
    pending: int = 0
    dead: int = 0
    duplicates: int = 0
    discarded: int = 0
    quarantined: int = 0
    bytes_acknowledged: int = 0
    bytes_delivered: int = 0
    bytes_pending: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every acknowledged file is accounted for."""
        known = self.delivered + self.pending + self.dead + self.duplicates + self.discarded
        return self.acknowledged == known
