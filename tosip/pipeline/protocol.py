"""What the IOC and a worker process say to each other, without any input or output.

A message is a JSON object with a `type` and the fields that `MESSAGES` lists, no more and no fewer,
each of the type named there; anything else is a `ProtocolError`. Nothing is ever unpickled or
executed. Pixels never travel in messages: a frame names a shared-memory buffer, whose descriptor is
passed beside the first message that needs it.

A conversation:

    worker: hello          my versions                       IOC: load     this file, this class
    worker: code           a module of the algorithm's own, whenever it finds one
    worker: ready          the description                    (or failed: why, with the traceback)
    IOC:    code           a module that another worker of the plugin has found
    IOC:    frame          pixels, attributes, parameters     worker: result  (or failed)
    IOC:    forget         buffers that are gone              IOC: stop       worker: stopped
    IOC:    renew          a new instance of the class        worker: renewed (or failed)
    IOC:    save           what it knows, for a newer worker  worker: saved   (or failed)
    IOC:    restore        what an older worker knew          worker: restored (or failed)

`load` holds in `code` the modules of another worker, to be run whatever the files hold; in `again`
those that the running version has imported late, to be read with the rest; in `watch` names of data
files, beside those that the algorithm names. `ready` holds in `data` their digests.

A state travels in sealed memory beside `saved` and `restore`, which hold its length in `bytes`: 0
in `saved` if there is none. The IOC does not read it.

A frame whose `params` are null has those of the frame before; its `attributes` are added to those
of the frame before unless it is `fresh`. `spare` and `images` are numbers of
image buffers that the worker has made: those that nobody reads any more, those that are gone.

The `FLAT` fields hold values by name: text, bools, floats, ints that fit into 64 bits, and 1-D
arrays of numbers. Arrays are binary; those of bools travel as uint8, and what is declared says that
they are bools. A message's bytes are

    the JSON's length (4 bytes, little-endian), the JSON, the arrays one after the other,
    each beginning at a multiple of 8 bytes

where an array's place in the JSON holds {"dtype": NumPy's name, "count": its elements}. The arrays
come in the order of `FLAT`, those of one field in its own order, and fill the message to its last
byte: no claim in the JSON can name bytes that are not there, or name bytes twice.

This form, and the `version` in `hello` and `load`, stay in all versions to come: peers of different
versions must be able to tell each other so.

This module runs in the user's interpreter too: the standard library and NumPy, Python 3.9.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tosip.errors import ProtocolError

VERSION = 3

# A longer message travels in a shared-memory buffer of its own. The socket takes about 200 KiB.
LONGEST_INLINE = 64 * 1024
LONGEST = 64 * 1024 * 1024
# Python objects made of JSON take many times its room; those made of arrays take none.
LONGEST_JSON = 16 * 1024 * 1024
MOST_DIGITS = 4300  # of an integer: Python's own limit

# The fields that hold plain values by name, and nothing nested.
FLAT = ("attributes", "params", "outputs")
_DECLARED = ("params", "outputs")

# NumPy's names: areaDetector's, and bytes per pixel or array element.
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

_PREFIX = 4
_ALIGNMENT = 8

_NUMBER = (int, float)
_NUMBERS = (list,)
_OBJECT = (dict,)
_OPTIONAL_OBJECT = (dict, type(None))
_OPTIONAL_INT = (int, type(None))

# Every list in a message is one of integers.
MESSAGES: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "hello": {"version": (int,), "python": (str,), "numpy": (str,)},
    "load": {
        "version": (int,),
        "file": (str,),
        "class": (str, type(None)),
        "module": (str,),
        "start": (bool,),
        "code": _OBJECT,
        "again": _OBJECT,
        "watch": _OBJECT,
    },
    "code": {"name": (str,), "file": (str,), "package": (bool,), "text": (str,)},
    "ready": {"description": _OBJECT, "data": _OBJECT},
    "frame": {
        "sequence": (int,),
        "buffer": (int,),
        "shape": _NUMBERS,
        "dtype": (str,),
        "color_mode": (str,),
        "unique_id": (int,),
        "timestamp": _NUMBER,
        "port": (str,),
        "attributes": _OBJECT,
        "fresh": (bool,),
        "params": _OPTIONAL_OBJECT,
        "spare": _NUMBERS,
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
    "forget": {"buffers": _NUMBERS, "images": _NUMBERS},
    "renew": {},
    "renewed": {},
    "save": {},
    "saved": {"bytes": (int,)},
    "restore": {"bytes": (int,)},
    "restored": {},
    "stop": {},
    "stopped": {},
    "large": {"bytes": (int,)},
}


def _int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:  # or the time would grow with the square of them
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


# Python 3.11 and the last of each older version refuse long integers themselves, and faster.
_HAS_LIMIT = hasattr(sys, "get_int_max_str_digits")
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_DECODER = json.JSONDecoder(parse_int=None if _HAS_LIMIT else _int)


@dataclass(frozen=True)
class Message:
    """One checked message: `message["field"]`."""

    type: str
    fields: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


def encode(type_: str, **fields: Any) -> bytes:
    """Make a message's bytes; ProtocolError if the fields are not its own.

    In the flat fields, NumPy's scalars become Python's, arrays of another byte order the native's.
    """
    _check(type_, fields)
    given = dict(fields)
    arrays: list[np.ndarray[Any, Any]] = []
    for field in FLAT:
        if fields.get(field):
            fields[field] = _with_places(f"{type_}.{field}", fields[field], arrays)
    try:
        data = _ENCODER.encode({"type": type_, **fields}).encode(errors="replace")
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"{type_}: expected values that JSON can hold, got {error}") from error
    if len(data) > LONGEST_JSON:
        raise ProtocolError(
            f"{type_}{_largest(fields)}: expected at most {LONGEST_JSON} bytes, got {len(data)}"
        )
    prefix = len(data).to_bytes(_PREFIX, "little")
    if not arrays:
        return prefix + data
    parts: list[Any] = [prefix, data]
    size = _PREFIX + len(data)
    for array in arrays:
        parts += (bytes(-size % _ALIGNMENT), array.data)
        size += -size % _ALIGNMENT + array.nbytes
    if size > LONGEST:
        raise ProtocolError(
            f"{type_}{_largest(given)}: expected at most {LONGEST} bytes, got {size}"
        )
    return b"".join(parts)


def _largest(fields: Mapping[str, Any]) -> str:
    """Return the name of the value that takes the most room in a message."""
    sizes = {f".{name}": len(value) for name, value in fields.items() if isinstance(value, str)}
    for field in FLAT:
        for name, value in (fields.get(field) or {}).items():
            if isinstance(value, (str, np.ndarray)):
                size = value.nbytes if isinstance(value, np.ndarray) else len(value)
                sizes[f".{field}.{name}"] = size
    return max(sizes, key=lambda name: sizes[name], default="")


def decode(data: bytes) -> Message:
    """Read a message's bytes, trusting nothing; ProtocolError says what is wrong.

    Arrays are read-only views of `data`.
    """
    end = _PREFIX + int.from_bytes(data[:_PREFIX], "little")
    if not _PREFIX < end <= min(len(data), _PREFIX + LONGEST_JSON):
        raise ProtocolError(f"message: expected JSON behind its length, got {data[:80]!r}")
    try:
        text = data[_PREFIX:end].decode()
        fields = _DECODER.decode(text)
        if "\\u" in text:  # JSON can hide halves of characters, which no file or record takes
            _ENCODER.encode(fields).encode()
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"message: expected JSON, got {data[:80]!r}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        raise ProtocolError(f"message: expected an object with a type, got {data[:80]!r}")
    type_ = fields.pop("type")
    _check(type_, fields)
    for field in FLAT:
        if fields.get(field):
            end = _put_arrays(f"{type_}.{field}", fields[field], data, end)
    if end != len(data):
        raise ProtocolError(f"{type_}: expected {end} bytes, got {len(data)}")
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
        kind = type(fields[name])
        if kind not in types:
            wanted = " or ".join(kind.__name__ for kind in types)
            raise ProtocolError(f"{type_}.{name}: expected {wanted}, got {kind.__name__}")
        if kind is list and fields[name] and set(map(type, fields[name])) != {int}:
            raise ProtocolError(f"{type_}.{name}: expected a list of int")


def _rest(owner: str, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Check a flat field's text and numbers, and return what else there is."""
    rest = []
    for name, value in values.items():
        kind = type(value)
        if type(name) is not str:
            raise ProtocolError(f"{owner}: expected names, got one of type {type(name).__name__}")
        if kind is str or kind is float or kind is bool:
            continue
        if kind is not int:
            rest.append((name, value))
        elif not -(2**63) <= value < 2**64:
            raise ProtocolError(
                f"{owner}: expected ints of 64 bits, got {name[:40]!r} of {value.bit_length()}"
            )
    return rest


