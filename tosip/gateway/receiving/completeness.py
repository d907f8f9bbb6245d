"""Whether an upload may be whole: the end of a data connection proves nothing.

Two things may prove it: ALLO, if the client has sent one, and the length that FITS headers imply,
also those inside a file that is packed with gzip or bzip2, which must come to the end of what it
has begun too.
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
from tosip.gateway.receiving.packed_walk import PackedWalk
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
        self._packed = PackedWalk()

    @property
    def size(self) -> int:
        """How many bytes have come."""
        return self._walk.size

    @cached_property
    def header(self) -> Mapping[str, str]:
        """The primary FITS header: values as written, strings without quotes; empty if none.

        Ask when all has come.
        """
        return header_values(self._walk.primary or self._packed.inner.primary)

    def feed(self, block: memoryview | bytes) -> None:
        """Go on with the next bytes; UploadError as soon as they are of a file not wanted."""
        self._walk.feed(block)
        self._packed.feed(block)
        if self._walk.kind is self._packed.kind is Kind.OTHER:
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
        return self._is_whole_packed() or least is not None or size == expected

    def _is_whole_packed(self) -> bool:
        """Judge a packed file; False if it is none, or one whose content is not known as FITS."""
        kind = self._packed.kind
        if kind is Kind.UNDECIDED and not self._named_fits:
            return False
        if fault := self._packed.fault(unpadded=self._policy.unpadded):
            raise UploadError("451", f"{fault} after {self.size} bytes", Fate.QUARANTINE)
        return kind is Kind.FITS

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
