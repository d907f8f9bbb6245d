"""What the IOC and a worker process say to each other, without any input or output.

A message is a JSON object with a `type` and the fields that `MESSAGES` lists, no more and no fewer,
each of the type named there; anything else is a `ProtocolError`. Nothing is ever unpickled or
executed. Pixels never travel in messages: a frame names a shared-memory buffer, whose descriptor is
passed beside the first message that needs it.

A conversation:

    worker: hello          my versions                       IOC: load     this file, this class
    worker: ready          the description, the code's hash   (or failed: why, with the traceback)
    IOC:    frame          pixels, attributes, parameters     worker: result  (or failed)
    IOC:    forget         buffers that are gone              IOC: stop       worker: stopped

This module runs in the user's interpreter too: the standard library only, Python 3.9.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tosip.errors import ProtocolError

VERSION = 1

# A longer message travels in a shared-memory buffer of its own. The socket takes about 200 KiB.
LONGEST_INLINE = 64 * 1024
LONGEST = 16 * 1024 * 1024

_NUMBER = (int, float)
_SIZES = (list,)
_OBJECT = (dict,)
_OPTIONAL_OBJECT = (dict, type(None))
_OPTIONAL_INT = (int, type(None))

MESSAGES: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "hello": {"version": (int,), "python": (str,), "numpy": (str,)},
    "load": {"version": (int,), "file": (str,), "class": (str, type(None)), "start": (bool,)},
    "ready": {"description": _OBJECT, "code_hash": (str,)},
    "frame": {
        "sequence": (int,),
        "buffer": (int,),
        "shape": _SIZES,
        "dtype": (str,),
        "color_mode": (str,),
        "unique_id": (int,),
        "timestamp": _NUMBER,
        "port": (str,),
        "attributes": _OBJECT,
        "params": _OBJECT,
    },
    "result": {
        "sequence": (int,),
        "status": (str,),
        "message": (str,),
        "outputs": _OPTIONAL_OBJECT,
        "params": _OBJECT,
        "attributes": _OBJECT,
        "image": _OPTIONAL_OBJECT,
        "seconds": _NUMBER,
    },
    "failed": {
        "sequence": _OPTIONAL_INT,
        "stage": (str,),
        "error": (str,),
        "traceback": (str,),
    },
    "forget": {"buffers": (list,)},
    "stop": {},
    "stopped": {},
    "large": {"bytes": (int,)},
}


@dataclass(frozen=True)
class Message:
    """One checked message: `message["field"]`."""

    type: str
    fields: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


def encode(type_: str, **fields: Any) -> bytes:
    """Make a message's bytes; ProtocolError if the fields are not its own."""
    _check(type_, fields)
    try:
        text = json.dumps({"type": type_, **fields}, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"{type_}: expected values that JSON can hold, got {error}") from error
    data = text.encode(errors="replace")  # what is no Unicode came from a file's name, say
    if len(data) > LONGEST:
        raise ProtocolError(f"{type_}: expected at most {LONGEST} bytes, got {len(data)}")
    return data


def decode(data: bytes) -> Message:
    """Read a message's bytes, trusting nothing; ProtocolError says what is wrong."""
    try:
        fields = json.loads(data.decode())
        if b"\\u" in data:  # JSON can hide halves of characters, which no file or record takes
            json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"message: expected JSON, got {data[:80]!r}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        raise ProtocolError(f"message: expected an object with a type, got {data[:80]!r}")
    type_ = fields.pop("type")
    _check(type_, fields)
    return Message(type_, fields)


def _check(type_: str, fields: Mapping[str, Any]) -> None:
    expected = MESSAGES.get(type_)
    if expected is None:
        raise ProtocolError(f"message: expected a known type, got {type_[:80]!r}")
    if fields.keys() != expected.keys():
        raise ProtocolError(
            f"{type_}: expected {sorted(expected)}, got {sorted(fields)[:20]}"[:500]
        )
    for name, types in expected.items():
        # bool is an int to isinstance, and a frame number of True is none.
        if type(fields[name]) not in types:
            given = type(fields[name]).__name__
            wanted = " or ".join(kind.__name__ for kind in types)
            raise ProtocolError(f"{type_}.{name}: expected {wanted}, got {given}")


def check_version(message: Message) -> None:
    """Refuse a peer of another version, in words that name both."""
    if message["version"] != VERSION:
        raise ProtocolError(
            f"protocol: expected version {VERSION}, got {message['version']}: "
            "the IOC and the worker come from different TOSIP versions"
        )


def check_layout(shape: Any, dtype: Any, size: int) -> int:
    """Check that pixels of `shape` and `dtype` fit into `size` bytes; return their bytes."""
    if not isinstance(dtype, str) or dtype not in PIXEL_TYPES:
        raise ProtocolError(
            f"image: expected a type of {', '.join(PIXEL_TYPES)}, got {dtype!r}"[:200]
        )
    if not isinstance(shape, list) or not 1 <= len(shape) <= 3:
        raise ProtocolError(f"image: expected 1 to 3 sizes, got {shape!r}"[:200])
    if not all(type(n) is int and n > 0 for n in shape):
        raise ProtocolError(f"image: expected sizes of at least 1, got {shape}"[:200])
    needed: int = PIXEL_TYPES[dtype][1]
    for n in shape:
        needed *= n
    if needed > size:
        raise ProtocolError(f"image: expected at most {size} bytes, got {needed}"[:200])
    return needed


# NumPy's names: areaDetector's, and bytes per pixel.
PIXEL_TYPES: Mapping[str, tuple[str, int]] = {
    "int8": ("Int8", 1),
    "uint8": ("UInt8", 1),
    "int16": ("Int16", 2),
    "uint16": ("UInt16", 2),
    "int32": ("Int32", 4),
    "uint32": ("UInt32", 4),
    "int64": ("Int64", 8),
    "uint64": ("UInt64", 8),
    "float32": ("Float32", 4),
    "float64": ("Float64", 8),
}
