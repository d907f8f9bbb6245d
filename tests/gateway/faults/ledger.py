"""What simulated cameras know: which uploads they have tried, and how each of them ended."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from tosip.gateway.digest import new_digest


class Ending(StrEnum):
    """How an upload ended, as far as its camera can tell.

    `UNKNOWN`: all bytes were sent, and no reply was read. `BROKEN`: not all bytes were sent.
    """

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    BROKEN = "broken"


@dataclass(frozen=True)
class Attempt:
    """One upload; `names` are all that the file may have on the archive."""

    names: tuple[str, ...]
    size: int
    digest: str
    ending: Ending


@dataclass
class Ledger:
    """Filled by many cameras at once; an upload is acknowledged only when its 226 was read.

    A rename is one more acknowledgement for a file; `renames` are those.
    """

    attempts: list[Attempt] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)
    renames: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, names: Iterable[str], data: bytes, ending: Ending) -> None:
        """Write an attempt down."""
        attempt = Attempt(tuple(names), len(data), digest_of(data), ending)
        with self._lock:
            self.attempts.append(attempt)

    def add_rename(self, name: str, data: bytes) -> None:
        """Write down that an acknowledged file was renamed, and the reply read."""
        self.add((name,), data, Ending.ACKNOWLEDGED)
        with self._lock:
            self.renames += 1

    def wrong(self, what: str) -> None:
        """Write down that the gateway has said what it never should."""
        with self._lock:
            self.wrongs.append(what)

    def ended(self, ending: Ending) -> list[Attempt]:
        """Return the attempts that ended so."""
        return [attempt for attempt in self.attempts if attempt.ending == ending]

    @property
    def acknowledged(self) -> list[Attempt]:
        """What the gateway has promised."""
        return self.ended(Ending.ACKNOWLEDGED)

    def counts(self) -> str:
        """Say in a few words how the attempts ended."""
        counted = Counter(attempt.ending.value for attempt in self.attempts)
        return ", ".join(f"{count} {ending}" for ending, count in sorted(counted.items()))


def digest_of(data: bytes) -> str:
    """Return the hash by which the gateway knows these bytes."""
    digest = new_digest()
    digest.update(data)
    return digest.hexdigest()
