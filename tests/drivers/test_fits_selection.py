"""Which image of several becomes the frame, and which colours it has."""

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from tests.drivers.fits_files import ramp, read_bytes_as_file, stored
from tosip.drivers.fits import FitsFrame, read_fits, read_images
from tosip.drivers.fits_options import FitsOptions, checked_hdu
from tosip.errors import FrameError

SCI, DQ = ("SCI", "f4"), ("DQ", "u1")


def several(folder: Path, *units: Any, primary: Any = None) -> Path:
    """A file of images, each of (name, type) or (name, type, version or shape)."""
    path = folder / "several.fits"
    hdus = [fits.PrimaryHDU(primary)]
    for name, dtype, *more in units:
        shape = next((value for value in more if isinstance(value, tuple)), (12, 10))
        version = next((value for value in more if isinstance(value, int)), None)
        pixels = np.full(shape, len(hdus), dtype)
        hdus.append(fits.ImageHDU(pixels, name=name or None, ver=version))
    fits.HDUList(hdus).writeto(path)
    return path


def read(path: Path, hdu: str = "", **options: Any) -> FitsFrame:
    return read_fits(path, np.empty, options=FitsOptions(hdu, **options))


@pytest.mark.parametrize(
    ("units", "chosen"),
    [
        ([DQ, SCI], 2),
        ([("ERR", "f4"), ("VAR", "f4"), DQ, SCI, ("WHT", "f4")], 4),
        ([("MASK", "i2"), ("VARIANCE", "f4"), ("IMAGE", "f4")], 3),
        ([("BPM", "i4"), ("CCD1", "u2")], 2),
        ([("chip1.weight", "f4"), ("chip1", "f4")], 2),
        ([("STAT", "f4"), ("DATA", "f4")], 2),
        ([("PREVIEW", "u1", (3, 4)), ("", "u2", (120, 100))], 2),
        ([("", "u1", (12, 10)), ("", "u2", (120, 100))], 2),
        ([("", "u1"), ("", "u2")], 2),
        ([("SPECTRUM", "f4", (100,)), ("IMAGE", "f4")], 2),
        ([("AMP1", "u2"), ("AMP2", "u2")], 1),
        ([("HEADER_THUMBNAIL", "u2"), ("N1", "u2")], 2),
        ([("VARUNA", "u2"), ("OTHER", "u2")], 1),
        ([("READNOISE", "f4"), ("IMAGE", "f4")], 2),  # DESI
        ([("0-1.FLG", "f4"), ("0-1.E", "f4")], 2),  # Euclid
        ([("chip.mk", "f4"), ("chip.wt", "f4"), ("chip", "f4")], 3),  # Pan-STARRS
        ([("ERRS", "f4"), ("FLUX", "f4")], 2),
        ([("FLAGMAP", "f4"), ("OBJ", "f4")], 2),
        ([("NOISE", "f4"), ("SIGNAL", "f4")], 2),
        ([("", "u1", (3, 12, 10)), ("", "u2")], 2),
        ([DQ], 1),
    ],
)
def test_the_first_image_that_looks_like_an_exposure_is_read(tmp_path, units, chosen):
    frame = read(several(tmp_path, *units))
    assert (frame.pixels == chosen).all()
    if len(units) > 1:
        assert frame.attributes["ImagesInFile"] == len(units)
        assert frame.attributes["ImageHdu"] == chosen
        assert frame.choice.startswith(f"HDU {chosen}")


def test_a_thumbnail_in_the_primary_unit_is_passed_over(tmp_path):
    path = several(tmp_path, ("", "u2", (400, 400)), primary=np.zeros((20, 20), "u1"))
    assert read(path).pixels.shape == (400, 400)
    path.unlink()
    path = several(tmp_path, ("DQ", "u2", (400, 400)), primary=np.zeros((20, 20), "u1"))
    assert read(path).pixels.shape == (20, 20)


