"""What a FITS file claims to hold, checked before anything is allocated.

The header-data units are walked by their headers alone. An image is an ordinary one, or a
tile-compressed one in its binary table. Every claim on the way is checked: the mandatory keywords
and the sizes. All arithmetic is on Python integers, which do not overflow.

Axes of length one say nothing and are dropped, until two axes are left; an image of a single axis
is one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

from tosip.drivers.fits_cards import Cards, parse_number
from tosip.drivers.fits_header import padded, read_header
from tosip.drivers.fits_source import Source, read_bytes
from tosip.errors import FrameError

_BITPIX = (8, 16, 32, 64, -32, -64)
_MAX_AXES = 32  # NumPy 1's; longer headers are damaged
_MAX_UNITS = 1000
_IMAGE_AXES = (2, 3)
_LARGEST = 1 << 62


@dataclass(frozen=True)
class Unit:
    """One header-data unit: where its data lie and what they are.

    `axes` are the lengths of the image's axes, NAXIS1 first, as stored; empty where the unit holds
    no image. `data_bytes` is the length of the stored data without padding. `bitpix` is that of the
    pixels, also where they are compressed.
    """

    index: int
    offset: int
    raw_header: bytes
    cards: Cards
    data_bytes: int
    bitpix: int
    axes: tuple[int, ...]
    tiled: bool

    @property
    def data_offset(self) -> int:
        """Where the data start."""
        return self.offset + len(self.raw_header)

    @property
    def end(self) -> int:
        """Where the next unit starts."""
        return self.data_offset + padded(self.data_bytes)

    @cached_property
    def kept_axes(self) -> tuple[tuple[int, int], ...]:
        """The number (NAXISn) and length of each axis that counts, fastest first."""
        axes = list(enumerate(self.axes, 1))
        if len(axes) == 1:
            axes.append((2, 1))
        for axis in reversed(axes[:]):
            if len(axes) > 2 and axis[1] == 1:
                axes.remove(axis)
        return tuple(axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the frame, slowest axis first; empty where there is no image of 2 or 3."""
        if len(self.kept_axes) not in _IMAGE_AXES or not self.holds_pixels:
            return ()
        return tuple(length for _, length in reversed(self.kept_axes))

    @property
    def holds_pixels(self) -> bool:
        """Whether there is an array of pixels, of any number of axes."""
        return bool(self.axes) and 0 not in self.axes

    @property
    def name(self) -> str:
        """EXTNAME in capitals, empty without one."""
        return self.cards.text("EXTNAME").upper()

    def is_named(self, name: str) -> bool:
        """Whether this is the unit of a name in capitals; the first is also PRIMARY."""
        return self.name == name or (self.index == 0 and name == "PRIMARY")

    @property
    def version(self) -> int:
        """EXTVER, 1 without one."""
        version = parse_number(self.cards.text("EXTVER"))
        return 1 if version is None else int(version)

    def __str__(self) -> str:
        name = f" {self.name}" if self.name else ""
        version = f",{self.version}" if name and self.version != 1 else ""
        size = "x".join(str(length) for _, length in self.kept_axes) if self.holds_pixels else ""
        return f"HDU {self.index}{name}{version} ({size or 'no image'})"


@dataclass(frozen=True)
class Layout:
    """The units of a file, in order; `fault` is why the walk did not come to the last."""

    units: tuple[Unit, ...]
    fault: FrameError | None = None

    @cached_property
    def images(self) -> tuple[Unit, ...]:
        """The units that hold an image of 2 or 3 axes."""
        return tuple(unit for unit in self.units if unit.shape)


def walk(source: Source) -> Layout:
    """Read the headers of all units. Raises `FrameError` only for the first."""
    units = [_read_unit(source, 0, 0)]
    try:
        while read_bytes(source, units[-1].end, 8) == b"XTENSION":
            if len(units) == _MAX_UNITS:
                raise FrameError(f"expected at most {_MAX_UNITS} HDUs, got more")
            units.append(_read_unit(source, units[-1].end, len(units)))
    except FrameError as fault:
        return Layout(tuple(units), fault)
    return Layout(tuple(units))


def check_length(source: Source, unit: Unit) -> None:
    """Raise `FrameError` if the file ends before a unit's data; padding may be missing."""
    needed = unit.data_offset + unit.data_bytes
    if source.size < needed:
        raise FrameError(f"expected at least {needed} bytes as the header says, got {source.size}")


def check_size(unit: Unit, itemsize: int, max_bytes: int) -> None:
    """Raise `FrameError` if an image of pixels of `itemsize` bytes is larger than `max_bytes`."""
    size = prod(unit.axes) * itemsize
    if size > max_bytes:
        shown = "x".join(map(str, unit.axes))
        raise FrameError(f"expected at most {max_bytes} bytes of pixels, got {shown}: {size} bytes")


def _read_bitpix(cards: Cards, keyword: str) -> int:
    bitpix = cards.integer(keyword, -64, 64)
    if bitpix not in _BITPIX:
        raise FrameError(f"expected {keyword} of {', '.join(map(str, _BITPIX))}, got {bitpix}")
    return bitpix


def _read_axes(cards: Cards, prefix: str) -> tuple[int, ...]:
    """Return the lengths of the axes, NAXIS1 first (or ZNAXIS1: `prefix` is "" or "Z")."""
    count = cards.integer(f"{prefix}NAXIS", 0, _MAX_AXES)
    return tuple(
        cards.integer(f"{prefix}NAXIS{n}", 0, _LARGEST)  # 0 is no data
        for n in range(1, count + 1)
    )


def _read_unit(source: Source, offset: int, index: int) -> Unit:
    raw = read_header(source, offset)
    cards = Cards(raw)
    if index == 0 and cards.text("SIMPLE") != "T":
        shown = {"F": "False", "": "none"}.get(cards.text("SIMPLE"), cards.text("SIMPLE"))
        raise FrameError(f"expected SIMPLE = T, got {shown}")
    kind = cards.text("XTENSION") if index else "IMAGE"
    bitpix, axes = _read_bitpix(cards, "BITPIX"), _read_axes(cards, "")
    size = _data_bytes(cards, bitpix, axes, extension=index > 0)
    tiled = kind == "BINTABLE" and cards.text("ZIMAGE") == "T"
    if tiled:
        bitpix, axes = _read_bitpix(cards, "ZBITPIX"), _read_axes(cards, "Z")
    elif kind not in ("IMAGE", "IUEIMAGE"):
        axes = ()
    return Unit(index, offset, raw, cards, size, bitpix, axes, tiled)


def _data_bytes(cards: Cards, bitpix: int, axes: tuple[int, ...], *, extension: bool) -> int:
    """Return the length of a unit's data, by equations 1, 2 and 4 of the FITS standard 4.0.

    An extension without PCOUNT or GCOUNT has those of an image: 0 and 1.
    """
    groups = not extension and cards.text("GROUPS") == "T" and axes[:1] == (0,)
    elements = prod(axes[1:] if groups else axes) if axes else 0
    if not (extension or groups):
        return elements * abs(bitpix) // 8
    parameters = cards.integer("PCOUNT", 0, _LARGEST, default=0)
    return (
        abs(bitpix) // 8 * cards.integer("GCOUNT", 1, _LARGEST, default=1) * (parameters + elements)
    )
