"""How long a FITS file must be, from its headers alone, while its bytes stream by.

A FITS header tells how much data follows (FITS standard 4.0, sections 4.4.1 and 6 for random
groups), and both header and data fill whole blocks of 2880 bytes. So the walk goes from header to
header and counts the data in between; it keeps one block at a time, and the cards that matter.

Anything that is no further extension may trail the last one (special records, section 3.5), and
implies nothing. A file that was cut exactly between two HDUs looks whole; only ALLO can tell.
"""

from __future__ import annotations

from enum import Enum, auto

from tosip.gateway.receiving.fits_cards import BLOCK, UnreadableError, collect_sizes, data_length

FIRST = b"SIMPLE  ="
NEXT = b"XTENSION"
LARGEST_HEADER = 4096 * BLOCK
# As many cards as the drivers read; nobody looks for a camera's name behind them.
LARGEST_KEPT = 1000 * BLOCK


class Kind(Enum):
    """What the file has turned out to be."""

    UNDECIDED = auto()  # too few bytes to tell
    FITS = auto()
    UNREADABLE = auto()  # it begins as FITS, but a header cannot be understood
    OTHER = auto()


class FitsWalk:
    """Usage: `feed` all bytes in order, in pieces of any size; ask `least` whenever you like."""

    def __init__(self) -> None:
        self.kind = Kind.UNDECIDED
        self.size = 0
        self.primary = bytearray()  # the blocks of the primary header that have come, bounded
        self._pending = bytearray()  # of the header block, or of the bytes that tell what follows
        self._header = 0  # where the header begins that is being read
        self._sizes: dict[str, str] = {}
        self._next = 0  # where the HDU ends whose header has come, with its padding
        self._data_end = 0  # and without
        self._in_header = False
        self._walking = True

    def feed(self, block: memoryview | bytes) -> None:
        """Go on with the next bytes."""
        at = 0
        while self._walking and at < len(block):
            if (skipped := self._next - self.size) > 0:
                count = min(skipped, len(block) - at)
            else:
                wanted = self._wanted()
                count = min(wanted - len(self._pending), len(block) - at)
                self._pending += block[at : at + count]
            self.size += count
            at += count
            if self.size >= self._next:
                self._decide()
        self.size += len(block) - at

    def least(self, *, unpadded: bool = False) -> int | None:
        """Return how long the file must be at least, None if nothing is implied.

        A length above `size` says that it is cut short. `unpadded` does not ask for the padding
        of the last data. None is for what does not begin as FITS or cannot be understood.
        """
        if self.kind is not Kind.FITS:
            return None
        if self._in_header:
            return self._header + BLOCK * ((self.size - self._header) // BLOCK + 1)
        if self._pending and self._walking:
            return self._next + BLOCK  # cut within the first word of an extension
        return self._data_end if unpadded else self._next

    def _wanted(self) -> int:
        if self._in_header:
            return BLOCK
        return len(FIRST if self.kind is Kind.UNDECIDED else NEXT)

    def _decide(self) -> None:
        """Act on what is pending, if it is enough to tell."""
        if self._in_header:
            if len(self._pending) == BLOCK:
                self._read_block(bytes(self._pending))
                self._pending.clear()
            return
        word = FIRST if self.kind is Kind.UNDECIDED else NEXT
        if not word.startswith(self._pending):
            if self.kind is Kind.UNDECIDED:
                self.kind = Kind.OTHER
            self._stop()
        elif len(self._pending) == len(word):
            self.kind = Kind.FITS
            self._in_header = True
            self._header = self._next
            self._sizes = {}

    def _read_block(self, block: bytes) -> None:
        if self._header == 0 and len(self.primary) < LARGEST_KEPT:
            self.primary += block
        if collect_sizes(block, self._sizes):
            self._end_header()
        elif self.size - self._header >= LARGEST_HEADER:
            self._give_up()

    def _end_header(self) -> None:
        try:
            length = data_length(self._sizes, primary=self._header == 0)
        except UnreadableError:
            self._give_up()
            return
        self._in_header = False
        self._data_end = self.size + length
        self._next = self.size + -(-length // BLOCK) * BLOCK

    def _give_up(self) -> None:
        self.kind = Kind.UNREADABLE
        self._stop()

    def _stop(self) -> None:
        self._walking = False
        self._pending.clear()
