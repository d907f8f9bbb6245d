"""The focus algorithm on star fields whose truth is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plugins import stars
from tests.plugins.stars import counts, donut, field, figures, gaussian, measured, moffat, true_hfd
from tosip import Severity, Status
from tosip.drivers.sky import Conditions, StarField, expose
from tosip.plugins.focus import Figures, Focus, Outcome
from tosip.reading import describe
from tosip.stars.binning import binned

ROUND = gaussian(2.6)
WIDTHS = ("hfd", "hfd_pixels", "fwhm", "ellipticity", "e1", "e2")


def withheld(found: Figures) -> bool:
    return all(math.isnan(getattr(found, name)) for name in WIDTHS)


def test_declaration_is_accepted():
    description = describe(Focus)
    assert [f.name for f in description.outputs][:3] == ["hfd", "hfd_pixels", "fwhm"]
    severity = dict(
        zip(
            description.output("outcome").choices,
            description.output("outcome").severities,
            strict=True,
        )
    )
    assert severity["few stars"] is Severity.MINOR
    assert severity["no stars"] is Severity.MAJOR


@pytest.mark.parametrize("fwhm", [1.2, 1.5, 2.0, 2.6, 3.5, 5.0, 6.5])
def test_hfd_of_gaussian_stars_is_unbiased(fwhm):
    found = figures(counts(field(gaussian(fwhm))))
    assert found.outcome is Outcome.GOOD
    assert found.hfd_pixels == pytest.approx(true_hfd(gaussian(fwhm)), rel=0.02)


@pytest.mark.parametrize("fwhm", [1.8, 3.0, 4.0])
def test_hfd_of_stars_with_wings_is_unbiased(fwhm):
    found = figures(counts(field(moffat(fwhm))))
    assert found.hfd_pixels == pytest.approx(true_hfd(moffat(fwhm)), rel=0.02)


@pytest.mark.parametrize("fwhm", [2.0, 3.5, 6.5])
def test_fwhm_is_that_of_the_recorded_gaussian(fwhm):
    recorded = (fwhm**2 + 8 * math.log(2) / 12) ** 0.5
    assert figures(counts(field(gaussian(fwhm)))).fwhm / 1.47 == pytest.approx(recorded, rel=0.02)


@pytest.mark.parametrize("radius", [6, 9, 14, 20, 26])
def test_hfd_is_linear_on_donuts(radius):
    shape = donut(radius)
    frame = counts(field(shape, count=25, side=1024, half=32, faintest=1e6))
    found = figures(frame)
    assert found.outcome is Outcome.GOOD
    assert found.hfd_pixels == pytest.approx(true_hfd(shape), rel=0.02)


def test_thin_cloud_does_not_change_the_width():
    clear = figures(counts(field(ROUND, faintest=40_000)))
    dim = figures(counts(field(ROUND, faintest=40_000, dim=0.2, seed=2)))
    assert dim.hfd == pytest.approx(clear.hfd, rel=0.005)


def test_width_repeats_from_frame_to_frame():
    widths = [figures(counts(field(ROUND, seed=seed))).hfd for seed in range(6)]
    assert np.std(widths) / np.mean(widths) < 0.004


def test_the_same_frame_gives_the_same_bits():
    frame = counts(field(ROUND))
    assert figures(frame) == figures(frame.copy()) == figures(np.asfortranarray(frame))


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint32, np.float32, np.float64])
def test_the_pixel_type_does_not_matter(kind):
    frame = counts(field(ROUND))
    assert figures(frame.astype(kind)).hfd == pytest.approx(figures(frame).hfd, rel=1e-6)


def test_undefined_pixels_are_left_out():
    frame = counts(field(ROUND))
    spoilt = frame.copy()
    spoilt[:, 100:140] = spoilt[50:60] = 0
    undefined = {"UndefinedPixels": int((spoilt == 0).sum()), "UndefinedValue": 0}
    known = figures(frame)
    found = figures(spoilt, undefined)
    assert found.sky == pytest.approx(known.sky, rel=0.01)
    assert found.sky_noise == pytest.approx(known.sky_noise, rel=0.05)
    assert found.hfd_pixels == pytest.approx(known.hfd_pixels, rel=0.02)
    assert found == figures(np.where(spoilt == 0, np.float32(np.nan), spoilt).astype(np.float32))


def test_sky_gradient_does_not_bias():
    frame = field(ROUND)
    slope = 0.05 * stars.SKY * np.linspace(-0.5, 0.5, len(frame))
    tilted = figures(counts(frame + slope + slope[:, None]))
    assert tilted.hfd == pytest.approx(figures(counts(frame)).hfd, rel=0.002)
    assert tilted.sky == pytest.approx(stars.SKY, rel=0.01)


def test_sky_and_its_noise_are_found_although_the_camera_counts_coarsely():
    found = figures(counts(field(ROUND)) // 16 * 16 + 8)
    assert found.sky == pytest.approx(stars.SKY, abs=1.5)
    assert found.sky_noise == pytest.approx(stars.NOISE, rel=0.15)


def test_cosmic_rays_are_left_out():
    frame = field(ROUND)
    clean, hit = figures(counts(frame)), figures(counts(stars.add_cosmic_rays(frame, 70)))
    assert hit.hfd == pytest.approx(clean.hfd, rel=0.005)
    assert hit.stars <= clean.stars


def test_saturated_stars_are_counted_and_left_out():
    frame = field(ROUND)
    bright = stars.places(100, 768, 11)[[12, 45, 77]].round().astype(int)
    y, x = np.indices(frame.shape).astype(float)
    for row, column in bright:
        frame += 1e6 * gaussian(2.6)(y - row, x - column)
    found = figures(counts(frame))
    assert found.saturated == 3
    assert found.hfd == pytest.approx(figures(counts(field(ROUND))).hfd, rel=0.005)


def test_saturation_is_learnt_from_flat_tops():
    frame = counts(field(ROUND)).clip(0, 4000)
    found = figures(frame)
    assert found.saturated > 3
    assert found.hfd_pixels == pytest.approx(true_hfd(ROUND), rel=0.01)
    assert figures(frame, {"SATURATE": "3920"}).saturated == found.saturated
    assert figures(frame, {"SATURATE": 65535}, saturation=3920.0).saturated == found.saturated


def test_a_frame_of_saturated_stars_is_saturated():
    found = figures(counts(field(ROUND, count=20)), saturation=1500.0)
    assert found.outcome is Outcome.SATURATED
    assert withheld(found)


def test_a_saturated_sky_is_saturated():
    found = figures(counts(field(ROUND) + 70_000))
    assert found.outcome in (Outcome.SATURATED, Outcome.UNUSABLE)
    assert withheld(found)


@pytest.mark.parametrize("rays", [0, 20, 100, 400])
def test_clouds_with_cosmic_rays_show_no_stars(rays):
    result = measured(counts(stars.add_cosmic_rays(field(ROUND, dim=0.0), rays)))
    found = result.outputs
    assert isinstance(found, Figures)
    assert found.outcome in (Outcome.NO_STARS, Outcome.FEW_STARS)
    assert withheld(found)
    assert found.sky == pytest.approx(stars.SKY, rel=0.01)
    assert result.status is Status.WARNING
    assert "too few" in result.message


def test_few_faint_stars_publish_no_width():
    found = figures(counts(field(ROUND, count=6, faintest=2000)))
    assert found.outcome is Outcome.FEW_STARS
    assert 4 <= found.stars <= 6
    assert withheld(found)
    assert figures(counts(field(ROUND, count=6, faintest=2000)), minimum_stars=4).hfd > 0


def test_a_focus_star_is_believed_alone_and_says_so():
    frame = counts(field(gaussian(3.5), count=1, faintest=200_000))
    result = measured(frame)
    found = result.outputs
    assert isinstance(found, Figures)
    assert (found.outcome, found.stars) == (Outcome.FOCUS_STAR, 1)
    assert found.hfd_pixels == pytest.approx(true_hfd(gaussian(3.5)), rel=0.02)
    assert result.status is Status.WARNING
    assert "few stars" in result.message
    assert withheld(figures(frame, focus_star_snr=0.0))


def test_clusters_of_hot_pixels_are_no_focus_star():
    frame = counts(np.zeros((600, 600)))
    for cluster in (
        [[40_000, 30_000]],
        [[40_000, 20_000], [30_000, 5_000]],
        np.full((2, 2), 30_000),
    ):
        hot = frame.copy()
        hot[300 : 300 + len(cluster), 300 : 300 + len(cluster[0])] = cluster
        found = figures(hot)
        assert found.outcome is not Outcome.GOOD
        assert withheld(found)


def test_a_mosaic_of_colours_is_measured_in_bins():
    stars = field(gaussian(4.0))
    plain = figures(counts(stars))
    mosaic = counts(stars)
    mosaic[0::2, 0::2] //= 2
    mosaic[1::2, 1::2] //= 3
    found = figures(mosaic, {"BAYERPAT": "RGGB"})
    assert found.outcome is Outcome.GOOD
    assert found.stars > 0.7 * plain.stars
    assert found.hfd_pixels == pytest.approx(plain.hfd_pixels, rel=0.08)
    assert found.hfd / found.hfd_pixels == pytest.approx(plain.hfd / plain.hfd_pixels)


def test_a_saturated_pixel_saturates_its_bin():
    image = np.full((5, 4), 100, np.uint16)
    image[3, 1] = 60_000
    whole = binned(image, 50_000.0)
    assert whole.tolist() == [[100.0, 100.0], [50_000.0, 100.0]]
    assert binned(image, math.nan)[1, 0] == pytest.approx(15_075.0)


@pytest.mark.parametrize("transparency", [0.3, 0.6])
def test_cloud_takes_stars_from_the_count_and_defocus_does_not(transparency):
    stars = sky_field()
    clear = figures(exposed(stars))
    cloudy = figures(exposed(stars, transparency=transparency))
    wide = figures(exposed(stars, focus=8000 + 40))
    assert clear.star_count > 60
    assert cloudy.star_count / clear.star_count == pytest.approx(transparency**0.75, rel=0.2)
    assert wide.hfd > 1.5 * clear.hfd
    assert wide.star_count == pytest.approx(clear.star_count, rel=0.12)


def test_the_error_is_that_of_repeated_frames():
    stars = sky_field()
    found = [figures(exposed(stars, seed=seed)) for seed in range(8)]
    scatter = np.std([one.hfd for one in found])
    assert 0.3 * scatter < np.mean([one.hfd_error for one in found]) < 10 * scatter


def sky_field() -> StarField:
    return StarField.random((1024, 1024), 3, stars=400)


def exposed(stars: StarField, seed: int = 0, **conditions: float):
    return expose(stars, Conditions(**conditions), seed=seed)[0]  # type: ignore[arg-type]


def test_trailed_frames_are_told_from_sharp_ones():
    found = figures(counts(field(gaussian(10.0, 0.25, diagonal=True))))
    assert found.outcome is Outcome.TRAILED
    assert withheld(found)


@pytest.mark.parametrize(("diagonal", "name"), [(False, "e1"), (True, "e2")])
def test_elongation_has_its_direction(diagonal, name):
    found = figures(counts(field(gaussian(5.0, 0.8, diagonal))))
    assert found.ellipticity == pytest.approx(0.2, abs=0.02)
    assert getattr(found, name) == pytest.approx((1 - 0.64) / (1 + 0.64), abs=0.02)


@pytest.mark.parametrize(
    ("header", "scale"),
    [
        ({}, 1.47),
        ({"PIXSCALE": 0.5}, 0.5),
        ({"PIXSCAL1": " 0.15 "}, 0.15),
        ({"CD1_1": -0.0003, "CD2_1": 0.0004}, 1.8),
        ({"CDELT1": 1.0}, 1.47),
        ({"PIXSCALE": np.ones(1), "SCALE": 0.5}, 0.5),
        ({"PIXSCALE": "NaN", "XPIXSZ": 3.8, "FOCALLEN": 1400}, 206.265 * 3.8 / 1400),
    ],
)
def test_pixel_scale_is_the_headers_if_it_has_one(header, scale):
    found = figures(counts(field(ROUND)), header)
    assert found.hfd / found.hfd_pixels == pytest.approx(scale, rel=1e-6)


def test_stars_with_nan_pixels_are_left_out():
    frame = field(ROUND).astype(np.float32)
    row, column = stars.places(100, 768, 11)[40].round().astype(int)
    frame[row - 1 : row + 2, column] = np.nan
    frame[:100] = np.nan
    found = figures(frame)
    assert 70 < found.stars < 90
    assert found.hfd_pixels == pytest.approx(true_hfd(ROUND), rel=0.01)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((200, 200), np.uint16),
        np.full((200, 200), 65535, np.uint16),
        np.full((200, 200), np.nan),
        np.full((200, 200), np.inf),
        np.ones((10, 10), np.uint16),
        np.ones((1, 100), np.uint16),
        np.ones((100, 100, 3), np.uint16),
        np.ones((100, 100), bool),
        np.ones((100, 100), complex),
        np.ones(1000),
        np.empty((0, 0)),
        np.full((100, 100), "?"),
    ],
    ids=lambda image: f"{image.dtype}{image.shape}",
)
def test_frames_without_sky_are_unusable(image):
    result = measured(image)
    assert isinstance(result.outputs, Figures)
    assert result.outputs.outcome is Outcome.UNUSABLE
    assert result.message


KINDS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "?", "c8"]


@settings(max_examples=120, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    rows=st.integers(1, 150),
    columns=st.integers(1, 150),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.0, 1.0, 1e3, 1e9, 1e300]),
    odd=st.lists(st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e38]), max_size=4),
    part=st.floats(0, 1),
)
def test_no_frame_raises(kind, rows, columns, seed, scale, odd, part):
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        frame: Any = rng.exponential(1.0, (rows, columns)) ** 3 * scale
        for value in odd:
            frame[rng.random(frame.shape) < part] = value
        found = figures(np.asarray(frame).astype(kind))
    assert found.outcome in Outcome
    assert found.stars >= 0
    assert found.outcome is Outcome.GOOD or withheld(found)
