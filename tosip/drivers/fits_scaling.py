"""How stored values become pixels: BITPIX, BSCALE, BZERO and BLANK.

Integers stay integers where BSCALE is 1 and BZERO is 0, or is what makes them unsigned (or an
unsigned byte signed); then undefined pixels (BLANK) have one value, which is known and counted.
Everything else becomes floats, as astropy makes them, with NaN where a pixel is undefined. So the
type of a frame does not depend on whether a pixel of it is undefined.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tosip.drivers.fits_cards import Cards, parse_number
from tosip.errors import FrameError

Pixels = np.ndarray[Any, np.dtype[Any]]

SCALING_KEYWORDS = ("BSCALE", "BZERO", "BLANK")

_STORED = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}


@dataclass(frozen=True)
class Scaling:
    """`blank` is the stored value of undefined pixels, None if none is undefined."""

    bitpix: int
    scale: int | float
    zero: int | float
    blank: int | None

    @cached_property
    def stored(self) -> np.dtype[Any]:
        """The type of the stored values, big-endian."""
        return np.dtype(f">{_STORED[self.bitpix]}")

    @cached_property
    def flips(self) -> bool:
        """Whether pixels differ from the stored integers in the highest bit alone."""
        if self.bitpix < 0 or self.scale != 1:
            return False
        return self.zero == (-128 if self.bitpix == 8 else 1 << (self.bitpix - 1))

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The type of the pixels, native."""
        if self.flips:
            return np.dtype("i1" if self.bitpix == 8 else f"u{self.bitpix // 8}")
        if self.bitpix < 0 or (self.scale == 1 and self.zero == 0):
            return self.stored.newbyteorder("=")
        return np.dtype("f4" if self.bitpix <= 16 else "f8")

    @cached_property
    def _words(self) -> np.dtype[Any]:
        return np.dtype(f"u{self.stored.itemsize}")

    @cached_property
    def _big_words(self) -> np.dtype[Any]:
        return self._words.newbyteorder(">")

    @cached_property
    def _top_bit(self) -> int:
        return 1 << (8 * self.stored.itemsize - 1)

    @cached_property
    def undefined_value(self) -> int | float | None:
        """The value of undefined pixels; None if there are none."""
        if self.blank is None:
            return None
        if self.dtype.kind == "f":
            return float("nan")
        return self.blank + (int(self.zero) if self.flips else 0)

    def apply(self, stored: Pixels, pixels: Pixels) -> int:
        """Write the pixels of stored values, of any byte order; return how many are undefined."""
        if self.dtype.kind == "f":
            return self._apply_float(stored, pixels)
        words = pixels.view(self._words)
        np.copyto(words, stored.view(self._words if stored.dtype.isnative else self._big_words))
        if self.flips:
            np.bitwise_xor(words, self._top_bit, out=words)
        if self.blank is None:
            return 0
        return int(np.count_nonzero(pixels == self.undefined_value))

    def _apply_float(self, stored: Pixels, pixels: Pixels) -> int:
        with np.errstate(all="ignore"):
            np.copyto(pixels, stored, casting="unsafe")
            if self.scale != 1:
                np.multiply(pixels, float(self.scale), out=pixels)
            if self.zero != 0:
                np.add(pixels, float(self.zero), out=pixels)
        if self.blank is None:
            return 0
        undefined = stored == self.blank
        pixels[undefined] = np.nan
        return int(np.count_nonzero(undefined))


def read_scaling(cards: Cards, bitpix: int, *, tiled: bool) -> Scaling:
    """Read a unit's scaling; `FrameError` names the keyword that is no finite number, or is 0."""
    scale, zero = cards.number("BSCALE", 1), cards.number("BZERO", 0)
    if scale == 0:
        raise FrameError(f"expected BSCALE other than 0, got {cards.text('BSCALE')}")
    keyword = "ZBLANK" if tiled and "ZBLANK" in cards else "BLANK"
    return Scaling(bitpix, scale, zero, _blank(cards.text(keyword), bitpix))


def _blank(text: str, bitpix: int) -> int | None:
    """Return the stored value that is undefined: one that a pixel can have.

    The standard has BLANK for integers alone; compressed floats are NaN already.
    """
    value = parse_number(text)
    if value is None or value != int(value) or bitpix < 0:
        return None
    span = np.iinfo(_STORED[bitpix])
    return int(value) if span.min <= value <= span.max else None
