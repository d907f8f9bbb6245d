"""Checks of a tile-compressed image, before astropy's decompressors see it.

A file may claim tiles of any size and number, point at bytes outside its table, or hold a short
tile that unpacks to gigabytes. Each of these is found here from the header and the table's own
descriptors, without unpacking anything but suspiciously long gzip tiles.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from astropy.io import fits

from tosip.cards import CARD, split_card
from tosip.drivers.fits_cards import Cards, parse_number
from tosip.drivers.fits_header import padded
from tosip.drivers.fits_layout import Unit
from tosip.drivers.fits_scaling import SCALING_KEYWORDS
from tosip.errors import FrameError

_Descriptors = np.ndarray[Any, np.dtype[Any]]

_ANY = 1 << 62
_MAX_TILES = 1 << 17
_MAX_COLUMNS = 999
_MAX_DEFLATE_RATIO = 1032  # of deflate: https://zlib.net/zlib_tech.html
_SMALL = 1 << 24
# On damaged data its C code in astropy 8.0 writes outside its buffer, and the process aborts.
UNSAFE_METHOD = "HCOMPRESS_1"
_METHODS = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "PLIO_1", "NOCOMPRESS", UNSAFE_METHOD)
_COLUMNS = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA")
_FIRST = ("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS")
_STORAGE = re.compile(
    r"BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|THEAP|ZBITPIX|ZNAXIS\d*|ZTILE\d+|ZBLANK"
)
_RICE_PARAMETERS = {"BYTEPIX": (1, 2, 4), "BLOCKSIZE": (16, 32)}


def canonical(unit: Unit) -> bytes:
    """Return the unit's header with what describes its storage as the standard writes it.

    Astropy is stricter than `Cards` about the cards that it needs, and would scale the pixels.
    """
    cards = unit.cards
    numbers = {word: cards.integer(word, -_ANY, _ANY) for word in cards.keywords() if _is_own(word)}
    tile = {f"ZTILE{n}": length for n, length in enumerate(_tile(unit), 1)}
    numbers = {"PCOUNT": 0, "GCOUNT": 1} | tile | numbers
    if unit.bitpix > 0:
        numbers.pop("ZBLANK", None)  # `Scaling` knows it; astropy would make floats
    first = [_card(word, numbers.pop(word)) for word in _FIRST]
    lines = [
        b"XTENSION= 'BINTABLE'".ljust(CARD),
        *first,
        *(_card(word, value) for word, value in numbers.items()),
        *_other_cards(unit.raw_header),
        b"END".ljust(CARD),
    ]
    header = b"".join(lines)
    return header.ljust(padded(len(header)))


def _is_own(keyword: str) -> bool:
    return _STORAGE.fullmatch(keyword) is not None


def _other_cards(raw: bytes) -> Iterator[bytes]:
    for at in range(0, len(raw), CARD):
        card = raw[at : at + CARD]
        if card[:8] == b"END     ":
            return
        word, _ = split_card(card.decode("latin-1")) or ("", "")
        if word not in ("XTENSION", *SCALING_KEYWORDS) and not _is_own(word):
            yield card


def _card(keyword: str, value: int) -> bytes:
    return f"{keyword:8}= {value:>20}".ljust(CARD).encode("ascii")


def check_tiles(unit: Unit, stored: bytes, data: bytes, max_bytes: int) -> None:
    """Raise `FrameError` for tiles that would take too much time or memory, or lie outside `data`.

    `stored` is a FITS file with the unit as its first extension, `data` the unit's data alone.
    """
    cards = unit.cards
    method = cards.text("ZCMPTYPE")
    if method not in _METHODS:
        raise FrameError(f"expected ZCMPTYPE of {', '.join(_METHODS)}, got {method!r}")
    cards.integer("TFIELDS", 1, _MAX_COLUMNS)
    _check_parameters(cards)
    limit = max(_check_count(unit, max_bytes), _SMALL)
    width, rows = cards.integer("NAXIS1", 1, _ANY), cards.integer("NAXIS2", 0, _ANY)
    heap = cards.integer("THEAP", 0, _ANY, default=width * rows)
    table = np.frombuffer(data, np.uint8, width * rows).reshape(rows, width)
    with fits.open(io.BytesIO(stored), memmap=False, disable_image_compression=True) as units:
        columns = units[1].columns
    for column in columns:
        if column.name in _COLUMNS:
            descriptors, item = _descriptors(table, columns, column)
            packed = column.name.startswith("GZIP") or (
                column.name == "COMPRESSED_DATA" and str(method).startswith("GZIP")
            )
            _check_column(descriptors, item, data[heap:], limit if packed else None)


def _check_parameters(cards: Cards) -> None:
    for n in range(1, 100):
        if f"ZNAME{n}" not in cards:
            return
        name, value = cards.text(f"ZNAME{n}"), cards.text(f"ZVAL{n}")
        known = _RICE_PARAMETERS.get(name)
        if parse_number(value) is None or (known and parse_number(value) not in known):
            raise FrameError(f"expected {name} of {known or 'a number'}, got {value!r}")


def _check_count(unit: Unit, max_bytes: int) -> int:
    """Check size and number of the tiles; return how many bytes one holds, unpacked."""
    axes, tile = unit.axes, _tile(unit)
    size = prod(tile) * max(4, abs(unit.bitpix) // 8)
    if size > 2 * max_bytes:
        raise FrameError(f"expected tiles of at most {2 * max_bytes} bytes, got {size}")
    count = prod(-(-whole // length) for whole, length in zip(axes, tile, strict=True))
    rows = unit.cards.integer("NAXIS2", 0, _ANY)
    if count != rows or count > _MAX_TILES:
        raise FrameError(f"expected {count} tiles, at most {_MAX_TILES}, got {rows}")
    return size


def _tile(unit: Unit) -> list[int]:
    """Return the lengths of a tile's axes, fastest first; by default each row is a tile."""
    return [
        unit.cards.integer(f"ZTILE{n}", 1, _ANY, default=whole)
        for n, whole in enumerate([unit.axes[0], *[1] * (len(unit.axes) - 1)], 1)
    ]


