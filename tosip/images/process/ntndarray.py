"""Frames as NTNDArray 1.0, field by field as areaDetector's NDPluginPva writes it."""

from collections.abc import Mapping
from math import floor, isnan

import numpy as np
from p4p import Type, Value
from p4p.nt import alarm as nt_alarm
from p4p.nt import timeStamp as nt_time

from tosip.images.process.binning import Binned, bin_pixels
from tosip.images.process.frame import Frame
from tosip.pipeline.epics_time import EPICS_END
from tosip.pipeline.ndarray import AttributeValue, attribute_type
from tosip.pipeline.port_panel import COLOR_MODES

# areaDetector's name of each type: the union's member, p4p's letter, pvData's number (ScalarType).
_TYPES = {
    "Int8": ("byteValue", "b", 1),
    "Int16": ("shortValue", "h", 2),
    "Int32": ("intValue", "i", 3),
    "Int64": ("longValue", "l", 4),
    "UInt8": ("ubyteValue", "B", 5),
    "UInt16": ("ushortValue", "H", 6),
    "UInt32": ("uintValue", "I", 7),
    "UInt64": ("ulongValue", "L", 8),
    "Float32": ("floatValue", "f", 9),
    "Float64": ("doubleValue", "d", 10),
}

TYPE = Type(
    [
        (
            "value",
            (
                "U",
                None,
                [
                    ("booleanValue", "a?"),  # nobody has such pixels, but the standard asks for it
                    *((member, f"a{letter}") for member, letter, _ in _TYPES.values()),
                ],
            ),
        ),
        ("codec", ("S", "codec_t", [("name", "s"), ("parameters", "v")])),
        ("compressedSize", "l"),
        ("uncompressedSize", "l"),
        (
            "dimension",
            (
                "aS",
                "dimension_t",
                [
                    ("size", "i"),
                    ("offset", "i"),
                    ("fullSize", "i"),
                    ("binning", "i"),
                    ("reverse", "?"),
                ],
            ),
        ),
        ("uniqueId", "i"),
        ("dataTimeStamp", nt_time),
        (
            "attribute",
            (
                "aS",
                "epics:nt/NTAttribute:1.0",
                [
                    ("name", "s"),
                    ("value", "v"),
                    ("descriptor", "s"),
                    ("sourceType", "i"),
                    ("source", "s"),
                ],
            ),
        ),
        ("descriptor", "s"),
        ("alarm", nt_alarm),
        ("timeStamp", nt_time),
        (
            "display",
            (
                "S",
                "display_t",
                [
                    ("limitLow", "d"),
                    ("limitHigh", "d"),
                    ("description", "s"),
                    ("format", "s"),
                    ("units", "s"),
                ],
            ),
        ),
    ],
    id="epics:nt/NTNDArray:1.0",
)

_DRIVER = {"sourceType": 0, "source": "Driver"}  # as attributes that a driver sets itself
_INVALID, _UNDEFINED = 3, 6  # alarm_t's severity and status


def image_value(frame: Frame) -> Value:
    """Return the whole frame; its pixels are copied."""
    pixels = frame.pixels
    return _value(frame, Binned(pixels, (1,) * pixels.ndim, frame.color_mode))


def preview_value(frame: Frame) -> Value:
    """Return the frame binned to at most 512 x 512 pixels."""
    return _value(frame, bin_pixels(frame.pixels, frame.color_mode))


def empty_value() -> Value:
    """Return what there is before the first frame: no pixels, and an alarm that says so."""
    alarm = {"severity": _INVALID, "status": _UNDEFINED, "message": "no frame yet"}
    return Value(TYPE, {"alarm": alarm})


def _value(frame: Frame, image: Binned) -> Value:
    member, _, number = _TYPES[frame.data_type]
    pixels = image.pixels
    stamp = _time(frame.timestamp)
    sizes = zip(pixels.shape[::-1], frame.pixels.shape[::-1], image.factors[::-1], strict=True)
    return Value(
        TYPE,
        {
            "value": (member, pixels.ravel()),
            # Clients that decompress learn from `parameters` what comes out.
            "codec": {"name": "", "parameters": ("i", number)},
            "compressedSize": pixels.nbytes,
            "uncompressedSize": pixels.nbytes,
            "dimension": [
                {"size": size, "offset": 0, "fullSize": whole, "binning": factor, "reverse": False}
                for size, whole, factor in sizes
            ],
            "uniqueId": frame.unique_id,
            "dataTimeStamp": stamp,
            "attribute": _attributes(frame.attributes, image.color_mode),
            "alarm": {"severity": 0, "status": 0, "message": ""},
            "timeStamp": stamp,
        },
    )


def _time(timestamp: float) -> dict[str, int]:
    # PVAccess counts from 1970, backwards too; its clients end where EPICS does.
    timestamp = 0.0 if isnan(timestamp) else min(max(timestamp, -EPICS_END), EPICS_END)
    seconds = floor(timestamp)
    # Of a double only some 0.2 us are left today: rounding makes its decimals come back.
    nanoseconds = min(round((timestamp - seconds) * 1e9), 999_999_999)
    return {"secondsPastEpoch": seconds, "nanoseconds": nanoseconds, "userTag": 0}


def _attributes(
    attributes: Mapping[str, AttributeValue], color_mode: str
) -> list[dict[str, object]]:
    mode = COLOR_MODES.index(color_mode) if color_mode in COLOR_MODES else 0
    found = [
        {"name": name, "value": _typed(value), **_DRIVER}
        for name, value in attributes.items()
        if name != "ColorMode"
    ]
    color = {"name": "ColorMode", "value": ("i", mode), "descriptor": "Color mode", **_DRIVER}
    return [color, *found]


def _typed(value: AttributeValue) -> tuple[str, object]:
    """Return p4p's letter and the value; bool is a byte: areaDetector refuses pvData's boolean."""
    name = attribute_type(value)
    if isinstance(value, str):
        return "s", value.encode(errors="replace")
    letter = _TYPES[name][1]
    if isinstance(value, np.ndarray):
        return f"a{letter}", value
    return letter, int(value) if isinstance(value, bool) else value
