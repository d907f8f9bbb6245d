"""FITS files of any size, each with bytes of its own, so that its hash tells which one it is."""

from __future__ import annotations

import itertools
import os

BLOCK = 2880
_numbers = itertools.count(1)


def frame(size: int) -> bytes:
    """Return a FITS file of about `size` bytes, two blocks at least; no two are the same."""
    blocks = max(1, size // BLOCK - 1)
    count = blocks * BLOCK // 2
    cards = ["SIMPLE  =                    T", "BITPIX  =                   16"]
    cards += ["NAXIS   =                    1", f"NAXIS1  = {count:20d}"]
    cards += [f"NUMBER  = {next(_numbers):20d}", "END"]
    header = "".join(card.ljust(80) for card in cards).ljust(BLOCK).encode()
    return header + os.urandom(64).ljust(64) + bytes(2 * count - 64)
