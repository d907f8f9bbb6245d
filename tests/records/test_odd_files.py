"""Broken and unusual files that a camera uploads: pixels, or a fault that names what is wrong."""

from __future__ import annotations

import ftplib

import pytest

from tests.conftest import DATA

# What each ends in: pixels of this size (columns, rows), a fault of the driver, or a refusal (451).
ODD = {
    "astropy_history_header.fits": "expected an image",
    "astropy_o4sp040b0_raw.fits": (62, 44),
    "noheader.fits": (200, 200),
    "syn_bad_bitpix.fits": "expected BITPIX",
    "syn_empty.fits": ftplib.error_temp,
    "syn_not_fits.fits": "expected a FITS file",
    "syn_ok_128.fits": (128, 128),
    "syn_truncated_data.fits": ftplib.error_temp,
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_ends_in_pixels_or_in_a_clear_fault(ioc, uploads, name):
    path = DATA / "odd" / name
    if not path.exists():
        pytest.skip("the real frames are not here: ../shared/data/odd")
    number = ioc.get("CAM01:UniqueId_RBV")
    expected = ODD[name]

    if isinstance(expected, type):
        with pytest.raises(expected, match=r"451 .* got"):
            uploads.file(name, path.read_bytes())
        assert ioc.get("CAM01:UniqueId_RBV") == number
        return

    uploads.file(name, path.read_bytes())
    ioc.wait("CAM01:UniqueId_RBV", lambda unique_id: unique_id == number + 1)
    if isinstance(expected, str):
        message = ioc.wait("CAM01:Message_RBV", lambda text: text.startswith(name))
        assert expected in message
        assert message in (ioc.var / "log" / "tosip.log").read_text()
    else:
        ioc.wait("FOCUS01:UniqueId_RBV", lambda unique_id: unique_id == number + 1)
        size = [int(ioc.get(f"CAM01:ArraySize{axis}_RBV")) for axis in "XY"]
        assert tuple(size) == expected
