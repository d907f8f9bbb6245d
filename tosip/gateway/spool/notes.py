"""Small facts that a running gateway leaves for people who look from outside."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from tosip.gateway.spool.journal import Journal
from tosip.gateway.spool.schema import plain


class Notes:
    """Writes what has changed; not synced, since they are of no use after a power failure."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._written: dict[str, str] = {}

    def write(self, facts: Mapping[str, str]) -> None:
        """Note facts, each under its name."""
        with self._lock:
            new = {name: value for name, value in facts.items() if self._written.get(name) != value}
            if not new:
                return
            with self._journal.change(lasting=False) as change:
                for name, value in new.items():
                    change.run("INSERT OR REPLACE INTO notes VALUES (?, ?)", name, plain(value))
            self._written.update(new)
