"""Whether the last good result has become too old to be believed."""

import asyncio
from collections.abc import Callable


class Freshness:
    """Tells when no good result has come for `limit` seconds; with 0 s they never get too old.

    What is `stale` stays so until `renew`, whatever becomes of the limit: the value is as old as
    before. `on_stale` is called once each time.
    """

    def __init__(self, limit: float, on_stale: Callable[[], None]) -> None:
        self.stale = False
        self._limit = limit
        self._on_stale = on_stale
        self._renewed: float | None = None  # loop.time; None: no result that could get old
        self._timer: asyncio.TimerHandle | None = None

    @property
    def limit(self) -> float:
        """The greatest age in seconds, 0 for any; counted from the last good result if changed."""
        return self._limit

    @limit.setter
    def limit(self, limit: float) -> None:
        self._limit = limit
        self._stop_timer()
        self._watch()

    def renew(self) -> None:
        """Note that there is a good result."""
        self._renewed = asyncio.get_running_loop().time()
        self.stale = False
        if self._timer is None:  # one that runs looks again when it is due
            self._watch()

    def stop(self) -> None:
        """Let the last result be, however old it gets."""
        self._renewed = None
        self._stop_timer()

    def _watch(self) -> None:
        if self._renewed is None or self._limit <= 0.0 or self.stale:
            return
        loop = asyncio.get_running_loop()
        due = self._renewed + self._limit
        if due > loop.time():
            self._timer = loop.call_at(due, self._look)
        else:
            self.stale = True
            self._on_stale()

    def _look(self) -> None:
        self._timer = None
        self._watch()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None
