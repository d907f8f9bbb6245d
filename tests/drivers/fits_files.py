"""Making FITS files for the tests, and judging what is read from them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from tosip.drivers.fits import FitsFrame, read_fits
from tosip.errors import FrameError

Array = np.ndarray[Any, np.dtype[Any]]


def stored(pixels: Any, *, header: Any = None, hdu: Any = fits.PrimaryHDU) -> bytes:
    """A FITS file of one image, as bytes."""
    buffer = io.BytesIO()
    unit = hdu(pixels)
    unit.header.update(header or {})
    units = [unit] if isinstance(unit, fits.PrimaryHDU) else [fits.PrimaryHDU(), unit]
    fits.HDUList(units).writeto(buffer, output_verify="ignore")
    return buffer.getvalue()


def ramp(rows: int = 30, columns: int = 50, dtype: Any = np.uint16) -> Array:
    return np.arange(rows * columns).reshape(rows, columns).astype(dtype)


def read_bytes_as_file(
    folder: Path, data: bytes, name: str = "frame.fits", **options: Any
) -> FitsFrame:
    path = folder / name
    path.write_bytes(data)
    return read_fits(path, np.empty, **options)


def outcome(path: Path, **options: Any) -> FitsFrame | None:
    """The frame, or None for a well-formed fault; anything else is raised."""
    try:
        return read_fits(path, np.empty, **options)
    except FrameError as error:
        text = str(error)
        assert text.startswith(f"{path.name}: expected ")
        assert ", got " in text
        assert text.isprintable()
        return None


def astropy_image(source: Any) -> Array:
    """The first image of a file as astropy reads it, without axes of one beyond two."""
    with fits.open(source, memmap=False) as units:
        images = (squeezed(u.data) for u in units if u.is_image and u.data is not None)
        return next(data for data in images if data.ndim in (2, 3) and data.size)


def squeezed(pixels: Array) -> Array:
    """Without axes of one, the slowest first, until two are left; one axis is a row."""
    if pixels.ndim == 1:
        return pixels[None]
    while pixels.ndim > 2 and 1 in pixels.shape:
        pixels = pixels.squeeze(pixels.shape.index(1))
    return pixels


def same(left: Array, right: Array) -> bool:
    floats = left.dtype.kind == "f" and right.dtype.kind == "f"
    return left.dtype == right.dtype.newbyteorder("=") and np.array_equal(
        left, right, equal_nan=floats
    )
