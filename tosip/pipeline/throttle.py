"""The limit on the bytes a port gives out in a second (MaxByteRate)."""

import math


class Throttle:
    """A bucket which holds one second's worth of bytes and fills at `limit` bytes per second.

        throttle = Throttle(1e6)
        throttle.take(array.data.nbytes, time.monotonic())  # False: drop this array

    An array larger than the bucket goes through when the bucket is full and leaves it in debt, so
    that in any T seconds no more goes out than T * limit and one second's worth or one array,
    whichever is larger. (areaDetector would refuse such an array for ever.)
    """

    def __init__(self, limit: float = 0.0) -> None:
        self._limit = limit
        self._level = math.inf  # full, whatever the limit
        self._filled = 0.0

    @property
    def limit(self) -> float:
        """In bytes per second, 0 for none; a new limit starts with a full bucket and no debt."""
        return self._limit

    @limit.setter
    def limit(self, limit: float) -> None:
        if limit != self._limit:
            self._limit = limit
            self._level = math.inf

    def take(self, size: int, now: float) -> bool:
        """Return whether an array of `size` bytes may go out `now` (`time.monotonic`)."""
        if self.limit <= 0:
            return True
        self._level = min(self.limit, self._level + (now - self._filled) * self.limit)
        self._filled = now
        if self._level < min(size, self.limit):
            return False
        self._level -= size
        return True