def _descriptors(
    table: np.ndarray[Any, np.dtype[np.uint8]], columns: Any, column: Any
) -> tuple[_Descriptors, int]:
    """Return a column's (length, offset) pairs and the bytes per element."""
    kind, offset = columns.dtype.fields[column.name][:2]
    letters = str(column.format).lstrip("01")[:2]
    item = {"B": 1, "I": 2, "J": 4, "E": 4, "D": 8}.get(letters[1:])
    pair = np.dtype(">i4") if letters[:1] == "P" else np.dtype(">i8")
    is_pair = letters[:1] in ("P", "Q") and kind.itemsize == 2 * pair.itemsize
    if item is None or not is_pair or offset + kind.itemsize > table.shape[1]:
        raise FrameError(f"expected {column.name} of variable length, got {column.format}")
    raw = np.ascontiguousarray(table[:, offset : offset + kind.itemsize])
    return raw.view(pair).astype(np.int64), item


def _check_column(descriptors: _Descriptors, item: int, heap: bytes, limit: int | None) -> None:
    for length, offset in descriptors.tolist():
        size = length * item
        if length < 0 or offset < 0 or offset + size > len(heap):
            raise FrameError(f"expected tiles within {len(heap)} bytes, got one at {offset}+{size}")
        if limit is not None and size * _MAX_DEFLATE_RATIO > limit:
            with gzip.GzipFile(fileobj=io.BytesIO(heap[offset : offset + size])) as stream:
                if len(stream.read(limit + 1)) > limit:
                    raise FrameError(f"expected tiles of at most {limit} bytes, got a longer one")
