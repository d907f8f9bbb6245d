"""How fast something goes, over the last seconds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW = 10.0


class Rate:
    """`add` what was done when it is done; `value` is what was done a second, lately."""

    def __init__(self, window: float = WINDOW, clock: Callable[[], float] = time.monotonic) -> None:
        self._window, self._clock = window, clock
        self._done: deque[tuple[float, float]] = deque()
        self._sum = 0.0

    def add(self, amount: float) -> None:
        """Count an amount."""
        self._done.append((self._clock(), amount))
        self._sum += amount
        self._forget()

    @property
    def value(self) -> float:
        """Amount a second."""
        self._forget()
        return self._sum / self._window

    def _forget(self) -> None:
        begin = self._clock() - self._window
        while self._done and self._done[0][0] < begin:
            self._sum -= self._done.popleft()[1]
        if not self._done:
            self._sum = 0.0  # what rounding has left
