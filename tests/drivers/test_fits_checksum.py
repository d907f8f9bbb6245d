"""CHECKSUM and DATASUM: right ones pass, wrong ones are told or refuse the frame."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from tests.drivers.fits_files import ramp, same
from tosip.drivers.fits import FitsFrame, read_fits
from tosip.drivers.fits_options import FitsOptions
from tosip.errors import FrameError


def summed(folder: Path, *units: Any) -> Path:
    path = folder / "sum.fits"
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path, checksum=True, overwrite=True)
    return path


def read(path: Path, checksum: Any = "refuse") -> FitsFrame:
    return read_fits(path, np.empty, options=FitsOptions(checksum=checksum))


def changed(path: Path, place: int, value: int | None = None) -> Path:
    data = bytearray(path.read_bytes())
    data[place] = data[place] ^ 1 if value is None else value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("hdu", [fits.ImageHDU, fits.CompImageHDU])
def test_what_astropy_sums_up_is_right(tmp_path, dtype, hdu):
    pixels = ramp(37, 41, dtype)
    frame = read(summed(tmp_path, hdu(pixels)))
    assert frame.attributes["Checksum"] == "ok"


def test_a_long_file_is_summed_up_over_all_chunks(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (1201, 1503), np.uint16)
    path = summed(tmp_path, fits.ImageHDU(pixels))
    assert same(read(path).pixels, pixels)
    packed = path.with_name("sum.fits.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed).attributes["Checksum"] == "ok"


def test_an_image_of_zeros_and_one_without_padding_are_right(tmp_path):
    path = summed(tmp_path, fits.ImageHDU(np.zeros((10, 10), "u1")))
    path.write_bytes(path.read_bytes()[: -2880 + 100])
    assert read(path).attributes["Checksum"] == "ok"


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (-2000, "DATASUM of HDU 1, CHECKSUM of HDU 1"),
        (2880 + 2000, "CHECKSUM of HDU 1"),
        (2000, "CHECKSUM of HDU 0"),
    ],
)
def test_a_wrong_checksum_refuses_or_warns(tmp_path, place, wrong):
    path = changed(summed(tmp_path, fits.ImageHDU(ramp())), place)
    with pytest.raises(
        FrameError, match=f"sum.fits: expected right checksums, got a wrong {wrong}"
    ):
        read(path)
    frame = read(path, "warn")
    assert frame.attributes["Checksum"] == f"wrong {wrong}"
    assert frame.fault == f"expected right checksums, got a wrong {wrong}"
    assert "Checksum" not in read(path, "off").attributes


def test_other_extensions_do_not_count(tmp_path):
    path = summed(tmp_path, fits.ImageHDU(ramp()), fits.ImageHDU(ramp(), name="ERR"))
    assert read(changed(path, -2000)).attributes["Checksum"] == "ok"


def test_a_file_without_checksums_passes_and_says_so(tmp_path):
    fits.PrimaryHDU(ramp()).writeto(tmp_path / "a.fits")
    assert read(tmp_path / "a.fits").attributes["Checksum"] == "none"


@pytest.mark.parametrize("value", ["'x'", "-1", "'99999999999999'"])
def test_a_datasum_that_is_no_sum_is_wrong(tmp_path, value):
    path = summed(tmp_path, fits.ImageHDU(ramp()))
    data = path.read_bytes()
    start = data.index(b"DATASUM =", 2880)
    path.write_bytes(data[:start] + f"DATASUM = {value}".ljust(80).encode() + data[start + 80 :])
    with pytest.raises(FrameError, match="wrong DATASUM of HDU 1"):
        read(path)
