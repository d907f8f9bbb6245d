"""Every field of an NTNDArray, as areaDetector's NDPluginPva writes it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p4p import Type
from p4p.nt import NTNDArray

from tests.images.rig import ramp
from tosip.images.process.frame import Frame
from tosip.images.process.ntndarray import TYPE, empty_value, image_value, preview_value

MEMBERS = {
    "int8": ("byteValue", 1),
    "int16": ("shortValue", 2),
    "int32": ("intValue", 3),
    "int64": ("longValue", 4),
    "uint8": ("ubyteValue", 5),
    "uint16": ("ushortValue", 6),
    "uint32": ("uintValue", 7),
    "uint64": ("ulongValue", 8),
    "float32": ("floatValue", 9),
    "float64": ("doubleValue", 10),
}


def frame(pixels, unique_id=7, timestamp=1234.5, color_mode="Mono", **attributes):
    return Frame(unique_id, timestamp, pixels, color_mode, attributes)


@pytest.mark.parametrize("make", [image_value, preview_value])
@pytest.mark.parametrize("kind", MEMBERS)
def test_pixels_are_in_the_member_of_their_type(kind, make):
    pixels = ramp((3, 4), kind)
    value = make(frame(pixels))
    member, number = MEMBERS[kind]
    assert value.value.dtype == kind
    assert dict(TYPE.aspy()[2])["value"][2][number] == (member, f"a{np.dtype(kind).char}")
    assert value.value.tolist() == pixels.ravel().tolist()
    assert value.codec.name == ""
    assert value.codec.parameters == number
    assert value.compressedSize == value.uncompressedSize == pixels.nbytes


def test_type_is_that_of_areadetector():
    assert TYPE.getID() == "epics:nt/NTNDArray:1.0"
    assert isinstance(TYPE, Type)
    assert list(dict(TYPE.aspy()[2])) == [
        "value",
        "codec",
        "compressedSize",
        "uncompressedSize",
        "dimension",
        "uniqueId",
        "dataTimeStamp",
        "attribute",
        "descriptor",
        "alarm",
        "timeStamp",
        "display",
    ]


def dimensions(value):
    return [
        (each.size, each.offset, each.fullSize, each.binning, each.reverse)
        for each in value.dimension
    ]


def test_dimensions_are_fastest_first():
    value = image_value(frame(ramp((2, 3, 4)), color_mode="RGB3"))
    assert dimensions(value) == [(n, 0, n, 1, False) for n in (4, 3, 2)]


def test_dimensions_of_a_preview_tell_its_binning():
    value = preview_value(frame(ramp((600, 1500), "uint8")))
    assert dimensions(value) == [(500, 0, 1500, 3, False), (200, 0, 600, 3, False)]
    assert value.uncompressedSize == 500 * 200


@pytest.mark.parametrize(("shape", "expected"), [((1,), (1,)), ((5,), (5,)), ((1, 1), (1, 1))])
def test_frames_of_few_dimensions_are_shown(shape, expected):
    for make in (image_value, preview_value):
        image = NTNDArray.unwrap(make(frame(np.full(shape, 3, "int16"))))
        assert image.shape == expected
        assert image.ravel()[0] == 3


@pytest.mark.parametrize(
    ("mode", "number"), [("Mono", 0), ("Bayer", 1), ("RGB1", 2), ("RGB2", 3), ("RGB3", 4)]
)
def test_colour_mode_is_an_attribute(mode, number):
    shape = (3, 3, 3) if mode.startswith("RGB") else (3, 3)
    value = image_value(frame(ramp(shape), color_mode=mode, ColorMode="of the camera's own"))
    modes = [each for each in value.attribute if each.name == "ColorMode"]
    assert [each.value for each in modes] == [number]
    assert modes[0].type("value").aspy() == "v"
    assert NTNDArray.unwrap(value).shape == shape


def test_unknown_colour_mode_is_shown_as_mono():
    value = image_value(frame(ramp((2, 2)), color_mode="CMYK"))
    assert value.attribute[0].value == 0


def test_preview_of_a_mosaic_says_that_it_is_grey():
    value = preview_value(frame(ramp((2, 1024)), color_mode="Bayer"))
    assert NTNDArray.unwrap(value).attrib["ColorMode"] == 0


def test_attributes_have_their_types():
    given: dict[str, Any] = {
        "TEXT": "Ångström",
        "BROKEN": "\ud800",
        "YES": True,
        "COUNT": -5,
        "LARGE": 2**64 - 1,
        "TIME": 0.25,
        **{kind: np.array([0, 1], kind) for kind in MEMBERS},
    }
    value = image_value(frame(ramp((2, 2)), **given))
    found = {each.name: each.value for each in value.attribute}
    assert list(found) == ["ColorMode", *given]
    assert (found["TEXT"], found["BROKEN"]) == ("Ångström", "?")
    assert found["YES"] is not True  # areaDetector refuses a frame with a boolean
    assert (found["YES"], found["COUNT"], found["LARGE"]) == (1, -5, 2**64 - 1)
    assert found["TIME"] == 0.25
    for kind in MEMBERS:
        assert found[kind].dtype == kind
        assert found[kind].tolist() == [0, 1]


def test_attributes_say_where_they_come_from():
    value = image_value(frame(ramp((2, 2)), EXPTIME=1.0))
    assert [(each.sourceType, each.source) for each in value.attribute] == [(0, "Driver")] * 2


@pytest.mark.parametrize(
    ("timestamp", "seconds", "nanoseconds"),
    [
        (1767323045.25, 1767323045, 250_000_000),
        (-0.5, -1, 500_000_000),
        (3.9999999999, 3, 999_999_999),
    ],
)
def test_time_is_the_frames(timestamp, seconds, nanoseconds):
    value = image_value(frame(ramp((2, 2)), timestamp=timestamp))
    for stamp in (value.dataTimeStamp, value.timeStamp):
        assert (stamp.secondsPastEpoch, stamp.nanoseconds) == (seconds, nanoseconds)
        assert stamp.userTag == 0


def test_frame_has_its_number_and_no_alarm():
    value = preview_value(frame(ramp((2, 2)), 4711))
    assert value.uniqueId == 4711
    assert value.alarm.severity == 0


def test_image_does_not_need_the_frames_memory_any_more():
    pixels = ramp((2, 2))
    value = image_value(frame(pixels))
    pixels[...] = 99
    assert value.value.tolist() == [0, 1, 2, 3]


def test_what_there_is_before_the_first_frame_is_empty_and_invalid():
    value = empty_value()
    assert value.getID() == "epics:nt/NTNDArray:1.0"
    assert NTNDArray.unwrap(value).shape == (0,)
    assert (value.alarm.severity, value.alarm.message) == (3, "no frame yet")


@settings(deadline=None)
@given(st.floats())
def test_any_time_is_one_that_clients_can_hold(timestamp):
    shown = image_value(frame(ramp((3, 4), "uint8"), timestamp=timestamp)).timeStamp
    assert abs(shown.secondsPastEpoch) < 2**32
    assert 0 <= shown.nanoseconds < 10**9
