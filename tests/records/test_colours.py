"""Colour frames and mosaics, from the upload to the records and the image."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.io import fits


def uploaded(ioc, uploads, pixels, **header):
    """Upload a frame and wait until the plugin behind has it."""
    number = ioc.get("CAM01:UniqueId_RBV") + 1
    buffer = io.BytesIO()
    fits.PrimaryHDU(pixels, fits.Header(header)).writeto(buffer)
    uploads.file("colour.fits", buffer.getvalue())
    ioc.wait("FOCUS01:UniqueId_RBV", lambda last: last == number)


@pytest.mark.parametrize(
    ("shape", "header", "mode", "pattern"),
    [
        ((3, 16, 32), {}, "RGB3", 0),
        ((16, 32, 3), {}, "RGB1", 0),
        ((16, 32), {"BAYERPAT": "RGGB", "XBAYROFF": 1}, "Bayer", 2),
        ((16, 32), {}, "Mono", 0),
    ],
)
def test_colours_are_on_the_records_and_in_the_image(ioc, uploads, shape, header, mode, pattern):
    uploaded(ioc, uploads, np.ones(shape, np.uint16), **header)
    modes = ("Mono", "Bayer", "RGB1", "RGB2", "RGB3")
    for port in ("CAM01", "FOCUS01"):
        assert str(ioc.wait(f"{port}:ColorMode_RBV", lambda value: str(value) == mode)) == mode
        ioc.wait(f"{port}:BayerPattern_RBV", lambda value: int(value.raw.value.index) == pattern)
        sizes = [int(ioc.get(f"{port}:ArraySize{axis}_RBV")) for axis in "XYZ"]
        assert sizes == [32, 16, 3 if len(shape) == 3 else 0]
    image = ioc.get("CAM01:Image").raw
    assert [dimension.size for dimension in image.dimension] == list(shape[::-1])
    attributes = {attribute.name: attribute.value for attribute in image.attribute}
    assert attributes["ColorMode"] == modes.index(mode)
