"""What a FITS file claims to hold, checked before anything is allocated.

The header-data units are walked by their headers alone until the first that holds an image of two
or three axes: an ordinary image, or a tile-compressed one in its binary table. Every claim on the
way is checked: the mandatory keywords, the sizes against `max_bytes` and against the bytes that the
file really has. All arithmetic is on Python integers, which do not overflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from astropy.io import fits

from tosip.drivers.fits_header import padded, parse_header, read_header
from tosip.drivers.fits_source import Source, read_bytes
from tosip.errors import FrameError

_BITPIX = (8, 16, 32, 64, -32, -64)
_MAX_AXES = 999
_MAX_UNITS = 1000
_IMAGE_AXES = (2, 3)
_SIGN_BIT = 32768


@dataclass(frozen=True)
class Unit:
    """One header-data unit: where its data lie and what they are.

    `shape` is empty where the unit holds no image; else it is that of the pixels, slowest axis
    first. `data_bytes` is the length of the stored data without padding.
    """

    index: int
    raw_header: bytes
    header: fits.Header
    data_offset: int
    data_bytes: int
    bitpix: int
    shape: tuple[int, ...]
    tiled: bool

    @property
    def end(self) -> int:
        """Where the next unit starts."""
        return self.data_offset + padded(self.data_bytes)

    @property
    def zero_of_16bit(self) -> int | None:
        """0 or 32768 for plain 16-bit integers stored with that offset, None for all else."""
        if self.tiled or self.bitpix != 16 or self.header.get("BSCALE", 1) != 1:
            return None
        zero = self.header.get("BZERO", 0)
        if zero == _SIGN_BIT:
            return _SIGN_BIT
        # Astropy turns BLANK pixels of plainly signed frames into NaN, and them all into floats.
        return 0 if zero == 0 and "BLANK" not in self.header else None


def find_image(source: Source, max_bytes: int) -> tuple[bytes, Unit]:
    """Return the raw primary header and the first unit that holds an image of 2 or 3 axes."""
    unit = _read_unit(source, 0, 0, max_bytes)
    primary = unit.raw_header
    while not unit.shape:
        _check_length(source, unit)
        if unit.index >= _MAX_UNITS or read_bytes(source, unit.end, 8) != b"XTENSION":
            count = unit.index + 1
            raise FrameError(f"expected an image of 2 or 3 axes, got none in {count} header(s)")
        unit = _read_unit(source, unit.end, unit.index + 1, max_bytes)
    _check_length(source, unit)
    return primary, unit


def integer(header: fits.Header, keyword: str, low: int, high: int) -> int:
    """Return a mandatory integer keyword, or raise `FrameError`."""
    value = header.get(keyword)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        shown = "none" if value is None else repr(value)
        raise FrameError(f"expected {keyword} from {low} to {high}, got {shown}")
    if header.count(keyword) > 1:
        raise FrameError(f"expected {keyword} once, got it {header.count(keyword)} times")
    return value


def image_shape(
    header: fits.Header, bitpix: int, axes: list[int], max_bytes: int
) -> tuple[int, ...]:
    """Return the shape of an image with `axes` in FITS order, or () where there is no image."""
    if len(axes) not in _IMAGE_AXES or 0 in axes:
        return ()
    size = prod(axes) * abs(bitpix) // 8
    if size > max_bytes:
        shown = "x".join(map(str, axes))
        raise FrameError(f"expected at most {max_bytes} bytes of pixels, got {shown}: {size} bytes")
    return tuple(reversed(axes))


def read_bitpix(header: fits.Header, keyword: str) -> int:
    """Return BITPIX or ZBITPIX, or raise `FrameError` if it is none of the standard's six."""
    bitpix = integer(header, keyword, -64, 64)
    if bitpix not in _BITPIX:
        raise FrameError(f"expected {keyword} of {', '.join(map(str, _BITPIX))}, got {bitpix}")
    return bitpix


def read_axes(header: fits.Header, prefix: str) -> list[int]:
    """Return the lengths of the axes, NAXIS1 first (or ZNAXIS1: `prefix` is "" or "Z")."""
    count = integer(header, f"{prefix}NAXIS", 0, _MAX_AXES)
    return [integer(header, f"{prefix}NAXIS{n}", 0, 1 << 62) for n in range(1, count + 1)]


def _read_unit(source: Source, offset: int, index: int, max_bytes: int) -> Unit:
    raw = read_header(source, offset)
    header = parse_header(raw)
    if index == 0 and header.get("SIMPLE") is not True:
        raise FrameError(f"expected SIMPLE = T, got {header.get('SIMPLE')!r}")
    bitpix = read_bitpix(header, "BITPIX")
    axes = read_axes(header, "")
    size = _data_bytes(header, bitpix, axes, extension=index > 0)
    tiled = index > 0 and header["XTENSION"] == "BINTABLE" and header.get("ZIMAGE") is True
    shape: tuple[int, ...] = ()
    if tiled:
        bitpix = read_bitpix(header, "ZBITPIX")
        shape = image_shape(header, bitpix, read_axes(header, "Z"), max_bytes)
    elif index == 0 or header["XTENSION"] == "IMAGE":
        shape = image_shape(header, bitpix, axes, max_bytes)
    return Unit(index, raw, header, offset + len(raw), size, bitpix, shape, tiled)


def _data_bytes(header: fits.Header, bitpix: int, axes: list[int], *, extension: bool) -> int:
    """Return the length of a unit's data, by equations 1, 2 and 4 of the FITS standard 4.0."""
    groups = not extension and header.get("GROUPS") is True and axes[:1] == [0]
    elements = prod(axes[1:] if groups else axes) if axes else 0
    if not (extension or groups):
        return elements * abs(bitpix) // 8
    parameters = integer(header, "PCOUNT", 0, 1 << 62)
    return abs(bitpix) // 8 * integer(header, "GCOUNT", 1, 1 << 62) * (parameters + elements)


def _check_length(source: Source, unit: Unit) -> None:
    # Only the padding of the last block may be missing.
    needed = unit.data_offset + unit.data_bytes
    if source.size < needed:
        raise FrameError(f"expected at least {needed} bytes as the header says, got {source.size}")
