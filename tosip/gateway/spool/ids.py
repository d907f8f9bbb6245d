"""Ids of uploads."""

from __future__ import annotations

import secrets
import threading


class Ids:
    """Ids that sort by time and never come again, even when the clock is set back."""

    def __init__(self, newest: str) -> None:
        self._lock = threading.Lock()
        try:
            self._last = int(newest.partition("-")[0] or "0", 16)
        except ValueError:
            self._last = 0

    def next(self, now: float) -> str:
        """Return the next one; `now` is Unix time."""
        with self._lock:
            self._last = max(self._last + 1, int(now * 1e9))
            return f"{self._last:016x}-{secrets.token_hex(4)}"
