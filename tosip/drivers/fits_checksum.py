"""Whether a header-data unit is as its CHECKSUM and DATASUM say (FITS standard 4.0, appendix J).

Both are sums of all 32-bit words in ones' complement. DATASUM is that of the data, as a text;
CHECKSUM is chosen so that the sum of the whole unit is -0, all bits set.
"""

from __future__ import annotations

import numpy as np

from tosip.drivers.fits_cards import Cards, parse_number
from tosip.drivers.fits_layout import Unit
from tosip.drivers.fits_source import Source, read_bytes

_CHUNK = 1 << 20
_ALL = 0xFFFFFFFF


def wrong_checksums(source: Source, units: list[Unit]) -> list[str]:
    """Return the keywords that are wrong, each with its unit; words that fit into an error."""
    return [f"{keyword} of HDU {unit.index}" for unit in units for keyword in _wrong(source, unit)]


def has_checksum(cards: Cards) -> bool:
    """Whether there is anything to check."""
    return bool(cards.text("CHECKSUM") or cards.text("DATASUM"))


def _wrong(source: Source, unit: Unit) -> list[str]:
    if not has_checksum(unit.cards):
        return []
    data = _sum(source, unit.data_offset, unit.end)
    wrong = []
    if unit.cards.text("DATASUM") and not _equal(parse_number(unit.cards.text("DATASUM")), data):
        wrong.append("DATASUM")
    if unit.cards.text("CHECKSUM"):
        whole = _fold(_sum(source, unit.offset, unit.data_offset) + data)
        if not _equal(0, whole):
            wrong.append("CHECKSUM")
    return wrong


def _sum(source: Source, start: int, end: int) -> int:
    """Return the sum of the bytes from `start` to `end`; what is missing at the end are zeros."""
    total = 0
    for offset in range(start, end, _CHUNK):
        data = read_bytes(source, offset, min(_CHUNK, end - offset))
        words = np.frombuffer(data.ljust(-(-len(data) // 4) * 4, b"\0"), ">u4")
        total += int(words.sum(dtype=np.uint64))
    return _fold(total)


def _fold(total: int) -> int:
    while total > _ALL:
        total = (total & _ALL) + (total >> 32)
    return total


def _equal(expected: int | float | None, found: int) -> bool:
    # Zero has two forms in ones' complement.
    return expected is not None and expected % _ALL == found % _ALL
