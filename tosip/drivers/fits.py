"""Read one FITS file into memory that the caller provides.

A file goes through four steps. Its first bytes tell whether it is FITS, plain or compressed as a
whole (`fits_source`). Its headers are read and every claim in them is checked (`fits_header`,
`fits_layout`): the first header-data unit that holds an image is the frame. Only then is memory
asked for, and the pixels are written into it (`fits_decode`): plain 16-bit frames straight from the
file, all others through astropy. Every way in which a file can be wrong ends in a `FrameError` that
names the file, says what was expected and what came instead, in one line.

Reading takes its time (about 10 ms for a plain frame of 32 MiB, a quarter of a second for a
tile-compressed one): call it in a thread, never on an event loop. It writes nothing anywhere.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from astropy.utils.exceptions import AstropyWarning

from tosip.drivers.fits_decode import Pixels, decode, fill_16bit
from tosip.drivers.fits_header import header_attributes
from tosip.drivers.fits_layout import find_image
from tosip.drivers.fits_options import FitsOptions
from tosip.drivers.fits_source import Source, describe_os_error, open_source
from tosip.drivers.fits_time import exposure_start
from tosip.drivers.fits_values import Attribute
from tosip.errors import FrameError

Allocate = Callable[[tuple[int, ...], "np.dtype[np.generic]"], Pixels]

_DEFAULTS = FitsOptions()


@dataclass(frozen=True)
class FitsFrame:
    """A decoded frame.

    `pixels` is the array that `allocate` gave. Its axes are those of FITS, slowest first: (NAXIS2,
    NAXIS1) is (rows, columns), and three axes are (planes, rows, columns). The first row is the one
    that FITS stores first.

    `attributes` are the keywords of the primary header, overlaid by those of the image's own.
    `timestamp` is the start of exposure, Unix seconds UTC, None where the header has no usable one.
    The attribute TimeSource names the keywords that gave it, or is "reception" and TimeFault says
    why.
    """

    pixels: Pixels
    attributes: dict[str, Attribute]
    timestamp: float | None


def read_fits(
    path: Path,
    allocate: Allocate,
    *,
    max_bytes: int = 1 << 30,
    memory: Source | None = None,
    options: FitsOptions = _DEFAULTS,
) -> FitsFrame:
    """Read the first image of the FITS file at `path` into the array that `allocate` gives.

    `allocate` is called at most once, with the shape and the native data type, when all that can be
    checked before is right; it must give a writable C-contiguous array. If reading fails after
    that, what it gave holds part of a frame and is the caller's to release. What `allocate` raises
    itself passes unchanged. No image of more than `max_bytes` is read or unpacked. Where `memory`
    has the bytes of the file, they are read from there.

    Plain 16-bit images with BZERO 0 give int16, with BZERO 32768 uint16; all others the type that
    astropy gives. Raises `FrameError` for everything that is wrong with the file.
    """
    _silence_astropy()
    with ExitStack() as stack:
        with _faults(path):
            source = stack.enter_context(open_source(path, max_bytes, memory))
            image = _examine(source, max_bytes)
        pixels = _checked(allocate(image.shape, image.dtype), image)
        with _faults(path):
            image.fill(pixels)
    start = exposure_start(image.attributes, earliest_year=options.earliest_year)
    return FitsFrame(pixels, image.attributes | start.attributes, start.seconds)


@dataclass(frozen=True)
class _Image:
    """An image that was found right so far, and how to get its pixels into an array."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    attributes: dict[str, Attribute]
    fill: Callable[[Pixels], None]


def _examine(source: Source, max_bytes: int) -> _Image:
    primary, unit = find_image(source, max_bytes)
    attributes = header_attributes(primary)
    fill: Callable[[Pixels], None]
    if (zero := unit.zero_of_16bit) is not None:
        dtype: np.dtype[np.generic] = np.dtype(np.uint16 if zero else np.int16)
        fill = partial(fill_16bit, source, unit.data_offset, flip=zero != 0)
    else:
        decoded = decode(source, unit, max_bytes)
        dtype = decoded.dtype.newbyteorder("=")
        fill = partial(_copy, decoded)
    if unit.index:
        attributes |= header_attributes(unit.raw_header, tiled=unit.tiled)
    return _Image(unit.shape, dtype, attributes, fill)


def _copy(source: Pixels, target: Pixels) -> None:
    np.copyto(target, source)


def _checked(pixels: Pixels, image: _Image) -> Pixels:
    # A wrong array here is a bug of the caller, not a fault of the frame.
    flags = pixels.flags
    if (pixels.shape, pixels.dtype) != (image.shape, image.dtype) or not flags.c_contiguous:
        expected, got = f"{image.shape} of {image.dtype}", f"{pixels.shape} of {pixels.dtype}"
        raise TypeError(f"allocate: expected a C-contiguous array {expected}, got {got}")
    return pixels


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Turn every error into a `FrameError` of this file, in one printable line."""
    try:
        yield
    except FrameError as error:
        raise FrameError(_line(path, str(error))) from error.__cause__
    except OSError as error:
        raise FrameError(_line(path, describe_os_error(error))) from error
    except Exception as error:  # astropy and zlib raise what they like on odd files
        fault = f"expected a FITS image that astropy can read, got {type(error).__name__}: {error}"
        raise FrameError(_line(path, fault)) from error


def _line(path: Path, fault: str) -> str:
    # A camera names its files, and a header's values appear in faults: no control characters.
    text = f"{path.name}: {fault}".encode("ascii", "backslashreplace").decode("ascii")
    return re.sub(r"[^ -~]+", " ", text)[:500]


def _silence_astropy() -> None:
    """Keep astropy's warnings about odd headers off stderr: the outcome is a frame or a fault.

    `warnings.catch_warnings` is not safe in threads before Python 3.14, a filter is. It is set on
    each call because others may have reset the filters, which costs nothing when it stands.
    """
    with suppress(ValueError):  # another thread is doing just this
        warnings.filterwarnings("ignore", category=AstropyWarning)
