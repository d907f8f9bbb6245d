"""What commands ask of a running gateway, by way of the journal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from tosip.gateway.spool.journal import Journal

Action = Literal["retry", "discard"]


@dataclass(frozen=True)
class Request:
    """Retry or discard dead letters; `ids` None means all there are (to retry)."""

    action: Action
    ids: tuple[str, ...] | None


class Requests:
    """Takes each request once; one whose taker crashed within its next second is taken again."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seen: int | None = None
        self._taken = 0

    def take(self) -> list[Request]:
        """Return what is new; what the last call returned counts as done."""
        version = self._journal.changed_by_others()
        if version == self._seen and not self._taken:
            return []
        rows = self._journal.read(
            "SELECT number, action, ids FROM requests WHERE number>? ORDER BY number", self._taken
        )
        self.forget_taken()
        self._seen = version
        self._taken = rows[-1][0] if rows else 0
        return [
            Request(action, None if ids is None else tuple(json.loads(ids)))
            for _, action, ids in rows
        ]

    def forget_taken(self) -> None:
        """Record that what was taken is done."""
        if self._taken:
            with self._journal.change() as change:
                change.run("DELETE FROM requests WHERE number<=?", self._taken)
            self._taken = 0
