"""The simulated sky looks as its truth says."""

import io
from time import process_time
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from tosip.drivers.sky import (
    Conditions,
    StarField,
    Telescope,
    Truth,
    expose,
    fits_bytes,
    half_flux_diameter,
)
from tosip.drivers.sky_psf import make_psf

QUIET = Telescope(read_noise=0.5, gain=50.0)
FEW = StarField((400, 400), np.array([100.0]), np.array([200.0]), np.array([1e5]))


def _single(telescope: Telescope = QUIET, **conditions: Any) -> tuple[Any, Truth]:
    """A lone bright star on a dark sky, background taken off, and the truth."""
    frame, truth = expose(FEW, Conditions(sky=0.0, **conditions), telescope)
    return frame.astype(float) - telescope.bias, truth


def _moments(image: Any, radius: int = 45) -> list[float]:
    part = image[200 - radius : 201 + radius, 100 - radius : 101 + radius]
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    total = part.sum()
    return [float((part * m).sum() / total) for m in (x, y, x * x, y * y, x * y)]


def _hfd(image: Any) -> float:
    """Half-flux diameter by the flux in growing circles, pixels cut up ten times ten.

    The cutting blurs by another pixel, whose half-flux diameter is taken off.
    """
    part = image[200 - 40 : 200 + 41, 100 - 40 : 100 + 41]
    fine = np.kron(part, np.ones((10, 10))) / 100
    y, x = (np.mgrid[: fine.shape[0], : fine.shape[1]] - 404.5) / 10
    radius = np.hypot(x, y).ravel()
    order = np.argsort(radius)
    within = np.cumsum(fine.ravel()[order])
    blurred = 2 * radius[order][np.searchsorted(within, 0.5 * part.sum())]
    return float((blurred**2 - 2.355**2 / 12) ** 0.5)


@pytest.mark.parametrize("steps", [0, 20, -40, 80, 150, 300])
def test_the_half_flux_diameter_is_the_truths(steps):
    image, truth = _single(focus=8000 + steps)
    assert truth.hfd == pytest.approx(half_flux_diameter(QUIET, Conditions(focus=8000 + steps)))
    assert _hfd(image) == pytest.approx(truth.hfd, rel=0.05)


@pytest.mark.parametrize("hfd", [2.2, 2.3, 3.0, 5.0, 9.0, 20.0])
def test_the_star_image_has_exactly_the_half_flux_diameter_asked_for(hfd):
    psf = make_psf(2.2, hfd, 0.45, (0.0, 0.0), (0.0, 0.0))
    pixels = np.arange(psf.size) - psf.size // 2 - np.arange(8)[:, np.newaxis] / 8
    radius = np.hypot(pixels[:, np.newaxis, :, np.newaxis], pixels[np.newaxis, :, np.newaxis, :])
    order = np.argsort(radius.ravel())
    within = np.cumsum(psf.images.ravel()[order].astype(float))
    half = np.searchsorted(within, within[-1] / 2)
    assert 2 * radius.ravel()[order][half] == pytest.approx(hfd, rel=0.01, abs=0.06)


def test_defocus_is_a_hyperbola():
    floor, far = (half_flux_diameter(QUIET, Conditions(focus=z)) for z in (8000, 8200))
    assert far**2 - floor**2 == pytest.approx((0.0735 * 200) ** 2)


def test_a_star_far_out_of_focus_is_a_donut():
    image, truth = _single(focus=8250)
    ring = image[200, 100 + round(truth.hfd / 2)]
    assert image[200, 100] < 0.2 * ring


def test_flux_and_place_are_the_truths():
    image, truth = _single(focus=8050)
    x, y = _moments(image)[:2]
    assert (x, y) == pytest.approx((0, 0), abs=0.02)
    assert image.sum() == pytest.approx(truth.flux[0], rel=0.02)


def test_ellipticity_and_trail():
    round_x2 = _moments(_single()[0], 15)[2]
    xx, yy, xy = _moments(_single(ellipticity=(0.2, -0.1))[0], 15)[2:]
    assert (xx - yy) / (xx + yy) == pytest.approx(0.2, abs=0.03)
    assert 2 * xy / (xx + yy) == pytest.approx(-0.1, abs=0.03)
    assert _moments(_single(trail=(6.0, 0.0))[0], 15)[2] > round_x2 + 2.5


def test_astigmatism_changes_sign_through_focus():
    telescope = Telescope(astigmatism=0.002)
    truths = [expose(FEW, Conditions(focus=z), telescope)[1] for z in (7950, 8050)]
    assert [t.ellipticity[1] for t in truths] == pytest.approx([-0.1, 0.1])


def test_cloud_dims_and_bright_stars_saturate():
    image, truth = _single(transparency=0.2)
    assert truth.flux[0] == 2e4
    assert image.sum() == pytest.approx(2e4, rel=0.03)
    bright = StarField(FEW.shape, FEW.x, FEW.y, FEW.flux * 100)
    frame, truth = expose(bright)
    assert truth.saturated.all()
    assert frame.max() == 65535


def test_noise_and_gradient_of_the_sky():
    empty = StarField.random((512, 512), 1, stars=0)
    sky = Conditions(sky=2000.0, gradient=(0.1, 0.0))
    frame, _ = expose(empty, sky, Telescope(gain=2.0, read_noise=10.0, bias=500.0))
    assert frame.mean() == pytest.approx(2500, abs=1)
    assert frame[:, :8].mean() == pytest.approx(2400, abs=3)
    assert frame[:, 252:260].std() == pytest.approx((2000 * 2 + 100) ** 0.5 / 2, rel=0.05)


def test_cosmic_rays_and_hot_pixels_stand_out():
    field = StarField.random((256, 256), 1, stars=0, hot_pixels=5)
    plain, other = (expose(field, seed=seed)[0] for seed in (1, 2))
    assert np.count_nonzero((plain > 3000) & (other > 3000)) == 5
    rays, _ = expose(field, Conditions(cosmic_rays=20), seed=1)
    assert np.count_nonzero(rays > plain + 900) > 20


def test_the_same_seed_gives_the_same_frame_and_another_does_not():
    field = StarField.random((128, 128), 1)
    first, again, other = (expose(field, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert np.count_nonzero(first != other) > 15000


def test_stars_at_and_beyond_the_edge_are_cut_off():
    places = np.array([-20.0, 0.0, 63.0, 90.0])
    frame, _ = expose(StarField((64, 64), places, places, np.full(4, 1e5)))
    assert frame[0, 0] > 5000
    assert frame[63, 63] > 5000
    assert frame[32, 32] < 3000


def test_a_frame_smaller_than_its_stars_images():
    frame, _ = expose(StarField.random((12, 7), 1, stars=3), Conditions(focus=8300))
    assert frame.shape == (12, 7)


def test_fits_bytes_is_what_astropy_reads():
    frame, _ = expose(StarField.random((100, 70), 1))
    with fits.open(io.BytesIO(fits_bytes(frame, {"CAMERA": 3, "AMBTEMP": 7.5}))) as units:
        units.verify("exception")
        assert np.array_equal(units[0].data, frame)
        assert (units[0].header["CAMERA"], units[0].header["AMBTEMP"]) == (3, 7.5)
    assert len(fits_bytes(frame, {})) % 2880 == 0


def test_a_frame_is_made_fast_enough_for_sixteen_cameras():
    field = StarField.random((1024, 1024), 1)
    times = []
    for seed in range(5):
        start = process_time()
        expose(field, seed=seed)
        times.append(process_time() - start)
    assert min(times) < 0.1  # 15 ms on an idle machine
