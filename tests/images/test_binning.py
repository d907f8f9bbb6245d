"""Previews: sizes, means, colours."""

import numpy as np
import pytest

from tests.images.rig import ramp
from tosip.images.process.binning import PREVIEW_SIZE, bin_pixels

INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


@pytest.mark.parametrize("kind", [*INTEGERS, "float32", "float64"])
def test_type_of_the_pixels_stays(kind):
    binned = bin_pixels(ramp((6, 8), kind), "Mono", 4)
    assert binned.pixels.dtype == kind
    assert binned.pixels.shape == (3, 4)
    assert binned.factors == (2, 2)


def test_pixels_are_means_of_squares():
    found = bin_pixels(np.array([[0, 2, 10, 10], [4, 6, 10, 30]], "float64"), "Mono", 2)
    assert found.pixels.tolist() == [[3.0, 15.0]]


def test_means_of_integers_are_rounded_to_the_nearest_halves_up():
    pixels = np.array([[0, 1, 0, 0, -1, 0, -1, -1]] * 2, "int16")
    assert bin_pixels(pixels, "Mono", 4).pixels.tolist() == [[1, 0, 0, -1]]


@pytest.mark.parametrize("kind", INTEGERS)
def test_means_of_the_largest_and_least_integers_are_exact(kind):
    limits = np.iinfo(kind)
    pixels = np.full((8, 16), limits.max, kind)
    pixels[:, 8:] = limits.min
    assert bin_pixels(pixels, "Mono", 2).pixels.tolist() == [[limits.max, limits.min]]


@pytest.mark.parametrize("kind", INTEGERS)
def test_means_of_random_integers_are_those_of_arithmetic_without_limits(kind):
    limits = np.iinfo(kind)
    pixels = np.random.default_rng(1).integers(limits.min, limits.max, (9, 9), kind, endpoint=True)
    blocks = pixels.astype(object).reshape(3, 3, 3, 3)
    expected = [[(2 * blocks[y, :, x].sum() + 9) // 18 for x in range(3)] for y in range(3)]
    assert bin_pixels(pixels, "Mono", 3).pixels.tolist() == expected


def test_what_is_no_number_makes_its_square_none():
    pixels = np.ones((4, 4), "float32")
    pixels[0, 0] = np.nan
    assert np.isnan(bin_pixels(pixels, "Mono", 2).pixels).tolist() == [[True, False], [False] * 2]


@pytest.mark.parametrize(
    ("shape", "expected", "factors"),
    [
        ((512, 512), (512, 512), (1, 1)),
        ((3, 5), (3, 5), (1, 1)),
        ((513, 512), (256, 256), (2, 2)),
        ((4096, 4096), (512, 512), (8, 8)),
        ((1000, 2048), (250, 512), (4, 4)),
        ((2, 5120), (1, 512), (2, 10)),
        ((1024,), (512,), (2,)),
        ((7,), (7,), (1,)),
        ((3, 1024, 600), (3, 512, 300), (1, 2, 2)),
    ],
)
def test_both_axes_have_one_factor_and_what_is_left_over_is_cut_off(shape, expected, factors):
    binned = bin_pixels(np.zeros(shape, "uint8"), "Mono")
    assert (binned.pixels.shape, binned.factors) == (expected, factors)
    assert max(expected) <= PREVIEW_SIZE


@pytest.mark.parametrize(
    ("mode", "axis", "factors"),
    [("RGB1", 2, (2, 2, 1)), ("RGB2", 1, (2, 1, 2)), ("RGB3", 0, (1, 2, 2))],
)
def test_colours_are_not_mixed(mode, axis, factors):
    plane = ramp((4, 8), "uint8")
    pixels = np.stack([plane, plane + 50, plane + 100], axis)
    binned = bin_pixels(pixels, mode, 4)
    assert (binned.factors, binned.color_mode) == (factors, mode)
    alone = bin_pixels(plane, "Mono", 4).pixels
    for colour in range(3):
        assert np.array_equal(binned.pixels.take(colour, axis), alone + 50 * colour)


def test_mosaic_of_colours_becomes_grey_when_it_is_averaged():
    assert bin_pixels(ramp((4, 4)), "Bayer", 2).color_mode == "Mono"
    assert bin_pixels(ramp((4, 4)), "Bayer", 4).color_mode == "Bayer"


def test_frame_that_is_small_enough_is_not_copied():
    pixels = ramp((4, 4))
    assert bin_pixels(pixels, "Mono").pixels is pixels