def _with_places(
    owner: str, values: Mapping[str, Any], arrays: list[np.ndarray[Any, Any]]
) -> Mapping[str, Any]:
    """Move the arrays out of a flat field and leave their places."""
    if not _rest(owner, values):
        return values
    # Names that are no Unicode may become one name: its array must not be sent twice.
    changed = {name.encode(errors="replace").decode(): value for name, value in values.items()}
    declared = owner.rpartition(".")[2] in _DECLARED
    for name, value in _rest(owner, changed):
        if isinstance(value, np.ndarray):
            given = value.view(np.uint8) if declared and value.dtype == bool else value
            if given.ndim != 1 or given.dtype.name not in PIXEL_TYPES:
                raise _no_value(owner, name, f"{value.dtype} of shape {value.shape}")
            array = np.ascontiguousarray(given, given.dtype.newbyteorder("="))
            arrays.append(array)
            changed[name] = {"dtype": array.dtype.name, "count": len(array)}
        elif isinstance(value, (np.generic, str, int, float)):
            changed[name] = plain = _plain_scalar(value)
            if _rest(owner, {name: plain}):
                raise _no_value(owner, name, type(value).__name__)
        else:
            raise _no_value(owner, name, type(value).__name__)
    return changed


def _plain_scalar(value: Any) -> Any:
    """Turn a number or text of a class of its own, NumPy's say, into Python's."""
    if isinstance(value, np.generic):
        return value.item()
    return next(kind(value) for kind in (str, int, float) if isinstance(value, kind))


