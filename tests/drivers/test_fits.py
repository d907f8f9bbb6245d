"""Reading well-formed FITS files."""

import bz2
import gzip
import warnings

import numpy as np
import pytest
from astropy.io import fits

from tests.drivers.fits_files import ramp, read_bytes_as_file, same, stored
from tosip.drivers.fits import read_fits
from tosip.drivers.fits_options import FitsOptions
from tosip.errors import FrameError


def test_a_plain_frame_is_written_into_the_callers_memory(tmp_path):
    (tmp_path / "a.fits").write_bytes(stored(ramp()))
    memory = np.zeros(4096, np.uint16)
    frame = read_fits(
        tmp_path / "a.fits", lambda shape, dtype: memory[: 30 * 50].view(dtype).reshape(shape)
    )
    assert np.shares_memory(frame.pixels, memory)
    assert same(frame.pixels, ramp())


@pytest.mark.parametrize("zero", ["32768", "32768.", "3.2768E4"])
def test_each_spelling_of_bzero_gives_unsigned_pixels(tmp_path, zero):
    data = stored(ramp() + 60000)
    card = b"BZERO   =                32768"
    assert card in data
    frame = read_bytes_as_file(tmp_path, data.replace(card, f"BZERO   = {zero:>20}".encode()))
    assert same(frame.pixels, ramp() + 60000)


def test_planes_keep_the_axes_of_fits(tmp_path):
    cube = np.arange(3 * 20 * 10, dtype=np.int16).reshape(3, 20, 10) - 300
    assert same(read_bytes_as_file(tmp_path, stored(cube)).pixels, cube)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_pixel_type_of_fits(tmp_path, dtype):
    frame = read_bytes_as_file(tmp_path, stored(ramp(dtype=dtype)))
    assert same(frame.pixels, ramp(dtype=dtype))
    assert frame.pixels.dtype.isnative


def test_a_frame_larger_than_one_chunk_is_whole(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (701, 503), np.uint16)
    assert same(read_bytes_as_file(tmp_path, stored(pixels)).pixels, pixels)


def test_scaled_pixels_are_as_astropy_scales_them(tmp_path):
    data = stored(ramp(dtype=np.int16), header={"BSCALE": 0.5, "BZERO": 10.0})
    assert read_bytes_as_file(tmp_path, data).pixels[0, 3] == np.float32(11.5)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("name", ["a.fits", "a.FIT.gz", "a"])
def test_files_packed_as_a_whole_are_known_by_their_content(tmp_path, pack, name):
    frame = read_bytes_as_file(tmp_path, pack(stored(ramp())), name)
    assert same(frame.pixels, ramp())


@pytest.mark.parametrize("method", ["RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "NOCOMPRESS"])
def test_tile_compressed_pixels_equal_the_uncompressed(tmp_path, method):
    pixels = ramp(64, 64, np.int16)
    data = stored(pixels, hdu=lambda p: fits.CompImageHDU(p, compression_type=method))
    assert same(read_bytes_as_file(tmp_path, data).pixels, pixels)


def test_one_tile_for_the_whole_image(tmp_path):
    def whole(pixels):
        return fits.CompImageHDU(pixels, compression_type="GZIP_1", tile_shape=pixels.shape)

    pixels = np.zeros((3000, 2000), np.int16)
    assert same(read_bytes_as_file(tmp_path, stored(pixels, hdu=whole)).pixels, pixels)


def test_the_first_unit_with_an_image_counts_and_its_keywords_overlay(tmp_path):
    units = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([])])
    units += [fits.ImageHDU(ramp()), fits.ImageHDU(ramp() + 1)]
    units[0].header.update(FILTER="R", GAIN=1.5)
    units[2].header.update(GAIN=2.5)
    units.writeto(tmp_path / "a.fits")
    frame = read_fits(tmp_path / "a.fits", np.empty)
    assert same(frame.pixels, ramp())
    assert (frame.attributes["FILTER"], frame.attributes["GAIN"]) == ("R", 2.5)


def test_keywords_have_the_types_of_the_header(tmp_path):
    header = fits.Header()
    header.update(COOLED=True, NSTEPS=7986, TEMP=-15.1, FOCUS="2637", LONG="x" * 150)
    header["EMPTY"] = None
    header["HIERARCH ESO DET NAME"] = "ccd"
    header.add_history("first")
    header.add_history("second")
    attributes = read_bytes_as_file(tmp_path, stored(ramp(), header=header)).attributes
    assert attributes["COOLED"] is True
    assert attributes["NSTEPS"] == 7986
    assert type(attributes["NSTEPS"]) is int
    assert attributes["TEMP"] == -15.1
    assert attributes["FOCUS"] == "2637"
    assert attributes["LONG"] == "x" * 150
    assert attributes["ESO DET NAME"] == "ccd"
    assert attributes["HISTORY"] == "first\nsecond"
    assert "EMPTY" not in attributes


@pytest.mark.parametrize("packed", [False, True])
def test_cards_that_break_the_rules_cost_nothing_but_themselves(tmp_path, packed):
    data = stored(ramp(), header={"AAA": 1, "BBB": 2, "CCC": 3})
    for old, new in [(b"AAA     =", b"AAA     = NaN"), (b"BBB     =", b"BBB     = '\xb0\xff")]:
        start = data.index(old)
        data = data[:start] + new.ljust(80) + data[start + 80 :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = read_bytes_as_file(tmp_path, gzip.compress(data) if packed else data)
    assert np.isnan(frame.attributes["AAA"])
    assert frame.attributes["CCC"] == 3
    assert same(frame.pixels, ramp())


def test_header_blocks_padded_with_nul(tmp_path):
    data = stored(ramp())
    end = data.index(b"END     ") + 3
    data = data[:end] + bytes(2880 - end) + data[2880:]
    assert same(read_bytes_as_file(tmp_path, data).pixels, ramp())


def test_only_the_padding_may_be_missing(tmp_path):
    data = stored(ramp())
    whole = 2880 + 30 * 50 * 2
    assert same(read_bytes_as_file(tmp_path, data[:whole]).pixels, ramp())
    with pytest.raises(FrameError, match=f"at least {whole} bytes .* got {whole - 1}"):
        read_bytes_as_file(tmp_path, data[: whole - 1])


@pytest.mark.parametrize("packed", [False, True])
def test_the_time_of_exposure_has_a_source(tmp_path, packed):
    header = {"DATE-OBS": "2023-06-01", "MJD-OBS": 60096.25}
    data = stored(ramp(), header=header, hdu=fits.CompImageHDU if packed else fits.PrimaryHDU)
    frame = read_bytes_as_file(tmp_path, data)
    assert (frame.timestamp, frame.attributes["TimeSource"]) == (1685599200.0, "MJD-OBS")
    options = FitsOptions(earliest_year=2024)
    frame = read_bytes_as_file(tmp_path, data, options=options)
    assert (frame.timestamp, frame.attributes["TimeSource"]) == (None, "reception")
    assert "MJD-OBS = '60096.25' is before 2024" in str(frame.attributes["TimeFault"])
