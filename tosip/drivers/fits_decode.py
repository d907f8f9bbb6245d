"""Pixels out of one header-data unit: straight from the file, or through astropy if it has tiles.

The straight way reads 256 KiB at a time into a small buffer that stays in the processor's cache,
and turns the stored values into pixels there (`Scaling`). It never holds a second frame.

Astropy gets the bytes of the one unit that holds tiles, not the file, with a header that says only
what was checked; it returns the stored values, and `Scaling` makes pixels of them too.
"""

from __future__ import annotations

import io

import numpy as np
from astropy.io import fits

from tosip.drivers.fits_header import padded
from tosip.drivers.fits_layout import Unit
from tosip.drivers.fits_scaling import Pixels, Scaling
from tosip.drivers.fits_source import Source, read_bytes, read_exactly
from tosip.drivers.fits_tiles import UNSAFE_METHOD, canonical, check_tiles
from tosip.drivers.hcompress import decode_apart
from tosip.errors import FrameError

_CHUNK = 1 << 18


def fill(source: Source, offset: int, scaling: Scaling, pixels: Pixels) -> int:
    """Fill a C-contiguous array with the values stored from `offset` on.

    Returns how many pixels are undefined.
    """
    flat = pixels.reshape(-1)
    itemsize = scaling.stored.itemsize
    buffer = memoryview(bytearray(min(_CHUNK, itemsize * flat.size)))
    stored = np.frombuffer(buffer, scaling.stored)
    undefined = 0
    for start in range(0, flat.size, stored.size):
        part = flat[start : start + stored.size]
        read_exactly(source, buffer[: itemsize * part.size], offset + itemsize * start)
        undefined += scaling.apply(stored[: part.size], part)
    return undefined


def decode(source: Source, unit: Unit, scaling: Scaling, max_bytes: int) -> Pixels:
    """Return the stored values of a tile-compressed unit.

    Raises `FrameError` for what is wrong.
    """
    data = read_bytes(source, unit.data_offset, unit.data_bytes)
    primary = fits.PrimaryHDU().header.tostring().encode("ascii")
    packed = primary + canonical(unit) + data.ljust(padded(unit.data_bytes), b"\0")
    check_tiles(unit, packed, data, max_bytes)
    shape = unit.axes[::-1]
    stored: Pixels
    if unit.cards.text("ZCMPTYPE") == UNSAFE_METHOD:
        stored = decode_apart(packed, shape, scaling.stored)
    else:
        stored = _unpack(unit, packed)
    if stored.shape != shape or stored.dtype.newbyteorder("=") != scaling.stored.newbyteorder("="):
        got = f"{stored.dtype} of shape {stored.shape}"
        raise FrameError(f"expected pixels of {scaling.stored} and shape {shape}, got {got}")
    return stored


def _unpack(unit: Unit, packed: bytes) -> Pixels:
    try:
        with fits.open(io.BytesIO(packed), memmap=False) as units, np.errstate(all="ignore"):
            values: Pixels = units[1].data
    except Exception as error:  # astropy raises what it likes on damaged tiles
        got = f"{type(error).__name__}: {error}"
        raise FrameError(f"expected tiles that can be unpacked in {unit}, got {got}") from error
    return values
