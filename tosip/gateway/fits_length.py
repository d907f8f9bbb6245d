"""How long a FITS file must be, from its headers alone.

The end of an FTP upload proves nothing: the client's FIN may come at any byte. But a FITS header
tells how much data follows (FITS standard 4.0, sections 4.4.1 and 6 for random groups), and both
header and data fill whole blocks of 2880 bytes. So the headers are walked from HDU to HDU, skipping
the data, and a file that ends before its last HDU does is not whole.

A file that was cut exactly between two HDUs looks whole; only ALLO can tell.
"""

from __future__ import annotations

import math
from typing import BinaryIO

BLOCK = 2880
CARD = 80
FIRST = b"SIMPLE  ="
NEXT = b"XTENSION"
LARGEST_HEADER = 4096 * BLOCK

Cards = dict[str, str]


class _UnreadableError(Exception):
    """The header follows no rule that would give a length."""


def implied_length(file: BinaryIO) -> int | None:
    """Return the least length that the headers of `file` imply, None when they imply nothing.

    A length above the file's own says that the file is cut short. None is for what does not begin
    as FITS, or has a header that cannot be understood.
    """
    size = file.seek(0, 2)
    file.seek(0)
    if file.read(len(FIRST)) != FIRST:
        return None
    end = 0
    try:
        while True:
            header, cards = _read_header(file, end, size)
            end += header + (0 if cards is None else _data_length(cards, primary=end == 0))
            if end >= size or not _another_follows(file, end):
                return end
    except _UnreadableError:
        return None


def looks_cut(file: BinaryIO, name: str) -> bool:
    """Tell whether a file named as FITS ended before even the first card could be recognised."""
    if not name.lower().endswith((".fits", ".fit", ".fts")):
        return False
    file.seek(0)
    head = file.read(len(FIRST))
    return len(head) < len(FIRST) and FIRST.startswith(head)


def _read_header(file: BinaryIO, start: int, size: int) -> tuple[int, Cards | None]:
    """Return the header's length and cards; no cards when the file ends before the header does."""
    file.seek(start)
    cards: Cards = {}
    for length in range(BLOCK, LARGEST_HEADER, BLOCK):
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            return length, None
        for at in range(0, BLOCK, CARD):
            card = block[at : at + CARD]
            if card.rstrip() == b"END":
                return length, cards
            if card[8:10] == b"= ":
                # The first of two equal keywords counts, as in CFITSIO.
                cards.setdefault(_text(card[:8]), _text(card[10:].split(b"/")[0]))
    raise _UnreadableError


def _data_length(cards: Cards, *, primary: bool) -> int:
    axes = [_integer(cards, f"NAXIS{n}") for n in range(1, _integer(cards, "NAXIS", 999) + 1)]
    groups, parameters = 1, 0
    if not primary or cards.get("GROUPS") == "T":
        cards = {"GCOUNT": "1", "PCOUNT": "0"} | cards
        groups, parameters = _integer(cards, "GCOUNT"), _integer(cards, "PCOUNT")
    if primary and axes and axes[0] == 0 and cards.get("GROUPS") == "T":
        axes = axes[1:]
    elements = math.prod(axes) if axes else 0
    bits = cards.get("BITPIX", "").lstrip("-")
    if bits not in ("8", "16", "32", "64"):
        raise _UnreadableError
    length = int(bits) // 8 * groups * (parameters + elements)
    return -(-length // BLOCK) * BLOCK


def _another_follows(file: BinaryIO, at: int) -> bool:
    """Tell whether an extension begins there, be it cut; anything else is allowed to trail."""
    file.seek(at)
    return NEXT.startswith(file.read(len(NEXT)))


def _integer(cards: Cards, keyword: str, largest: int = 1 << 62) -> int:
    value = cards.get(keyword, "")
    if not value.isdecimal() or len(value) > 19 or int(value) > largest:
        raise _UnreadableError
    return int(value)


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "replace").strip()
