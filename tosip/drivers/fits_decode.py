"""Pixels out of one header-data unit: the fast way for plain 16-bit frames, astropy for the rest.

The fast way reads 256 KiB at a time into a small buffer that stays in the processor's cache, copies
it through a big-endian view into the caller's array, and flips the top bit there: modulo 65536 that
adds 32768. It never holds a second frame.

Astropy gets the bytes of the one unit that holds the image, not the file, so that what it decodes
is what was checked.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from astropy.io import fits

from tosip.drivers.fits_header import padded
from tosip.drivers.fits_layout import Unit
from tosip.drivers.fits_source import Source, read_bytes, read_exactly
from tosip.drivers.fits_tiles import check_tiles
from tosip.errors import FrameError

Pixels = np.ndarray[Any, np.dtype[Any]]

_CHUNK = 1 << 18
_TOP_BIT = 0x8000


def fill_16bit(source: Source, offset: int, pixels: Pixels, *, flip: bool) -> None:
    """Fill a C-contiguous 16-bit array with the big-endian words from `offset` on.

    `flip` adds 32768 to each, for frames with BZERO 32768.
    """
    words = pixels.reshape(-1).view(np.uint16)
    buffer = memoryview(bytearray(min(_CHUNK, 2 * words.size)))
    stored = np.frombuffer(buffer, ">u2")
    for start in range(0, words.size, _CHUNK // 2):
        part = words[start : start + _CHUNK // 2]
        read_exactly(source, buffer[: 2 * part.size], offset + 2 * start)
        np.copyto(part, stored[: part.size])
        if flip:
            np.bitwise_xor(part, _TOP_BIT, out=part)


def decode(source: Source, unit: Unit, max_bytes: int) -> Pixels:
    """Return the pixels of a unit as astropy gives them, in any byte order.

    Raises `FrameError` for what is found wrong here; astropy adds errors of many other types.
    """
    data = read_bytes(source, unit.data_offset, unit.data_bytes)
    stored = unit.raw_header + data.ljust(padded(unit.data_bytes), b"\0")
    if unit.index:
        stored = fits.PrimaryHDU().header.tostring().encode("ascii") + stored
    if unit.tiled:
        check_tiles(unit, stored, data, max_bytes)
    with fits.open(io.BytesIO(stored), memmap=False) as units, np.errstate(all="ignore"):
        pixels = units[min(unit.index, 1)].data
    if not isinstance(pixels, np.ndarray) or pixels.shape != unit.shape:
        got = getattr(pixels, "shape", "none")
        raise FrameError(f"expected pixels of shape {unit.shape}, got {got}")
    if pixels.dtype.kind not in "iuf" or pixels.nbytes > max_bytes:
        got = f"{pixels.nbytes} bytes of {pixels.dtype}"
        raise FrameError(f"expected at most {max_bytes} bytes of numbers, got {got}")
    return pixels
