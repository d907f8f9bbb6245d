"""Real frames, and real odd files."""

import math

import numpy as np
import pytest

from tests.drivers.fits_files import astropy_image, outcome, same
from tosip.drivers.fits import read_fits
from tosip.errors import FrameError

_ODD = {
    "astropy_history_header.fits": "expected an image of 2 or 3 axes, got none in 1 header",
    "astropy_o4sp040b0_raw.fits": ((44, 62), 893097495.0),
    "noheader.fits": ((200, 200), None),
    "syn_bad_bitpix.fits": "expected BITPIX of 8, 16, 32, 64, -32, -64, got 17",
    "syn_empty.fits": "expected a FITS file, got an empty file",
    "syn_not_fits.fits": "expected a FITS file .plain, gzip or bzip2., got one starting",
    "syn_ok_128.fits": ((128, 128), 1557797514.0),
    "syn_truncated_data.fits": "expected at least 38528 bytes .*, got 25320",
}


def test_every_file_ends_in_the_right_pixels_or_a_fault(real_frames):
    frames = 0
    for path in sorted(p for p in real_frames.glob("*/*") if p.is_file()):
        frame = outcome(path)
        if frame is not None:
            assert same(frame.pixels, astropy_image(path)), path.name
            frames += 1
        else:
            assert path.parent.name == "odd" or path.suffix in (".dat", ".csv"), path.name
    assert frames >= 30


def test_every_odd_file_has_its_expected_outcome(real_frames):
    assert {path.name for path in (real_frames / "odd").iterdir()} == set(_ODD)


@pytest.mark.parametrize("name", _ODD)
def test_odd(real_frames, name):
    path, expected = real_frames / "odd" / name, _ODD[name]
    if isinstance(expected, str):
        with pytest.raises(FrameError, match=f"^{name}: {expected}"):
            read_fits(path, np.empty)
    else:
        frame = read_fits(path, np.empty)
        assert (frame.pixels.shape, frame.timestamp) == expected
        assert frame.pixels.dtype == np.uint16
        assert same(frame.pixels, astropy_image(path))


def test_rice_equals_uncompressed(real_frames):
    rice = read_fits(real_frames / "compressed/m13_rice.fits", np.empty)
    plain = read_fits(real_frames / "compressed/m13.fits", np.empty)
    assert same(rice.pixels, plain.pixels)


def test_a_string_that_looks_like_a_number_stays_a_string(real_frames):
    focus = read_fits(real_frames / "donut/focusinit.fits.gz", np.empty)
    assert focus.attributes["FOCUS"] == "2637"
    assert focus.timestamp == 1550715280.667
    path = real_frames / "float/c4d_170316_062107_ooi_z_ls9.N2.fits"
    assert read_fits(path, np.empty).attributes["DIMMSEE"] == "NaN"


def test_the_focus_sweep_tells_its_positions(real_frames):
    paths = sorted((real_frames / "focus_sweep").iterdir())
    frames = [read_fits(path, np.empty) for path in paths]
    positions = [f.attributes["FOCUSPOS"] for f in frames]
    assert all(isinstance(position, float) for position in positions)
    # One file is named after 8000 but was taken at 8025, as its header says.
    assert sorted(set(positions)) == [
        *(7350, 7450, 7550, 7650, 7750, 7825, 7850, 7900, 7950),
        *(8025, 8075, 8100, 8200, 8300, 8400, 8500),
    ]
    assert all(f.pixels.dtype == np.uint16 and f.pixels.shape == (880, 1164) for f in frames)
    assert all(math.isfinite(f.timestamp or math.nan) for f in frames)


def test_an_empty_primary_hands_its_keywords_to_the_first_amplifier(real_frames):
    frame = read_fits(real_frames / "mef/mef_raw_test_frame.fits", np.empty)
    assert frame.pixels.shape == (522, 544)
    assert frame.attributes["SATURATE"] == 40000
    assert isinstance(frame.attributes["FOCTEMP"], float)
