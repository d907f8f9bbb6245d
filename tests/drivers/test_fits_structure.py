"""Headers that tell the structure and the scaling of an image in unusual ways."""

import re

import numpy as np
import pytest
from astropy.io import fits

from tests.drivers.fits_files import ramp, read_bytes_as_file, same, stored
from tosip.errors import FrameError

SIGNED = stored(ramp(dtype=np.int16))
UNSIGNED = stored(ramp() + 32768)


def carded(data: bytes, *cards: str) -> bytes:
    """Put cards in the place of those of the same keyword, or before the first END."""
    for card in cards:
        word = card[:8].encode()
        line = card.ljust(80).encode()
        match = re.search(rb"(?<=.{80})" + re.escape(word) + rb"= .{70}", data[:2880])
        if match and not card.endswith("~"):
            data = data[: match.start()] + line + data[match.end() :]
        else:
            line = card.removesuffix("~").ljust(80).encode()
            end = data.index(b"END ".ljust(80))
            data = data[:end] + line + data[end : 2880 - 80] + data[2880:]
    return data


@pytest.mark.parametrize("zero", ["'32768'", "' 32768.0 '", "3.2768D4", "+32768", "'3.2768E+04'"])
def test_scaling_written_as_text_is_read_as_cfitsio_does(tmp_path, zero):
    data = carded(UNSIGNED, f"BZERO   = {zero}", "BSCALE  = '1'")
    assert same(read_bytes_as_file(tmp_path, data).pixels, ramp() + 32768)


@pytest.mark.parametrize("keyword", ["BZERO", "BSCALE"])
@pytest.mark.parametrize(
    "value", ["'none'", "''", "", "T", "NaN", "'INF'", "1E400", "32768,5", "1 2"]
)
def test_scaling_that_is_no_number_names_its_keyword(tmp_path, keyword, value):
    with pytest.raises(FrameError, match=f"expected {keyword} to be a finite number, got "):
        read_bytes_as_file(tmp_path, carded(UNSIGNED, f"{keyword:8}= {value}"))


