"""The image as an algorithm sees it: colours last, undefined pixels NaN if it asks for them."""

import numpy as np
import pytest

from tests.pipeline.rig import SOURCE, plugin_rig, probe, run
from tosip.pipeline.worker.image import colours_last, undefined_as_nan

COLOURS = {"RGB1": (4, 5, 3), "RGB2": (4, 3, 5), "RGB3": (3, 4, 5)}
NAN = SOURCE.replace(
    '"""Does what the frame tells it."""',
    '"""Does what the frame tells it."""\n\n    undefined_as_nan = True',
)


@pytest.mark.parametrize("mode", COLOURS)
def test_colours_are_last_in_every_mode_without_a_copy(mode):
    pixels = np.arange(60).reshape(COLOURS[mode])
    seen = colours_last(pixels, mode)
    assert seen.shape == (4, 5, 3)
    assert np.shares_memory(seen, pixels)


@pytest.mark.parametrize(
    ("shape", "mode"), [((3, 4, 5), "Mono"), ((4, 5), "RGB3"), ((2, 4, 5), "RGB3")]
)
def test_what_has_no_colours_stays_as_it_is(shape, mode):
    pixels = np.zeros(shape)
    assert colours_last(pixels, mode) is pixels


@pytest.mark.parametrize(
    ("dtype", "floats"), [("u1", "f4"), ("i2", "f4"), ("u2", "f4"), ("i4", "f8"), ("u8", "f8")]
)
@pytest.mark.parametrize("known", [True, False])
def test_integers_become_floats_whether_or_not_pixels_are_undefined(dtype, floats, known):
    pixels = np.arange(5, dtype=dtype)
    attributes = {"UndefinedPixels": 1, "UndefinedValue": 3} if known else {}
    seen = undefined_as_nan(pixels, attributes)
    assert seen.dtype == floats
    assert not seen.flags.writeable
    assert np.flatnonzero(np.isnan(seen)).tolist() == ([3] if known else [])


def test_floats_are_not_copied():
    pixels = np.zeros(5)
    assert undefined_as_nan(pixels, {"UndefinedPixels": 2, "UndefinedValue": np.nan}) is pixels


def test_an_algorithm_sees_colours_last_and_its_new_image_has_them_so(tmp_path):
    look = """
assert image.shape == metadata.shape == (4, 5, 3), image.shape
assert metadata.color_mode == MODE and metadata.pixel_order == ORDER
assert metadata.dimensions == DIMENSIONS, metadata.dimensions
"""

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            for mode, shape in COLOURS.items():
                order = "C" if mode == "RGB1" else "K"
                words = {"MODE": repr(mode), "ORDER": repr(order), "DIMENSIONS": str(shape[::-1])}
                code = look
                for name, value in words.items():
                    code = code.replace(name, value)
                outcome = await rig.process(code, shape=shape, color_mode=mode)
                assert outcome.message == ""
                assert (rig.published[-1].shape, rig.published[-1].color_mode) == (shape, mode)
                for made, expected in (
                    ("image + 1", ((4, 5, 3), "RGB1")),
                    ("image.mean(axis=2)", ((4, 5), "Mono")),
                    ("image[:, :, :2]", ((4, 5, 2), "Mono")),
                    ("image", (shape, mode)),
                ):
                    code = f"result = Result(Figures(), image={made})"
                    await rig.process(code, shape=shape, color_mode=mode)
                    array = rig.published[-1]
                    assert (array.shape, array.color_mode) == expected

    run(work())


def test_an_algorithm_that_asks_for_it_sees_nan_and_others_the_integers(tmp_path):
    undefined = {"UndefinedPixels": 20, "UndefinedValue": 1}

    async def work():
        async with plugin_rig(probe(tmp_path, NAN)) as rig:
            code = "assert image.dtype == np.float32 and np.isnan(image).all()"
            assert (await rig.process(code, **undefined)).message == ""
            assert rig.published[-1].dtype == "uint16"
            assert rig.published[-1].attributes["UndefinedPixels"] == 20
            code = "assert image.dtype == np.float32 and (image == 1).all()"
            assert (await rig.process(code)).message == ""
            code = "result = Result(Figures(), image=np.nan_to_num(image))"
            await rig.process(code, **undefined)
            assert rig.published[-1].dtype == "float32"
            assert "UndefinedPixels" not in rig.published[-1].attributes
            assert "UndefinedValue" not in rig.published[-1].attributes
            await rig.process("result = Result(Figures(), image=image)", **undefined)
            assert rig.published[-1].dtype == "uint16"
            assert rig.published[-1].attributes["UndefinedPixels"] == 20

    run(work())
