"""Statistics against independent computations, and against NDPluginStats' own arithmetic."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy import stats as scipy_stats

from tosip import Metadata, Status, names
from tosip.plugins.stats import Figures, Params, Statistics
from tosip.reading import describe

TEN_TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
RECORDS = frozenset(
    """
    ComputeStatistics BgdWidth MinValue MinX MinY MaxValue MaxX MaxY MeanValue Sigma Total Net
    ComputeCentroid CentroidThreshold CentroidTotal CentroidX CentroidY SigmaX SigmaY SigmaXY SkewX
    SkewY KurtosisX KurtosisY Eccentricity Orientation ComputeProfiles ProfileSizeX ProfileSizeY
    CursorX CursorY CursorVal ProfileAverageX ProfileAverageY ProfileThresholdX ProfileThresholdY
    ProfileCentroidX ProfileCentroidY ProfileCursorX ProfileCursorY ComputeHistogram HistSize
    HistMin HistMax HistBelow HistAbove HistEntropy Histogram HistogramX
    """.split()  # noqa: SIM905
)
EVERYTHING = {"compute_profiles": True, "compute_histogram": True}


def result(image, mode="Mono", **params):
    image = np.array(image)
    image.flags.writeable = False
    metadata = Metadata(1, 0.0, "CAM", image.shape, "", mode)
    return Statistics().process(image, Params(**params), {}, metadata)


def measure(image, mode="Mono", **params) -> Figures:
    outputs = result(image, mode, **params).outputs
    assert isinstance(outputs, Figures)
    return outputs


def spot(kind="f8", shape=(60, 80), scale=100.0):
    """A tilted, skewed spot on a background, of which all is positive."""
    y, x = np.indices(shape).astype(float)
    dx, dy = x - 30, y - 25
    light = np.exp(-(dx**2) / 200 - dy**2 / 60 - dx * dy / 100) * (1 + 0.3 * np.tanh(dx / 9))
    noise = np.random.default_rng(3).uniform(0, 0.1, shape)
    return ((light / light.max() * 0.9 + noise) * scale).astype(kind)


def moments(kept):
    """Mean, sigma, skewness, excess kurtosis of a projection, as of that many single counts."""
    places = np.repeat(np.arange(len(kept)), kept.astype(int))
    return (
        places.mean(),
        places.std(),
        scipy_stats.skew(places),
        scipy_stats.kurtosis(places),
    )


def test_names_are_those_of_areadetectors_records():
    description = describe(Statistics)
    assert {names.pascal_case(f.name) for f in description.inputs + description.outputs} == RECORDS


def test_ophyd_asyncs_stats_plugin_finds_its_records_and_their_types():
    device = pytest.importorskip("ophyd_async.epics.adcore").NDStatsIO
    description = describe(Statistics)
    served = {names.readback("", f.name): f for f in description.inputs + description.outputs}
    wanted = {name: get_args(hint) for name, hint in device.__annotations__.items()}
    assert len(wanted) > 10
    for signal, suffix in wanted.values():
        (datatype,) = get_args(signal)
        found = served[suffix.read_suffix]
        assert found.kind.value == datatype.__name__
        assert suffix.write_suffix in (None, names.demand("", found.name))


@pytest.mark.parametrize("kind", TEN_TYPES)
def test_basic_figures_are_numpys(kind):
    image = spot(kind)
    found = measure(image, bgd_width=3)
    assert (found.min_value, found.max_value) == (image.min(), image.max())
    assert (found.min_y, found.min_x) == np.unravel_index(image.argmin(), image.shape)
    assert (found.max_y, found.max_x) == np.unravel_index(image.argmax(), image.shape)
    assert found.total == pytest.approx(image.sum(dtype=float), rel=1e-12)
    assert found.mean_value == pytest.approx(image.mean(dtype=float), rel=1e-12)
    assert found.sigma == pytest.approx(image.std(dtype=float), rel=1e-12)
    strips = [image[:3], image[-3:], image[:, :3], image[:, -3:]]
    border = np.concatenate([strip.ravel() for strip in strips]).mean(dtype=float)
    assert found.net == pytest.approx(found.total - border * image.size, abs=1e-6)


@pytest.mark.parametrize("kind", TEN_TYPES)
def test_centroid_is_scipys(kind):
    image = spot(kind)
    found = measure(image, centroid_threshold=20.0)
    kept = np.where(image >= 20, image, 0).astype(float)
    y, x = ndimage.center_of_mass(kept)
    assert (found.centroid_x, found.centroid_y) == pytest.approx((x, y), rel=1e-12)
    assert found.centroid_total == pytest.approx(kept.sum(), rel=1e-12)
    covariance = np.cov(np.indices(kept.shape)[::-1].reshape(2, -1), aweights=kept.ravel(), ddof=0)
    (xx, xy), (_, yy) = covariance
    assert (found.sigma_x, found.sigma_y) == pytest.approx((xx**0.5, yy**0.5), rel=1e-10)
    assert found.sigma_x_y == pytest.approx(xy / (xx * yy) ** 0.5, rel=1e-10)
    assert found.orientation == pytest.approx(
        math.degrees(0.5 * math.atan2(2 * xy, xx - yy)), rel=1e-10
    )
    assert found.eccentricity == pytest.approx(
        ((xx - yy) ** 2 - 4 * xy**2) / (xx + yy) ** 2, rel=1e-9
    )


def test_skewness_and_kurtosis_are_scipys():
    image = spot("u2")
    found = measure(image, centroid_threshold=20)
    kept = np.where(image >= 20, image, 0)
    for axis, name in enumerate("xy"):
        shape = (f"centroid_{name}", f"sigma_{name}", f"skew_{name}", f"kurtosis_{name}")
        assert [getattr(found, each) for each in shape] == pytest.approx(
            moments(kept.sum(axis=axis)), rel=1e-9
        )


@pytest.mark.parametrize("kind", TEN_TYPES)
def test_profiles_are_means_and_cuts(kind):
    image = spot(kind)
    found = measure(
        image, compute_profiles=True, centroid_threshold=20.0, cursor_x=7, cursor_y=1000
    )
    kept = np.where(image >= 20, image, 0)
    row, column = round(found.centroid_y), round(found.centroid_x)
    for name, along_x, along_y in [
        ("average", image.mean(0, dtype=float), image.mean(1, dtype=float)),
        ("threshold", kept.mean(0, dtype=float), kept.mean(1, dtype=float)),
        ("centroid", image[row], image[:, column]),
        ("cursor", image[-1], image[:, 7]),
    ]:
        np.testing.assert_allclose(getattr(found, f"profile_{name}_x"), along_x, rtol=1e-12)
        np.testing.assert_allclose(getattr(found, f"profile_{name}_y"), along_y, rtol=1e-12)
    assert (found.profile_size_x, found.profile_size_y) == (80, 60)
    assert found.cursor_val == image[-1, 7]


def ndpluginstats_histogram(image, size, low, high):
    """Count pixel by pixel, as NDPluginStats does."""
    counts, below, above = np.zeros(size), 0, 0
    scale = (size - 1) / (high - low)
    for value in map(float, image.ravel()):
        if value < low:
            below += 1
        elif value > high:
            above += 1
        else:
            counts[int((value - low) * scale + 0.5)] += 1
    return counts, below, above


@pytest.mark.parametrize("kind", TEN_TYPES)
@pytest.mark.parametrize(("size", "low", "high"), [(256, 0, 255), (7, 11.5, 60.25), (1, 20, 30)])
def test_histogram_is_areadetectors(kind, size, low, high):
    image = spot(kind)
    found = measure(
        image, compute_histogram=True, hist_size=size, hist_min=float(low), hist_max=float(high)
    )
    counts, below, above = ndpluginstats_histogram(image, size, low, high)
    np.testing.assert_array_equal(found.histogram, counts)
    assert (found.hist_below, found.hist_above) == (below, above)
    assert found.hist_below + found.hist_above + found.histogram.sum() == image.size
    filled = counts[counts > 0]
    assert found.hist_entropy == pytest.approx(-(filled * np.log(filled)).sum() / image.size)
    np.testing.assert_allclose(found.histogram_x, low + (high - low) / size * np.arange(size))


def test_negative_levels_of_small_integers_are_binned():
    image = np.arange(-128, 128).astype("i1").reshape(16, 16)
    found = measure(
        image, compute_histogram=True, hist_size=11, hist_min=-50.0, hist_max=50.0
    ).histogram
    counts, *_ = ndpluginstats_histogram(image, 11, -50, 50)
    np.testing.assert_array_equal(found, counts)


def test_an_empty_range_of_the_histogram_is_one_wide():
    found = measure(spot(), compute_histogram=True, hist_min=5.0, hist_max=5.0, hist_size=2)
    counts, *_ = ndpluginstats_histogram(spot(), 2, 5, 6)
    np.testing.assert_array_equal(found.histogram, counts)


@pytest.mark.parametrize("mode", ["RGB1", "RGB2", "RGB3"])
def test_colours_are_measured_as_their_mean_at_their_pixels(mode):
    colours = np.stack([spot("u1"), spot("u1", scale=50), spot("u1", scale=30)])
    colours[2, 40, 70] = 255
    image = np.moveaxis(colours, 0, {"RGB1": 2, "RGB2": 1, "RGB3": 0}[mode])
    found = measure(image, mode, centroid_threshold=10.0, compute_profiles=True, bgd_width=2)
    assert found.total == colours.sum(dtype=float)
    assert found.sigma == pytest.approx(colours.std(), rel=1e-12)
    assert (found.max_x, found.max_y) == (70, 40)
    mean = colours.mean(axis=0)
    y, x = ndimage.center_of_mass(np.where(mean >= 10, mean, 0))
    assert (found.centroid_x, found.centroid_y) == pytest.approx((x, y))
    np.testing.assert_allclose(found.profile_average_x, mean.mean(0))
    strips = [mean[:2], mean[-2:], mean[:, :2], mean[:, -2:]]
    border = np.concatenate([strip.ravel() for strip in strips]).mean()
    assert found.net == pytest.approx(found.total - border * colours.size)


def test_one_dimension_is_one_row():
    image = spot()[25]
    found = measure(image, bgd_width=4, centroid_threshold=20.0, **EVERYTHING)
    assert (found.max_x, found.max_y) == (image.argmax(), 0)
    border = (image[:4].sum() + image[-4:].sum()) / 8
    assert found.net == pytest.approx(image.sum() - border * image.size)
    (x,) = ndimage.center_of_mass(np.where(image >= 20, image, 0))
    assert found.centroid_x == pytest.approx(x)
    assert (found.centroid_y, found.sigma_y) == (0, 0)
    np.testing.assert_array_equal(found.profile_centroid_x, image)
    assert found.profile_size_y == 1


def test_many_blocks_are_joined_without_losing_digits():
    image = np.full((700, 1000), 1e9)
    image[:, ::2] += 1
    found = measure(image)
    assert found.sigma == 0.5
    image[650, 3] = 2e9
    image[650, 999] = -1.0
    found = measure(image)
    assert (found.max_x, found.max_y, found.min_x, found.min_y) == (3, 650, 999, 650)
    assert found.sigma == pytest.approx(image.std(), rel=1e-12)
    wide = np.arange(200_000.0)  # wider than a tile
    assert measure(wide).centroid_x == pytest.approx((wide * wide).sum() / wide.sum())


def test_a_constant_frame_has_no_sigma():
    assert measure(np.full((300, 400), 0.1, "f4")).sigma == 0


def test_what_is_switched_off_is_not_known():
    found = measure(spot(), compute_statistics=False, compute_centroid=False)
    for name, value in vars(found).items():
        assert np.size(value) == 0 or (value == 0 if "size" in name else math.isnan(value)), name


def test_a_dark_frame_has_no_centroid_and_says_so():
    dark = result(np.zeros((20, 30), "u2"), **EVERYTHING)
    assert isinstance(dark.outputs, Figures)
    assert dark.status is Status.WARNING
    assert "threshold" in dark.message
    assert math.isnan(dark.outputs.centroid_x)
    assert len(dark.outputs.profile_centroid_x) == 0
    assert dark.outputs.mean_value == 0


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_pixels_that_are_not_finite_are_counted_and_void_the_statistics(odd):
    image = spot()
    image[3, 4] = image[50, 70] = odd
    bad = result(image, centroid_threshold=20.0, compute_histogram=True)
    assert isinstance(bad.outputs, Figures)
    assert (bad.status, "2 pixels" in bad.message) == (Status.WARNING, True)
    assert math.isnan(bad.outputs.mean_value)
    assert math.isnan(bad.outputs.max_x)
    if odd != math.inf:  # below the threshold, as in NDPluginStats
        clean = spot()
        clean[3, 4] = clean[50, 70] = 0
        expected = measure(clean, centroid_threshold=20.0).centroid_x
        assert bad.outputs.centroid_x == pytest.approx(expected)
    assert (bad.outputs.hist_below + bad.outputs.hist_above) == (0 if math.isnan(odd) else 2)


def test_profiles_that_are_too_long_are_refused_in_words():
    long = result(np.ones(20_000, "u1"), compute_profiles=True)
    assert isinstance(long.outputs, Figures)
    assert "at most 16384" in long.message
    assert len(long.outputs.profile_average_x) == 0
    assert long.outputs.total == 20_000


def test_a_worker_takes_every_figure(run_algorithm):
    ran = run_algorithm(Statistics, spot("u2"), **EVERYTHING)
    assert len(ran.outputs.histogram) == 256
    assert ran.outputs.profile_average_x.dtype == np.float64


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(TEN_TYPES),
    shape=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.0, 1.0, 100.0, 1e9, 1e300]),
    odd=st.lists(st.sampled_from([0.0, np.nan, np.inf, -np.inf]), max_size=2),
    mode=st.sampled_from(["Mono", "RGB1", "RGB2", "RGB3", "Bayer", "YUV444"]),
)
def test_no_frame_raises(kind, shape, seed, scale, odd, mode):
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        frame = rng.normal(0.5, 1.0, shape) * scale
        for value in odd:
            frame[rng.random(frame.shape) < 0.1] = value
        found = measure(frame.astype(kind), mode, bgd_width=2, **EVERYTHING)
    assert found.centroid_total >= 0 or math.isnan(found.centroid_total)
