"""How long a FITS file is inside gzip or bzip2, found while its packed bytes stream by.

What is unpacked is walked like a plain FITS file and dropped: a mebibyte is held at a time. A file
that unpacks to more than `MOST` is not judged, so that a small upload cannot cost much time.
"""

from __future__ import annotations

from tosip.gateway.receiving.fits_cards import BLOCK
from tosip.gateway.receiving.fits_walk import FitsWalk, Kind
from tosip.unpacking import MAGICS, Unpacker

MOST = 1 << 30  # bytes unpacked; no camera's frame is larger
_STEP = 1 << 16  # packed bytes at a time, so that little is copied again and again


class PackedWalk:
    """Usage: `feed` all bytes in order, from the first; then ask for the `fault`."""

    def __init__(self) -> None:
        self.inner = FitsWalk()
        self._start = b""
        self._unpacker: Unpacker | None = None
        self._judging = True

    @property
    def kind(self) -> Kind:
        """What the content has turned out to be; OTHER also for a file that is not packed."""
        if not self._judging:
            return Kind.OTHER
        return self.inner.kind

    def feed(self, block: memoryview | bytes) -> None:
        """Go on with the next bytes."""
        for at in range(0, len(block), _STEP):
            if not self._judging:
                return
            self._feed(bytes(block[at : at + _STEP]))

    def fault(self, *, unpadded: bool) -> str:
        """Say what is missing from the FITS file inside; empty if it is whole, or not judged.

        Content too short to tell counts as FITS.
        """
        if self.kind is Kind.OTHER:
            return ""
        if self._unpacker is None or not self._unpacker.whole:
            what = "packed file" if self._unpacker is None else self._unpacker.kind
            return f"expected the end of a {what}, got that of the upload"
        least = self.inner.least(unpadded=unpadded)
        if self.inner.kind is Kind.UNDECIDED:
            least = BLOCK
        if least is not None and self.inner.size < least:
            return f"expected {least} bytes unpacked (FITS headers), got {self.inner.size}"
        return ""

    def _feed(self, data: bytes) -> None:
        if self._unpacker is None:
            data = self._start + data
            if not data.startswith(MAGICS):
                self._start = data
                self._judging = any(magic.startswith(data) for magic in MAGICS)
                return
            self._unpacker = Unpacker(data)
        try:
            for piece in self._unpacker.feed(data):
                self.inner.feed(piece)
                if self.inner.kind is Kind.OTHER or self.inner.size > MOST:
                    self._judging = False
                    return
        except ValueError:  # damaged, which sending it again does not mend: the driver says so
            self._judging = False
