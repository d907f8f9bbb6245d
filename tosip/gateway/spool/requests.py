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

    number: int
    action: Action
    ids: tuple[str, ...] | None


class Requests:
    """Keeps each request until somebody says that it is done, whatever happens to who took it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seen: int | None = None
        self._any_wait = False

    def take(self) -> list[Request]:
        """Return all that wait, the first one first; each comes again until it is `done`."""
        version = self._journal.changed_by_others()
        if version == self._seen and not self._any_wait:
            return []
        rows = self._journal.read("SELECT number, action, ids FROM requests ORDER BY number")
        self._seen, self._any_wait = version, bool(rows)
        return [
            Request(number, action, None if ids is None else tuple(json.loads(ids)))
            for number, action, ids in rows
        ]

    def done(self, request: Request) -> None:
        """Record that a request was acted on."""
        with self._journal.change() as change:
            change.run("DELETE FROM requests WHERE number=?", request.number)