@pytest.mark.parametrize("value", ["0", "0.0", "'0'", "-0.0"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_scale_of_zero_names_its_keyword(tmp_path, value, dtype):
    data = carded(stored(ramp(dtype=dtype)), f"BSCALE  = {value}")
    with pytest.raises(FrameError, match="expected BSCALE other than 0, got "):
        read_bytes_as_file(tmp_path, data)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8"])
@pytest.mark.parametrize(("scale", "zero"), [(0.1, 7.3), (1, 5), (2, 0), (-1.5, 32768), (1, 1e19)])
def test_scaled_pixels_equal_astropys_to_the_bit(tmp_path, dtype, scale, zero):
    data = stored(ramp(dtype=dtype), header={"BSCALE": scale, "BZERO": zero})
    frame = read_bytes_as_file(tmp_path, data)
    with fits.open(tmp_path / "frame.fits", memmap=False) as units:
        assert same(frame.pixels, units[0].data)


@pytest.mark.parametrize(
    "cards",
    [
        ["BITPIX  = 16.0"],
        ["BITPIX  = '16'", "NAXIS   = '2 '", "NAXIS1  = 5E1"],
        ["BITPIX  = 16~", "NAXIS1  = 50.0~", "NAXIS2  = '30'~"],
    ],
)
def test_structure_written_or_repeated_otherwise_is_read(tmp_path, cards):
    assert same(read_bytes_as_file(tmp_path, carded(SIGNED, *cards)).pixels, ramp(dtype=np.int16))


@pytest.mark.parametrize(
    ("card", "fault"),
    [
        ("BITPIX  = 32~", "expected BITPIX once, got 16 and 32"),
        ("NAXIS1  = 51~", "expected NAXIS1 once, got 50 and 51"),
        ("NAXIS2  = x~", "expected NAXIS2 once, got 30 and x"),
        ("BITPIX  = 16.5", "expected BITPIX from -64 to 64, got 16.5"),
        ("NAXIS1  = '5 0'", "expected NAXIS1 .*, got 5 0"),
    ],
)
def test_structure_that_conflicts_names_its_keyword(tmp_path, card, fault):
    with pytest.raises(FrameError, match=fault):
        read_bytes_as_file(tmp_path, carded(SIGNED, card))


@pytest.mark.parametrize("cards", [["naxis1  = 50"], ["NAXIS1  =50", "NAXIS2=30"], ["BITPIX = 16"]])
def test_structure_in_lower_case_or_with_its_equals_sign_elsewhere_is_read(tmp_path, cards):
    data = SIGNED
    for card in cards:
        word = card.partition("=")[0].strip().upper().encode()
        data = re.sub(word.ljust(8) + rb"= .{70}", card.ljust(80).encode(), data)
    assert same(read_bytes_as_file(tmp_path, data).pixels, ramp(dtype=np.int16))


@pytest.mark.parametrize(
    "card",
    ["bzero   = 32768", "BZERO   =32768", "BZERO = 32768", "BZERO\t=\t'32768'", "Bzero=32768."],
)
def test_scaling_that_is_an_attribute_is_applied_too(tmp_path, card):
    frame = read_bytes_as_file(tmp_path, carded(SIGNED, f"{card}~"))
    assert same(frame.pixels, ramp() + 32768)
    assert float(frame.attributes["BZERO"]) == 32768


@pytest.mark.parametrize("card", ["BSCALE  =0", "bscale  = 0.0", "BSCALE = '0'"])
def test_a_scale_of_zero_is_found_however_it_is_spelled(tmp_path, card):
    with pytest.raises(FrameError, match="expected BSCALE other than 0, got 0"):
        read_bytes_as_file(tmp_path, carded(SIGNED, f"{card}~"))


@pytest.mark.parametrize("count", [33, 999, 1000])
def test_more_axes_than_an_array_can_have_name_their_keyword(tmp_path, count):
    axes = [f"{f'NAXIS{n}':8}= 1~" for n in range(3, 25)]
    with pytest.raises(FrameError, match=f"expected NAXIS from 0 to 32, got {count}"):
        read_bytes_as_file(tmp_path, carded(SIGNED, f"NAXIS   = {count}", *axes))


@pytest.mark.parametrize("hdu", [fits.ImageHDU, fits.CompImageHDU])
def test_an_extension_without_its_counts_is_read(tmp_path, hdu):
    pixels = ramp(64, 64, np.int16)
    data = stored(pixels, hdu=hdu)
    data = re.sub(rb"GCOUNT  =.{71}", b" " * 80, data)
    if hdu is fits.ImageHDU:  # a table's heap has a PCOUNT
        data = re.sub(rb"PCOUNT  =.{71}", b" " * 80, data)
    assert same(read_bytes_as_file(tmp_path, data).pixels, pixels)


def test_a_compressed_image_with_unusual_cards_is_read(tmp_path):
    pixels = ramp(64, 64) + 30000
    data = stored(pixels, hdu=fits.CompImageHDU)
    data = re.sub(rb"(?<=ZBITPIX =) {18}16", b" '16'".ljust(20), data)
    data = re.sub(rb"(?<=BZERO   =) {16}32768", b" '32768'".ljust(21), data)
    frame = read_bytes_as_file(tmp_path, data)
    assert same(frame.pixels, pixels)
    assert frame.attributes["BZERO"] == "32768"


@pytest.mark.parametrize("card", ["KÉY     = 5", "zbitpix = 16", "ZBITPIX =16", "bzero   = 32768"])
def test_a_compressed_image_with_cards_that_bend_the_rules_is_read(tmp_path, card):
    pixels = ramp(64, 64) + 30000
    data = stored(pixels, header={"SPARE": 1}, hdu=fits.CompImageHDU)
    data = re.sub(rb"SPARE   =.{71}", card.encode().ljust(80), data)
    assert same(read_bytes_as_file(tmp_path, data).pixels, pixels)


def test_each_row_is_a_tile_where_the_header_does_not_say(tmp_path):
    pixels = ramp(64, 64) + 30000
    data = re.sub(rb"ZTILE\d  =.{71}", b" " * 80, stored(pixels, hdu=fits.CompImageHDU))
    assert same(read_bytes_as_file(tmp_path, data).pixels, pixels)


def test_tiles_whose_places_cannot_be_read_name_their_column(tmp_path):
    data = stored(ramp(64, 64), hdu=fits.CompImageHDU).replace(b"1PB(", b"1QB(")
    with pytest.raises(FrameError, match="expected COMPRESSED_DATA of variable length, got 1QB"):
        read_bytes_as_file(tmp_path, data)


@pytest.mark.parametrize("shape", [(1, 30, 50), (1, 1, 30, 50), (30, 1, 50), (1, 30, 1, 50)])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_axes_of_one_are_dropped_wherever_they_are(tmp_path, shape, dtype):
    data = stored(ramp(dtype=dtype).reshape(shape))
    assert same(read_bytes_as_file(tmp_path, data).pixels, ramp(dtype=dtype))


@pytest.mark.parametrize(
    ("shape", "kept"),
    [((50,), (1, 50)), ((1, 50), (1, 50)), ((50, 1), (50, 1)), ((1, 1, 50), (1, 50))],
)
def test_a_line_stays_an_image_of_two_axes(tmp_path, shape, kept):
    assert read_bytes_as_file(tmp_path, stored(np.ones(shape, "i2"))).pixels.shape == kept


def test_an_axis_of_zero_is_no_image(tmp_path):
    with pytest.raises(FrameError, match="expected an image of 2 or 3 axes"):
        read_bytes_as_file(tmp_path, carded(SIGNED, "NAXIS2  = 0"))


@pytest.mark.parametrize("pixels", [ramp() + 7, ramp(dtype=np.int16), ramp(9, 9, np.int64)])
@pytest.mark.parametrize("tiled", [False, True])
def test_undefined_pixels_are_known_and_integers_stay_integers(tmp_path, pixels, tiled):
    size = 8 * pixels.itemsize - 1
    blank = -(2**size) + 7 if pixels.dtype.kind == "u" else 7
    if tiled and pixels.itemsize == 8:
        pixels = pixels.astype(np.int32)
    pixels[3, 2:5] = 7
    hdu = fits.CompImageHDU if tiled else fits.PrimaryHDU
    frame = read_bytes_as_file(tmp_path, stored(pixels, header={"BLANK": blank}, hdu=hdu))
    assert same(frame.pixels, pixels)
    assert frame.attributes["UndefinedPixels"] == np.count_nonzero(pixels == 7)
    assert frame.attributes["UndefinedValue"] == 7


@pytest.mark.parametrize("pixels", [ramp(64, 64) + 7, ramp(64, 64, np.int32)])
def test_zblank_of_compressed_integers_is_their_blank(tmp_path, pixels):
    pixels[3, 2:5] = 7
    data = stored(pixels, header={"SPARE": 1}, hdu=fits.CompImageHDU)
    blank = 7 - 32768 if pixels.dtype == np.uint16 else 7
    data = re.sub(rb"SPARE   =.{71}", f"ZBLANK  = {blank}".ljust(80).encode(), data)
    frame = read_bytes_as_file(tmp_path, data)
    assert same(frame.pixels, pixels)
    assert frame.attributes["UndefinedPixels"] == np.count_nonzero(pixels == 7)
    assert frame.attributes["UndefinedValue"] == 7


def test_undefined_pixels_of_scaled_frames_are_nan(tmp_path):
    data = stored(ramp(dtype=np.int16), header={"BSCALE": 0.5, "BLANK": 7})
    frame = read_bytes_as_file(tmp_path, data)
    assert np.argwhere(np.isnan(frame.pixels)).tolist() == [[0, 7]]
    assert frame.attributes["UndefinedPixels"] == 1


@pytest.mark.parametrize("blank", ["99999", "-32769", "'x'", "1.5", "T"])
def test_a_blank_that_no_pixel_can_have_is_ignored(tmp_path, blank):
    frame = read_bytes_as_file(tmp_path, carded(SIGNED, f"BLANK   = {blank}"))
    assert same(frame.pixels, ramp(dtype=np.int16))
    assert "UndefinedPixels" not in frame.attributes


def test_blank_does_not_count_for_floats(tmp_path):
    frame = read_bytes_as_file(tmp_path, carded(stored(ramp(dtype="f4")), "BLANK   = 7"))
    assert same(frame.pixels, ramp(dtype="f4"))
    assert "UndefinedPixels" not in frame.attributes


def test_undefined_pixels_are_counted_over_all_chunks(tmp_path):
    pixels = np.zeros((701, 503), np.uint16)
    pixels[::7] = 1
    data = stored(pixels, header={"BLANK": -32767})
    assert read_bytes_as_file(tmp_path, data).attributes["UndefinedPixels"] == 101 * 503
