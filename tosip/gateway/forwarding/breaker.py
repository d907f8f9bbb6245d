"""When to leave the archive in peace: one try at a time, ever longer pauses, until one succeeds."""

from __future__ import annotations

import random
from enum import StrEnum

# So many different files refused, and none taken: then it is not about the files.
REFUSED_IN_A_ROW = 3


class ArchiveState(StrEnum):
    """How the last try went.

    `UNREACHABLE`: no connection, or it was lost, or no answer in time. `REFUSING`: it answers, but
    takes nothing now.
    """

    UNKNOWN = "Not tried"
    OK = "OK"
    UNREACHABLE = "Unreachable"
    REFUSING = "Refusing"
    PAUSED = "Paused"


class Breaker:
    """Times are those of the event loop's clock; delays double from `first` to `longest`."""

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._failures = 0
        self._refused: set[str] = set()
        self._probe: object | None = None
        self._trying: set[object] = set()
        self.next_try = 0.0
        self.successes = 0
        self.state = ArchiveState.UNKNOWN

    @property
    def is_open(self) -> bool:
        """Whether only one try at a time is allowed."""
        return self.state != ArchiveState.OK

    @property
    def is_probing(self) -> bool:
        """Whether that one try is under way."""
        return self._probe is not None

    def allows(self, now: float) -> bool:
        """Tell whether a try may begin now."""
        return not self.is_open or (self._probe is None and now >= self.next_try)

    def begin(self, who: object) -> None:
        """Note that a try begins; `end` must follow."""
        self._trying.add(who)
        if self.is_open:
            self._probe = who

    def end(self, who: object) -> None:
        """Note that a try has ended, however it did."""
        self._trying.discard(who)
        if self._probe is who:
            self._probe = None

    @property
    def at_most(self) -> int:
        """How many successes there will be of tries that have begun until now."""
        return self.successes + len(self._trying)

    def works(self, *, delivered: bool = True) -> None:
        """Note that the archive does what it should; all may go on.

        Only a file that it has taken is a success: one that is full lets us in, too.
        """
        self._failures = 0
        self._refused.clear()
        self.successes += delivered
        self.state = ArchiveState.OK

    def refused(self, who: object, file_id: str, now: float) -> None:
        """Note that the archive does not take a file, which need not be the archive's fault."""
        self._refused.add(file_id)
        if len(self._refused) >= REFUSED_IN_A_ROW:
            self.fails(who, ArchiveState.REFUSING, now)
        elif self.is_open:
            # It answers: another file may be tried at once.
            self.state, self.next_try = ArchiveState.REFUSING, now

    def fails(self, who: object, state: ArchiveState, now: float) -> bool:
        """Note a failure of the archive's; True if this is where an outage begins.

        Those that were under way when it began are one failure with it.
        """
        begins = self.state in (ArchiveState.OK, ArchiveState.UNKNOWN)
        if begins or self._probe is who:
            self._failures += 1
            self.next_try = now + self.delay(self._failures)
        self.state = state
        return begins

    def hurry(self) -> None:
        """Forget the pause: the next try may begin at once."""
        self.next_try = 0.0

    def delay(self, failures: int) -> float:
        """Return a pause after so many failures, jittered so that nothing beats in step."""
        delay = min(self._first * 2.0 ** min(failures - 1, 30), self._longest)
        return delay * random.uniform(0.5, 1.0)  # noqa: S311, no secret
