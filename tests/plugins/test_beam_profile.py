"""The beam profile on simulated beams whose truth is known."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tosip import Metadata, Severity, Status
from tosip.beam.outcome import Outcome
from tosip.plugins.beam_profile import Background, BeamProfile, Figures, Params
from tosip.reading import describe

BEAM = {"shape": (120, 150), "x": 70.3, "y": 58.8, "sigma_x": 9.0, "sigma_y": 6.0, "rho": 0.4}
SIZES = ("centroid_x", "sigma_x", "width_major", "ellipticity", "fit_sigma_x", "fit_x", "total")


def light(shape, x, y, sigma_x, sigma_y, rho=0.0):
    """A Gaussian of height 1, (rows, columns)."""
    rows, columns = np.indices(shape).astype(float)
    u, v = (columns - x) / sigma_x, (rows - y) / sigma_y
    return np.exp(-0.5 * (u * u - 2 * rho * u * v + v * v) / (1 - rho * rho))


def noisy(clean, noise=5.0, seed=0, electrons=None):
    """Add noise, and photon noise if a count is so many electrons."""
    rng = np.random.default_rng(seed)
    if electrons:
        clean = rng.poisson(clean * electrons) / electrons
    return clean + rng.normal(0, noise, clean.shape)


def counts(frame):
    return np.rint(frame).clip(0, 65535).astype(np.uint16)


def frame(height=1000.0, level=100.0, seed=0, **changes):
    return counts(noisy(height * light(**{**BEAM, **changes}) + level, seed=seed))


def result(image, mode="Mono", **params):
    image = np.array(image)
    image.flags.writeable = False
    metadata = Metadata(1, 0.0, "CAM", image.shape, "", mode)
    return BeamProfile().process(image, Params(**params), {}, metadata)


def measure(image, mode="Mono", **params) -> Figures:
    outputs = result(image, mode, **params).outputs
    assert isinstance(outputs, Figures)
    return outputs


def withheld(found: Figures) -> bool:
    return all(math.isnan(getattr(found, name)) for name in SIZES)


def test_declaration_is_accepted():
    outcome = describe(BeamProfile).output("outcome")
    severity = dict(zip(outcome.choices, outcome.severities, strict=True))
    assert severity["good"] is Severity.NO_ALARM
    assert severity["fit failed"] is Severity.MINOR
    assert severity["saturated"] is Severity.MAJOR


def test_moments_are_those_of_an_independent_computation():
    clean = light(**{**BEAM, "shape": (200, 240), "x": 120.3, "y": 100.6}) ** 0.7
    found = measure(1000 * clean + 50)
    y, x = np.indices(clean.shape)
    mean = np.average(x, weights=clean), np.average(y, weights=clean)
    covariance = np.cov(x.ravel(), y.ravel(), aweights=clean.ravel(), ddof=0)
    assert (found.centroid_x, found.centroid_y) == pytest.approx(mean, abs=1e-3)
    assert (found.sigma_x, found.sigma_y) == pytest.approx(np.diag(covariance) ** 0.5, rel=1e-3)
    short, long = np.sqrt(np.linalg.eigvalsh(covariance))
    assert found.width_major == pytest.approx(4 * long, rel=1e-3)
    assert found.width_minor == pytest.approx(4 * short, rel=1e-3)
    assert found.ellipticity == pytest.approx(short / long, rel=1e-3)
    assert found.angle == pytest.approx(
        math.degrees(0.5 * math.atan2(2 * covariance[0, 1], covariance[0, 0] - covariance[1, 1])),
        abs=0.05,
    )
    assert found.total == pytest.approx(1000 * clean.sum(), rel=1e-3)


def test_fit_of_a_clean_beam_is_exact():
    found = measure(800 * light(**BEAM) + 50)
    assert (found.fit_x, found.fit_y) == pytest.approx((70.3, 58.8), abs=1e-6)
    assert (found.fit_sigma_x, found.fit_sigma_y) == pytest.approx((9, 6), rel=1e-6)
    assert (found.fit_amplitude, found.fit_background) == pytest.approx((800, 50), rel=1e-6)
    assert found.fit_misfit < 1e-6


def truths(x, y, sigma_x, sigma_y, rho):
    xx, yy, xy = sigma_x**2, sigma_y**2, rho * sigma_x * sigma_y
    short, long = np.sqrt(np.linalg.eigvalsh([[xx, xy], [xy, yy]]))
    angle = math.degrees(0.5 * math.atan2(2 * xy, xx - yy))
    return {
        "centroid_x": x,
        "centroid_y": y,
        "sigma_x": sigma_x,
        "sigma_y": sigma_y,
        "width_major": 4 * long,
        "width_minor": 4 * short,
        "angle": angle,
        "fit_x": x,
        "fit_y": y,
        "fit_sigma_x": sigma_x,
        "fit_sigma_y": sigma_y,
        "fit_sigma_major": long,
        "fit_sigma_minor": short,
        "fit_angle": angle,
        "fit_amplitude": 1000.0,
        "fit_background": 100.0,
    }


@pytest.mark.parametrize(
    ("electrons", "changes"),
    [
        (None, {}),
        (0.2, {}),  # photon noise of 70 counts at the peak, against 5 beside it
        (None, {"sigma_x": 2.0, "sigma_y": 1.5, "rho": -0.3}),
        (None, {"shape": (200, 240), "x": 120.0, "y": 95.0, "sigma_x": 18.0, "sigma_y": 14.0}),
    ],
    ids=["noise", "photons", "narrow", "wide"],
)
def test_figures_are_unbiased_and_their_errors_are_right(electrons, changes):
    """(found - true) / error has mean 0 and standard deviation 1, over 40 frames."""
    beam = {**BEAM, **changes}
    clean = 1000 * light(**beam)
    beam.pop("shape")
    pulls = defaultdict(list)
    for seed in range(40):
        found = measure(counts(noisy(clean, seed=seed, electrons=electrons) + 100))
        assert found.outcome is Outcome.GOOD
        for name, true in truths(**beam).items():
            pulls[name].append((getattr(found, name) - true) / getattr(found, f"{name}_error"))
    for name, values in pulls.items():
        # A mean of 40 has an error of 0.16, a standard deviation of 40 one of 0.11.
        assert abs(np.mean(values)) < 0.6, name
        assert 0.65 < np.std(values) < 1.4, name


def test_long_thin_beam_is_measured_over_its_whole_length():
    thin = {"shape": (200, 400), "x": 200.0, "y": 95.0, "sigma_x": 40.0, "sigma_y": 3.0, "rho": 0.0}
    found = measure(frame(**thin))
    assert found.outcome is Outcome.GOOD
    assert found.sigma_x == pytest.approx(40, rel=0.02)
    assert found.fit_sigma_x == pytest.approx(40, abs=4 * found.fit_sigma_x_error)


def test_sizes_in_micrometres_take_both_sides_of_a_pixel():
    found = measure(frame(rho=0.0), pixel_size_x=5.0, pixel_size_y=10.0)
    assert found.sigma_x_um == pytest.approx(5 * found.sigma_x)
    assert found.fit_sigma_y_um == pytest.approx(10 * found.fit_sigma_y)
    assert found.fit_sigma_y_um_error == pytest.approx(10 * found.fit_sigma_y_error)
    # 45 um along the rows, 60 um along the columns: there is the long axis.
    assert found.width_major_um == pytest.approx(4 * found.sigma_y_um, rel=0.01)
    square = measure(frame(), pixel_size_x=5.0)
    assert square.width_minor_um == pytest.approx(5 * square.width_minor)
    assert math.isnan(measure(frame()).sigma_x_um)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_pixel_type_does_not_matter(kind):
    image = counts(noisy(80 * light(**BEAM) + 30, noise=1.0))
    found = measure(image.astype(kind))
    assert found.outcome is Outcome.GOOD
    assert found.fit_sigma_x == pytest.approx(measure(image).fit_sigma_x, rel=1e-9)


@pytest.mark.parametrize(("mode", "axis"), [("RGB1", 2), ("RGB2", 1), ("RGB3", 0)])
def test_colours_are_averaged(mode, axis):
    image = np.stack([frame(seed=seed) for seed in range(3)], axis)
    found = measure(image, mode)
    assert found.fit_sigma_x == pytest.approx(9, abs=4 * found.fit_sigma_x_error)
    assert found.fit_sigma_x_error < 0.8 * measure(frame()).fit_sigma_x_error


def test_slope_of_the_background_does_not_bias():
    sloped = frame() + (0.3 * np.arange(150)).astype(np.uint16)
    found, even = measure(sloped), measure(frame())
    assert found.sigma_x == pytest.approx(even.sigma_x, abs=0.1 * even.sigma_x_error)
    assert found.fit_sigma_x == pytest.approx(9, abs=4 * found.fit_sigma_x_error)


def test_background_can_be_given():
    found = measure(frame(), background_from=Background.FIXED, fixed_background=100.0)
    assert found.background == 100
    assert found.sigma_x == pytest.approx(9, rel=0.02)


@pytest.mark.parametrize("level", [0, 60_000])
def test_hot_and_dead_pixels_do_not_matter(level):
    image = frame()
    places = np.random.default_rng(2).integers(0, (120, 150), (25, 2))
    image[places[:, 0], places[:, 1]] = level
    found, clean = measure(image), measure(frame())
    assert found.outcome is Outcome.GOOD
    assert found.sigma_x == pytest.approx(clean.sigma_x, abs=clean.sigma_x_error)
    assert found.saturated == 0


@pytest.mark.parametrize("top", [4095, 16383 * 4, 65535])
def test_saturated_beam_has_no_size(top):
    image = counts(noisy(1.3 * top * light(**BEAM) + 100).clip(0, top))
    result_of = result(image)
    found = result_of.outputs
    assert isinstance(found, Figures)
    assert found.outcome is Outcome.SATURATED
    assert found.saturated > 20
    assert withheld(found)
    assert (result_of.status, "saturated" in result_of.message) == (Status.WARNING, True)
    assert abs(found.peak_x - 70) < 8
    assert measure(image, most_saturated=10_000).outcome is not Outcome.SATURATED


def test_level_of_saturation_can_be_given():
    assert measure(frame(), saturation=1090.0).outcome is Outcome.SATURATED
    assert measure(frame(), saturation=2000.0).outcome is Outcome.GOOD


@pytest.mark.parametrize("x", [-8.0, 0.0, 12.0, 25.0, 140.0, 152.0])
def test_beam_at_the_edge_has_no_size(x):
    found = measure(frame(x=x))
    assert found.outcome is Outcome.CLIPPED
    assert withheld(found)
    assert abs(found.peak_x - min(max(x, 0), 149)) < 8


def test_beam_wider_than_the_frame_has_no_size():
    assert withheld(measure(frame(sigma_x=60.0, sigma_y=45.0)))


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_beam(seed):
    image = counts(noisy(np.full((240, 320), 100.0), seed=seed))
    places = np.random.default_rng(seed).integers(0, (240, 320), (10, 2))
    image[places[:, 0], places[:, 1]] = 40_000
    image[100:102, 50:52] = 9000
    found = measure(image)
    assert found.outcome is Outcome.NO_BEAM
    assert withheld(found)
    assert found.background == pytest.approx(100, abs=0.5)
    assert found.noise == pytest.approx(5, rel=0.2)


def test_faint_beam_is_refused_before_its_size_is_guessed():
    found = measure(frame(height=12.0))
    assert found.outcome is Outcome.NO_BEAM
    assert withheld(found)


def test_beam_that_is_no_gaussian_has_moments_and_no_fit():
    y, x = np.indices((200, 200))
    disc = 1000.0 * (np.hypot(x - 100, y - 90) < 30)
    result_of = result(counts(noisy(disc + 100)))
    found = result_of.outputs
    assert isinstance(found, Figures)
    assert found.outcome is Outcome.FIT_FAILED
    assert "no Gaussian" in result_of.message
    assert found.width_x == pytest.approx(60, rel=0.02)  # D4sigma of a disc is its diameter
    assert found.fit_misfit > 0.3
    assert math.isnan(found.fit_sigma_x)


def test_two_beams_are_no_gaussian():
    found = measure(
        frame(shape=(300, 400), x=170.0, y=150.0) + frame(shape=(300, 400), x=230.0, y=170.0)
    )
    assert found.outcome is Outcome.FIT_FAILED
    assert math.isnan(found.fit_x)


def test_round_beam_has_no_angle():
    found = measure(frame(sigma_x=8.0, sigma_y=8.0, rho=0.0))
    assert found.outcome is Outcome.GOOD
    assert math.isnan(found.angle)
    assert math.isnan(found.fit_angle)
    assert found.fit_sigma_major == pytest.approx(8, rel=0.01)


def test_without_a_fit_the_moments_have_no_errors():
    found = measure(frame(), fit=False)
    assert found.outcome is Outcome.GOOD
    assert found.sigma_x == measure(frame()).sigma_x
    assert math.isnan(found.sigma_x_error)
    assert math.isnan(found.fit_sigma_x)


def test_the_same_frame_gives_the_same_bits():
    assert measure(frame()) == measure(frame())


@pytest.mark.parametrize(
    "image",
    [
        np.full((100, 100), np.nan),
        np.full((100, 100), np.inf),
        np.ones((10, 100)),
        np.ones(1000),
        np.empty((0, 0)),
        np.where(np.eye(64), np.nan, 1.0),
    ],
    ids=lambda image: f"{image.dtype}{image.shape}",
)
def test_frames_that_cannot_be_measured_are_unusable(image):
    result_of = result(image)
    assert isinstance(result_of.outputs, Figures)
    assert result_of.outputs.outcome is Outcome.UNUSABLE
    assert result_of.message


def test_a_worker_takes_every_figure(run_algorithm):
    ran = run_algorithm(BeamProfile, frame(), pixel_size_x=5.0)
    numbers = [v for v in vars(ran.outputs).values() if isinstance(v, float)]
    assert all(map(math.isfinite, numbers))


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]),
    shape=st.lists(st.integers(0, 60), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.0, 1.0, 100.0, 1e9, 1e300]),
    power=st.sampled_from([1, 3, 9]),
    odd=st.lists(st.sampled_from([0.0, np.nan, np.inf, -np.inf]), max_size=2),
    mode=st.sampled_from(["Mono", "RGB1", "RGB2", "RGB3", "YUV444"]),
)
def test_no_frame_raises(kind, shape, seed, scale, power, odd, mode):
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        pixels = rng.normal(0.5, 1.0, shape) ** power * scale
        for value in odd:
            pixels[rng.random(pixels.shape) < 0.01] = value
        found = measure(pixels.astype(kind), mode)
    assert found.outcome in (Outcome.GOOD, Outcome.FIT_FAILED) or withheld(found)
