"""The focus algorithm on frames of real cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from tests.plugins.stars import figures, measured
from tosip import Status
from tosip.focus_curve import fit_focus_curve
from tosip.plugins.focus import Figures, Outcome

pytestmark = pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")


def read(path: Path, unit: int = 0) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    with fits.open(path) as units:
        pixels = np.array(units[unit].data)
        header = {key: units[unit].header[key] for key in units[unit].header if key}
    return pixels.astype(pixels.dtype.newbyteorder("=")), header


@pytest.fixture(scope="module")
def sweep(focus_sweep: list[Path]) -> list[tuple[float, Figures]]:
    frames = [read(path) for path in focus_sweep]
    return sorted(
        ((header["FOCUSPOS"], figures(image, header)) for image, header in frames),
        key=lambda point: point[0],
    )


def test_every_frame_of_the_sweep_has_a_width(sweep):
    assert len(sweep) == 17
    assert all(found.outcome is Outcome.FOCUS_STAR for _, found in sweep)
    assert all(found.stars == 1 for _, found in sweep)
    assert all(found.ellipticity < 0.2 for _, found in sweep)


def test_width_against_position_is_a_v(sweep):
    position = np.array([position for position, _ in sweep])
    hfd = np.array([found.hfd_pixels for _, found in sweep])
    assert np.all(np.diff(hfd[position < 7960]) < 0)
    assert np.all(np.diff(hfd[position > 8050]) > 0)
    for arm in (position < 7860, position > 8100):
        assert abs(np.corrcoef(position[arm], hfd[arm])[0, 1]) > 0.999
    assert hfd.max() == pytest.approx(47, abs=2)


def test_best_focus_is_where_others_found_it(sweep):
    curve = fit_focus_curve(*zip(*[(p, found.hfd_pixels) for p, found in sweep], strict=True))
    assert curve.accepted
    assert curve.best == pytest.approx(7989, abs=10)
    assert curve.floor == pytest.approx(3.1, abs=0.4)
    assert curve.slope == pytest.approx(0.0735, rel=0.02)
    assert curve.r_squared > 0.99


def test_arcseconds_come_from_pixel_size_and_focal_length(sweep):
    _, found = sweep[0]
    assert found.hfd / found.hfd_pixels == pytest.approx(206.265 * 3.8 / 1400)


@pytest.mark.parametrize("unit", [1, 2])
def test_defocused_field_with_a_bad_column(data, unit):
    image, header = read(data / "donut" / "focusinit.fits.gz", unit)
    found = figures(image, header)
    assert found.outcome is Outcome.GOOD
    assert found.stars >= 15
    assert found.hfd_pixels == pytest.approx(17.3, abs=0.7)


@pytest.mark.parametrize("name", ["S4", "S25"])
def test_donuts_wider_than_the_aperture_are_not_published(data, name):
    image, header = read(data / "donut" / f"DECam_00236392.{name}.0001.stamp.fits")
    found = figures(image, header)
    assert found.outcome is not Outcome.GOOD
    assert np.isnan(found.hfd)


def test_cosmic_rays_of_a_sparse_field_are_no_stars(data):
    image, header = read(data / "fields" / "a8280271.fits")
    result = measured(image, header)
    assert isinstance(result.outputs, Figures)
    assert result.outputs.stars == 2  # of five real ones; the cosmic rays are dozens
    assert result.outputs.hfd_pixels > 8  # a cosmic ray is 1 to 2 pixels wide
    assert result.status is Status.WARNING
    assert figures(image, header, focus_star_snr=0.0).outcome is Outcome.FEW_STARS


@pytest.mark.parametrize("name", ["iceact_cloudy.fits.gz", "cloudynight_003.fits.bz2"])
def test_cloudy_all_sky_frames_publish_no_width(data, name):
    found = figures(*read(data / "allsky" / name))
    assert found.outcome is not Outcome.GOOD
    assert np.isnan(found.hfd)
    assert found.sky > 1000


@pytest.mark.parametrize(
    ("name", "unit", "low", "high"),
    [
        ("compressed/m13.fits", 0, 3.0, 4.0),
        ("mef/mef_raw_test_frame.fits", 1, 3.0, 4.2),
        ("float/c4d_170316_062107_ooi_z_ls9.N2.fits", 1, 3.7, 4.6),
    ],
)
def test_ordinary_fields_have_ordinary_widths(data, name, unit, low, high):
    found = figures(*read(data / name, unit))
    lone = Outcome.FOCUS_STAR if found.stars == 1 else Outcome.GOOD
    assert found.outcome is lone
    assert low < found.hfd_pixels < high


@pytest.mark.parametrize("name", ["sep_image.fits", "sep_back.fits"])
def test_crowded_and_empty_cutouts_end_in_an_outcome(data, name):
    assert figures(*read(data / "float" / name)).outcome in Outcome


def test_clear_all_sky_frames_end_in_an_outcome(data):
    for name in ("iceact_starry.fits.gz", "cloudynight_005.fits.bz2"):
        assert figures(*read(data / "allsky" / name)).outcome in Outcome
