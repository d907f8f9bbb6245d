"""A least rate: an archive that takes or sends next to nothing must not hold a worker for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

# Bytes a second, over each time-out.
LEAST_RATE = 1024


class TooSlow(TimeoutError):
    """It moves, but not fast enough to be waited for."""


class Pace:
    """Judges a transfer from now on, by what `moved` tells: bytes that have reached the other end.

    Not what the kernel has taken from us: that may be megabytes, at once, of which nothing goes.
    """

    def __init__(self, moved: Callable[[], int], window: float) -> None:
        self._moved, self._window = moved, window
        self._start, self._before = time.monotonic(), moved()

    def check(self) -> None:
        """Raise TooSlow at the end of a window in which too little has moved; call it often."""
        seconds = time.monotonic() - self._start
        # A little early, because the kernel's clock may tick before the one that we measure with.
        if seconds < 0.9 * self._window:
            return
        moved = self._moved()
        rate = (moved - self._before) / seconds
        if rate < LEAST_RATE:
            raise TooSlow(f"expected at least {LEAST_RATE} bytes/s, got {rate:.0f}")
        self._start, self._before = time.monotonic(), moved