def _put_arrays(owner: str, values: dict[str, Any], data: bytes, end: int) -> int:
    """Put views of `data` into their places; return where the last of them ends."""
    for name, place in _rest(owner, values):
        if type(place) is not dict or place.keys() != {"dtype", "count"}:
            raise _no_value(owner, name, type(place).__name__)
        dtype, count = place["dtype"], place["count"]
        if type(dtype) is not str or dtype not in PIXEL_TYPES:
            raise _no_value(owner, name, f"an array of {dtype!r}"[:80])
        start = end + -end % _ALIGNMENT
        room = max(0, len(data) - start) // PIXEL_TYPES[dtype][1]
        if type(count) is not int or not 0 <= count <= room:
            raise _no_value(owner, name, f"an array longer than the {room} elements given")
        end = start + count * PIXEL_TYPES[dtype][1]
        values[name] = np.frombuffer(data, dtype, count, start) if count else _empty(dtype)
    return end


def _empty(dtype: str) -> np.ndarray[Any, Any]:
    array = np.empty(0, dtype)
    array.flags.writeable = False
    return array


def _no_value(owner: str, name: str, given: str) -> ProtocolError:
    return ProtocolError(
        f"{owner}: expected text, numbers and 1-D arrays of numbers, got {name[:40]!r}: {given}"
    )


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
