"""Read the images of a FITS file into memory that the caller provides.

A file goes through four steps. Its first bytes tell whether it is FITS, plain or compressed as a
whole (`fits_source`). Its headers are read and every claim in them is checked (`fits_header`,
`fits_layout`), and the image that becomes a frame is chosen (`fits_selection`). Only then is memory
asked for, and the pixels are written into it (`fits_decode`): straight from the file, or through
astropy where it is compressed in tiles. Every way in which a file can be wrong ends in a
`FrameError` that names the file, says what was expected and what came instead, in one line.

Reading takes its time (about 10 ms for a plain frame of 32 MiB, a quarter of a second for a
tile-compressed one): call it in a thread, never on an event loop. It writes nothing anywhere.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from astropy.utils.exceptions import AstropyWarning

from tosip.drivers.fits_checksum import has_checksum, wrong_checksums
from tosip.drivers.fits_colour import color_mode
from tosip.drivers.fits_decode import decode, fill
from tosip.drivers.fits_header import header_attributes
from tosip.drivers.fits_layout import Layout, Unit, check_length, check_size, walk
from tosip.drivers.fits_options import FitsOptions
from tosip.drivers.fits_scaling import Pixels, Scaling, read_scaling
from tosip.drivers.fits_selection import described, select, wants_all
from tosip.drivers.fits_source import Source, describe_os_error, open_source
from tosip.drivers.fits_time import exposure_start
from tosip.drivers.fits_values import Attribute
from tosip.errors import FrameError
from tosip.names import UNDEFINED_PIXELS, UNDEFINED_VALUE

Allocate = Callable[[tuple[int, ...], "np.dtype[np.generic]"], Pixels]

_DEFAULTS = FitsOptions()
# What the primary header says of itself, not of the extensions.
_NOT_INHERITED = (
    "EXTNAME",
    "EXTVER",
    "EXTLEVEL",
    "BSCALE",
    "BZERO",
    "BLANK",
    "CHECKSUM",
    "DATASUM",
)


@dataclass(frozen=True)
class FitsFrame:
    """A decoded frame.

    `pixels` is the array that `allocate` gave. Its axes are those of FITS without those of length
    one, slowest first: (NAXIS2, NAXIS1) is (rows, columns), and three axes are (planes, rows,
    columns), or what `color_mode` (areaDetector's) says. The first row is the one that FITS stores
    first.

    `attributes` are the keywords of the primary header, overlaid by those of the image's own, and:
    `ImagesInFile` and `ImageHdu` where a file holds several images; `UndefinedPixels` (how many)
    and `UndefinedValue` where it has BLANK; `BayerPattern` (areaDetector's number) where it is a
    colour mosaic; `Checksum` (ok, none, or which is wrong) where checksums are looked at.

    `timestamp` is the start of exposure, Unix seconds UTC, None where the header has no usable one.
    The attribute TimeSource names the keywords that gave it, or is "reception" and TimeFault says
    why. `choice` says in words which image of several this is; `fault` what is wrong, but not so
    wrong that there would be no frame. Both are empty mostly.
    """

    pixels: Pixels
    attributes: dict[str, Attribute]
    timestamp: float | None
    color_mode: str = "Mono"
    choice: str = ""
    fault: str = ""


def read_fits(
    path: Path,
    allocate: Allocate,
    *,
    max_bytes: int = 1 << 30,
    memory: Source | None = None,
    options: FitsOptions = _DEFAULTS,
) -> FitsFrame:
    """Read one image of the FITS file at `path`; see `read_images`."""
    images = read_images(path, allocate, max_bytes=max_bytes, memory=memory, options=options)
    with closing(images):
        return next(images)


def read_images(
    path: Path,
    allocate: Allocate,
    *,
    max_bytes: int = 1 << 30,
    memory: Source | None = None,
    options: FitsOptions = _DEFAULTS,
) -> Generator[FitsFrame]:
    """Read the images that `options.hdu` asks for, each into the array that `allocate` gives.

    `allocate` is called at most once for an image, with the shape and the native data type, when
    all that can be checked before is right; it must give a writable C-contiguous array. If reading
    fails after that, what it gave holds part of a frame and is the caller's to release. What
    `allocate` raises itself passes unchanged. No image of more than `max_bytes` is read, and no
    more than that is unpacked. Where `memory` has the bytes of the file, they are read from there.

    `fits_scaling` says which type the pixels have. Raises `FrameError` for everything that is wrong
    with the file; no image is read after that.
    """
    _silence_astropy()
    with ExitStack() as stack:
        with _faults(path):
            source = stack.enter_context(open_source(path, max_bytes, memory))
            layout = walk(source)
            chosen = select(layout, options.hdu)
        for unit in chosen:
            with _faults(path):
                image = _examine(source, layout, unit, max_bytes)
                fault = _check_sums(source, layout, image, options)
            pixels = _checked(allocate(unit.shape, image.scaling.dtype), image)
            with _faults(path):
                _note_undefined(image, image.fill(pixels.reshape(unit.axes[::-1])))
            start = exposure_start(image.attributes, earliest_year=options.earliest_year)
            yield FitsFrame(
                pixels,
                image.attributes | start.attributes,
                start.seconds,
                image.color_mode,
                "" if wants_all(options.hdu) else described(unit, layout.images),
                fault,
            )
        if layout.fault and wants_all(options.hdu):
            with _faults(path):
                raise layout.fault


@dataclass(frozen=True)
class _Image:
    """An image that was found right so far, and how to get its pixels into an array."""

    unit: Unit
    scaling: Scaling
    color_mode: str
    attributes: dict[str, Attribute]
    fill: Callable[[Pixels], int]


def _examine(source: Source, layout: Layout, unit: Unit, max_bytes: int) -> _Image:
    check_size(unit, abs(unit.bitpix) // 8, max_bytes)
    check_length(source, unit)
    scaling = read_scaling(unit.cards, unit.bitpix, tiled=unit.tiled)
    check_size(unit, scaling.dtype.itemsize, max_bytes)
    primary = layout.units[0]
    attributes = header_attributes(primary.raw_header)
    if unit is not primary:
        attributes = {k: v for k, v in attributes.items() if k not in _NOT_INHERITED}
        attributes |= header_attributes(unit.raw_header, tiled=unit.tiled)
    if unit.tiled:
        write = partial(scaling.apply, decode(source, unit, scaling, max_bytes))
    else:
        write = partial(fill, source, unit.data_offset, scaling)
    mode, pattern = color_mode(primary.cards, unit)
    if pattern is not None:
        attributes["BayerPattern"] = pattern
    if len(layout.images) > 1:
        attributes |= {"ImagesInFile": len(layout.images), "ImageHdu": unit.index}
    return _Image(unit, scaling, mode, attributes, write)


def _check_sums(source: Source, layout: Layout, image: _Image, options: FitsOptions) -> str:
    """Check the units that the frame is made of; return what is wrong if that is only warned of."""
    if options.checksum == "off":
        return ""
    units = list(dict.fromkeys((layout.units[0].index, image.unit.index)))
    checked = [layout.units[index] for index in units]
    wrong = ", ".join(wrong_checksums(source, checked))
    some = any(has_checksum(unit.cards) for unit in checked)
    image.attributes["Checksum"] = f"wrong {wrong}" if wrong else "ok" if some else "none"
    fault = f"expected right checksums, got a wrong {wrong}" if wrong else ""
    if wrong and options.checksum == "refuse":
        raise FrameError(fault)
    return fault


def _note_undefined(image: _Image, count: int) -> None:
    value = image.scaling.undefined_value
    if value is not None:
        image.attributes.update({UNDEFINED_PIXELS: count, UNDEFINED_VALUE: value})


def _checked(pixels: Pixels, image: _Image) -> Pixels:
    # A wrong array here is a bug of the caller, not a fault of the frame.
    shape, dtype = image.unit.shape, image.scaling.dtype
    if (pixels.shape, pixels.dtype) != (shape, dtype) or not pixels.flags.c_contiguous:
        expected, got = f"{shape} of {dtype}", f"{pixels.shape} of {pixels.dtype}"
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