@pytest.mark.parametrize(
    ("hdu", "chosen"),
    [("1", 1), ("3", 3), ("SCI", 2), ("sci,2", 4), ("DQ", 1), ("ERR", 3), ("SCI , 1", 2)],
)
def test_the_configuration_chooses_by_number_name_and_version(tmp_path, hdu, chosen):
    path = several(tmp_path, DQ, (*SCI, 1), ("ERR", "f4"), (*SCI, 2))
    assert (read(path, hdu).pixels == chosen).all()


def test_images_of_a_file_with_too_many_units_are_not_left_out_silently(tmp_path):
    image = stored(np.ones((3, 2), "u1"), hdu=fits.ImageHDU)[2880:]
    path = tmp_path / "many.fits"
    path.write_bytes(stored(None) + 1001 * image)
    began = time.process_time()
    assert read(path).attributes["ImagesInFile"] == 999
    assert time.process_time() - began < 3
    images = read_images(path, np.empty, options=FitsOptions("all"))
    assert len(list(itertools.islice(images, 999))) == 999
    with pytest.raises(FrameError, match="expected at most 1000 HDUs, got more"):
        next(images)


@pytest.mark.parametrize("others", [[], [("GROUP", "i2")]])
def test_nothing_stands_in_for_science_of_too_many_axes(tmp_path, others):
    path = several(tmp_path, ("SCI", "f4", (2, 3, 12, 10)), *others)
    with pytest.raises(FrameError, match=r"2 or 3 axes, got HDU 1 SCI \(10x12x3x2\)$"):
        read(path)
    if others:
        assert (read(path, "GROUP").pixels == 2).all()


def test_the_first_unit_is_primary_and_a_version_may_be_a_float(tmp_path):
    path = several(tmp_path, (*SCI, 1), (*SCI, 2), primary=np.zeros((12, 10)))
    path.write_bytes(
        path.read_bytes().replace(b"                    2 / ext", b"                  2.0 / ext")
    )
    assert (read(path, "primary").pixels == 0).all()
    assert (read(path, "SCI,2").pixels == 2).all()


@pytest.mark.parametrize(
    ("hdu", "fault"),
    [
        ("0", r"expected an image in HDU 0, got HDU 0 \(no image\)"),
        ("7", r"expected an image in HDU 7, got HDU 1 DQ \(10x12\), HDU 2 SCI \(10x12\)"),
        ("SKY", "expected an image in HDU SKY, got HDU 1 DQ"),
        ("SCI,2", "expected an image in HDU SCI,2, got HDU 1 DQ"),
    ],
)
def test_a_choice_that_is_not_there_names_the_images(tmp_path, hdu, fault):
    with pytest.raises(FrameError, match=fault):
        read(several(tmp_path, DQ, SCI), hdu)


@pytest.mark.parametrize("hdu", ["SCI,x", ",2", "-1", "SCI,2,3"])
def test_a_choice_that_can_name_nothing_is_refused(hdu):
    with pytest.raises(ValueError, match="expected 'all', a number"):
        checked_hdu(hdu)


def test_all_images_are_read_in_order_with_their_names(tmp_path):
    path = several(tmp_path, DQ, SCI, ("", "i2", (5, 6)))
    frames = list(read_images(path, np.empty, options=FitsOptions("all")))
    assert [frame.attributes.get("EXTNAME") for frame in frames] == ["DQ", "SCI", None]
    assert [int(frame.pixels[0, 0]) for frame in frames] == [1, 2, 3]
    assert {frame.attributes["ImagesInFile"] for frame in frames} == {3}


def test_an_image_that_is_cut_short_is_no_reason_to_take_its_mask(tmp_path):
    path = several(tmp_path, DQ, SCI)
    path.write_bytes(path.read_bytes()[: 2880 * 4 + 100])
    with pytest.raises(FrameError, match="expected at least"):
        read(path)
    path.write_bytes(path.read_bytes()[: 2880 * 3 + 400])  # in the header of SCI
    with pytest.raises(FrameError, match="expected a header with an END card"):
        read(path)


