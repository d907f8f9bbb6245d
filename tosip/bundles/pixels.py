"""Pixels of every areaDetector type in a FITS file of one plain image, bit for bit.

FITS has unsigned bytes, signed integers and floats, all big-endian. The other integers are stored
by the standard's own convention: with their top bit flipped and a BZERO that says so. Floats travel
as the bits they are, so that every NaN stays the same NaN.

The header follows from shape and type alone. Whoever reads compares it whole, and needs to believe
nothing in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from math import prod
from typing import Any, BinaryIO

import numpy as np

Pixels = np.ndarray[Any, np.dtype[Any]]

_BLOCK = 2880
_CHUNK = 1 << 17
# FITS stores bytes without a sign and all other integers with one.
_OFFSETS = {"int8": -(1 << 7), "uint16": 1 << 15, "uint32": 1 << 31, "uint64": 1 << 63}


def file_size(shape: tuple[int, ...], dtype: str) -> int:
    """Return the length of the file in bytes."""
    size = prod(shape) * np.dtype(dtype).itemsize
    return len(_header(shape, dtype)) + size + _padding(size)


def write(file: BinaryIO, pixels: Pixels) -> str:
    """Write an image of 1 to 3 axes, C-contiguous; return the file's SHA-256."""
    name = pixels.dtype.name
    header, rest = _header(pixels.shape, name), bytes(_padding(pixels.nbytes))
    digest = hashlib.sha256(header)
    file.write(header)
    for part, top_bit in _parts(pixels):
        stored = (part ^ top_bit).astype(part.dtype.newbyteorder(">"))
        digest.update(stored.data)
        file.write(stored.data)
    digest.update(rest)
    file.write(rest)
    return digest.hexdigest()


def read_into(file: BinaryIO, pixels: Pixels) -> str:
    """Fill `pixels` from a file that `write` made; return the file's SHA-256.

    ValueError if it is of another shape or type, or shorter than it should be.
    """
    header = _header(pixels.shape, pixels.dtype.name)
    if file.read(len(header)) != header:
        raise ValueError(f"expected {pixels.dtype.name} of shape {pixels.shape}, got others")
    digest = hashlib.sha256(header)
    for part, top_bit in _parts(pixels):
        stored = file.read(part.nbytes)
        if len(stored) != part.nbytes:
            raise ValueError("expected more pixels, got the end of the file")
        digest.update(stored)
        part[:] = np.frombuffer(stored, part.dtype.newbyteorder(">"))
        np.bitwise_xor(part, top_bit, out=part)
    digest.update(file.read(_BLOCK))
    return digest.hexdigest()


def _parts(pixels: Pixels) -> Iterator[tuple[Pixels, Any]]:
    """Give the pixels piece by piece as unsigned integers, each with the bit that FITS flips."""
    kind = np.dtype(f"u{pixels.dtype.itemsize}")
    top_bit = kind.type(1 << (8 * kind.itemsize - 1) if pixels.dtype.name in _OFFSETS else 0)
    bits = pixels.reshape(-1).view(kind)
    for start in range(0, bits.size, _CHUNK):
        yield bits[start : start + _CHUNK], top_bit


def _header(shape: tuple[int, ...], dtype: str) -> bytes:
    kind = np.dtype(dtype)
    cards: list[tuple[str, object]] = [
        ("SIMPLE", "T"),
        ("BITPIX", 8 * kind.itemsize * (-1 if kind.kind == "f" else 1)),
        ("NAXIS", len(shape)),
        *((f"NAXIS{n}", length) for n, length in enumerate(reversed(shape), 1)),
    ]
    if dtype in _OFFSETS:
        cards += [("BZERO", _OFFSETS[dtype]), ("BSCALE", 1)]
    text = "".join(f"{keyword:8}= {value!s:>20}".ljust(80) for keyword, value in cards)
    header = (text + "END".ljust(80)).encode("ascii")
    return header + b" " * _padding(len(header))


def _padding(size: int) -> int:
    return -size % _BLOCK
