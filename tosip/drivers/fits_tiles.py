"""Checks of a tile-compressed image, before astropy's decompressors see it.

A file may claim tiles of any size and number, point at bytes outside its table, or hold a short
tile that unpacks to gigabytes. Each of these is found here from the header and the table's own
descriptors, without unpacking anything but suspiciously long gzip tiles.
"""

from __future__ import annotations

import gzip
import io
from math import prod
from typing import Any

import numpy as np
from astropy.io import fits

from tosip.drivers.fits_layout import Unit, integer, read_axes
from tosip.errors import FrameError

_Descriptors = np.ndarray[Any, np.dtype[Any]]

_ANY = 1 << 62
_MAX_TILES = 1 << 17
_MAX_COLUMNS = 999
_MAX_DEFLATE_RATIO = 1032  # of deflate: https://zlib.net/zlib_tech.html
_SMALL = 1 << 24
# Not HCOMPRESS_1: on damaged data its C code in astropy 8.0 writes outside its buffer, and the
# process aborts.
_METHODS = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "PLIO_1", "NOCOMPRESS")
_COLUMNS = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA")
_RICE_PARAMETERS = {"BYTEPIX": (1, 2, 4), "BLOCKSIZE": (16, 32)}


def check_tiles(unit: Unit, stored: bytes, data: bytes, max_bytes: int) -> None:
    """Raise `FrameError` for tiles that would take too much time or memory, or lie outside `data`.

    `stored` is a FITS file with the unit as its first extension, `data` the unit's data alone.
    """
    method = unit.header.get("ZCMPTYPE")
    if method not in _METHODS:
        raise FrameError(f"expected ZCMPTYPE of {', '.join(_METHODS)}, got {method!r}")
    integer(unit.header, "TFIELDS", 1, _MAX_COLUMNS)
    _check_parameters(unit.header)
    limit = max(_check_count(unit, max_bytes), _SMALL)
    width = integer(unit.header, "NAXIS1", 1, _ANY)
    rows = integer(unit.header, "NAXIS2", 0, _ANY)
    heap = integer(unit.header, "THEAP", 0, _ANY) if "THEAP" in unit.header else width * rows
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


def _check_parameters(header: fits.Header) -> None:
    for n in range(1, 100):
        name = header.get(f"ZNAME{n}")
        if name is None:
            return
        value = header.get(f"ZVAL{n}")
        known = _RICE_PARAMETERS.get(name, (value,))
        if isinstance(value, bool) or value not in known:
            raise FrameError(f"expected {name} of {known}, got {value!r}")


def _check_count(unit: Unit, max_bytes: int) -> int:
    """Check size and number of the tiles; return how many bytes one holds, unpacked."""
    axes = read_axes(unit.header, "Z")
    tile = [
        # By default each row is a tile.
        integer(unit.header, f"ZTILE{n}", 1, _ANY) if f"ZTILE{n}" in unit.header else whole
        for n, whole in enumerate([axes[0], *[1] * (len(axes) - 1)], 1)
    ]
    size = prod(tile) * max(4, abs(unit.bitpix) // 8)
    if size > 2 * max_bytes:
        raise FrameError(f"expected tiles of at most {2 * max_bytes} bytes, got {size}")
    count = prod(-(-whole // length) for whole, length in zip(axes, tile, strict=True))
    rows = integer(unit.header, "NAXIS2", 0, _ANY)
    if count != rows or count > _MAX_TILES:
        raise FrameError(f"expected {count} tiles, at most {_MAX_TILES}, got {rows}")
    return size


def _descriptors(
    table: np.ndarray[Any, np.dtype[np.uint8]], columns: Any, column: Any
) -> tuple[_Descriptors, int]:
    """Return a column's (length, offset) pairs and the bytes per element."""
    kind, offset = columns.dtype.fields[column.name][:2]
    letters = str(column.format).lstrip("01")[:2]
    item = {"B": 1, "I": 2, "J": 4, "E": 4, "D": 8}.get(letters[1:])
    if letters[:1] not in ("P", "Q") or item is None:
        raise FrameError(f"expected {column.name} of variable length, got {column.format}")
    pair = np.dtype(">i4") if letters[0] == "P" else np.dtype(">i8")
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
