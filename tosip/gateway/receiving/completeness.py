"""Whether an upload may be whole: the end of a data connection proves nothing.

Two things may prove it: ALLO, if the client has sent one, and the length that FITS headers imply.
Fewer bytes than either of them says are refused. More are taken: ALLO asks for room, and special
records may trail a FITS file. With ALLO just the number that it named counts as a proof; with FITS
headers the length that they imply, or more.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import PurePosixPath

from tosip.gateway.receiving.fits_cards import BLOCK, header_values
from tosip.gateway.receiving.fits_walk import FIRST, FitsWalk, Kind
from tosip.gateway.receiving.refusal import Fate, UploadError
from tosip.gateway.settings import Policy

FITS_SUFFIXES = frozenset({".fits", ".fit", ".fts", ".fz"})


class Completeness:
    """`feed` it all bytes of a file called `name`, then ask for the `verdict`.

    `expected` is the number of bytes that ALLO named, None without one.
    """

    def __init__(
        self, name: str, expected: int | None = None, policy: Policy | None = None
    ) -> None:
        self._expected = expected
        self._policy = Policy() if policy is None else policy
        suffixes = PurePosixPath(name.lower()).suffixes
        self._named_fits = not FITS_SUFFIXES.isdisjoint(suffixes)
        self._walk = FitsWalk()

    @property
    def size(self) -> int:
        """How many bytes have come."""
        return self._walk.size

    @cached_property
    def header(self) -> Mapping[str, str]:
        """The primary FITS header: values as written, strings without quotes; empty if none.

        Ask when all has come.
        """
        return header_values(self._walk.primary)

    def feed(self, block: memoryview | bytes) -> None:
        """Go on with the next bytes; UploadError as soon as they are of a file not wanted."""
        self._walk.feed(block)
        if self._walk.kind is Kind.OTHER:
            self._refuse_other()

    def verdict(self) -> bool:
        """Tell whether the file is proven to be whole; UploadError if it is known not to be."""
        size, expected = self.size, self._expected
        if expected is not None and size < expected:
            raise _short(expected, "ALLO", size)
        least = self._walk.least(unpadded=self._policy.unpadded)
        if self._walk.kind is Kind.UNDECIDED:
            least = self._undecided()
        if least is not None and size < least:
            raise _short(least, "FITS headers", size)
        return least is not None or size == expected

    def _undecided(self) -> int | None:
        """Judge a file that is shorter than what shows a FITS file, and looks like one so far."""
        if self._named_fits:
            return BLOCK
        self._refuse_other()
        return None

    def _refuse_other(self) -> None:
        if self._policy.other_files == "refuse":
            raise UploadError("550", f"expected a FITS file, which begins with {FIRST.decode()!r}")


def _short(expected: int, why: str, size: int) -> UploadError:
    return UploadError("451", f"expected {expected} bytes ({why}), got {size}", Fate.QUARANTINE)