def test_what_is_broken_behind_an_exposure_does_not_matter(tmp_path):
    path = several(tmp_path, SCI, DQ)
    path.write_bytes(path.read_bytes()[: 2880 * 3 + 400])
    assert (read(path).pixels == 1).all()


def test_all_images_before_a_broken_header_are_read_and_then_it_is_a_fault(tmp_path):
    path = several(tmp_path, SCI, SCI, SCI)
    path.write_bytes(path.read_bytes()[: 2880 * 5 + 400])
    images = read_images(path, np.empty, options=FitsOptions("all"))
    assert [int(next(images).pixels[0, 0]) for _ in range(2)] == [1, 2]
    with pytest.raises(FrameError, match="expected a header with an END card"):
        next(images)


def colours(folder: Path, shape: tuple[int, ...], **header: object) -> FitsFrame:
    return read_bytes_as_file(folder, stored(np.zeros(shape, "u2"), header=header))


@pytest.mark.parametrize(
    ("shape", "header", "mode"),
    [
        ((3, 30, 50), {}, "RGB3"),
        ((30, 50, 3), {}, "RGB1"),
        ((30, 3, 50), {}, "RGB2"),
        ((3, 30, 50), {"CTYPE3": "RGB"}, "RGB3"),
        ((30, 50, 3), {"CTYPE1": "RGB"}, "RGB1"),
        ((3, 30, 3), {"CTYPE1": "RGB"}, "RGB1"),
        ((3, 1, 30, 50), {"CTYPE4": "RGB"}, "RGB3"),
        ((1, 3, 30, 50), {}, "RGB3"),
        ((3, 30, 50), {"CTYPE3": "FREQ"}, "Mono"),
        ((3, 30, 50), {"CTYPE3": "TIME"}, "Mono"),
        ((4, 30, 50), {}, "Mono"),
        ((30, 50), {}, "Mono"),
    ],
)
def test_the_colour_mode_of_a_cube(tmp_path, shape, header, mode):
    assert colours(tmp_path, shape, **header).color_mode == mode


@pytest.mark.parametrize(
    ("header", "rows", "pattern"),
    [
        ({"BAYERPAT": "RGGB"}, 30, 0),
        ({"BAYERPAT": " gbrg "}, 30, 1),
        ({"BAYERPAT": "GRBG"}, 30, 2),
        ({"COLORTYP": "BGGR"}, 30, 3),
        ({"BAYERPAT": "RGGB", "XBAYROFF": 1}, 30, 2),
        ({"BAYERPAT": "RGGB", "YBAYROFF": 1}, 30, 1),
        ({"BAYERPAT": "RGGB", "XBAYROFF": 1, "YBAYROFF": 3}, 30, 3),
        ({"BAYERPAT": "RGGB", "XBAYROFF": "2"}, 30, 0),
        ({"BAYERPAT": "RGGB", "ROWORDER": "TOP-DOWN"}, 30, 0),
        ({"BAYERPAT": "RGGB", "ROWORDER": "BOTTOM-UP"}, 30, 1),
        ({"BAYERPAT": "RGGB", "ROWORDER": "BOTTOM-UP"}, 31, 0),
        ({"BAYERPAT": "NONE"}, 30, None),
        ({"BAYERPAT": True}, 30, None),
    ],
)
def test_the_pattern_of_a_colour_mosaic(tmp_path, header, rows, pattern):
    frame = colours(tmp_path, (rows, 50), **header)
    assert frame.color_mode == ("Mono" if pattern is None else "Bayer")
    assert frame.attributes.get("BayerPattern") == pattern


def test_a_primary_header_tells_the_mosaic_of_its_extensions_and_not_their_name(tmp_path):
    primary = fits.PrimaryHDU()
    primary.header.update(BAYERPAT="GRBG", EXTNAME="PRIMARY")
    fits.HDUList([primary, fits.CompImageHDU(ramp())]).writeto(tmp_path / "a.fits")
    frame = read(tmp_path / "a.fits")
    assert (frame.color_mode, frame.attributes["BayerPattern"]) == ("Bayer", 2)
    assert frame.attributes.get("EXTNAME") != "PRIMARY"
