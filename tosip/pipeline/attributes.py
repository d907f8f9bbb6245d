"""Attributes that everything downstream can carry: workers, images, bundles.

Attributes come from FITS headers, files of attributes, PVs and algorithms, and hold anything. Here,
once, before they are part of an `NDArray`, each becomes what can be carried. An attribute that
cannot is changed or left out, by itself and with a word in `Attributes.changed`; the frame goes on:

    bool, int of 64 bits, float, text         as it is, NaN and infinities too
    NumPy's scalars, members of an enum       the Python value; the label that operators see
    int of more bits, complex                 text: a float would be another number
    bytes                                     text
    text with NUL or halves of characters     with blanks and question marks for them
    text above `LONGEST_TEXT`                 its beginning
    list, tuple, 1-D array of numbers         a 1-D array of a type that areaDetector has
    anything else, no value, too much of it   left out

This module runs in the user's interpreter too: the standard library and NumPy, Python 3.9.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from typing import Any, Union

import numpy as np

from tosip.description import enum_label, read_only
from tosip.pipeline.protocol import LONGEST, LONGEST_JSON, PIXEL_TYPES

LONGEST_NAME = 256
LONGEST_TEXT = 1 << 20  # characters
MOST_BITS = 4096  # of an int that is kept as text
# All attributes of a frame together; other fields of a message have to fit beside them.
MOST_TEXT = LONGEST_JSON // 4  # bytes of JSON, without what quotes and backslashes add
MOST_BYTES = LONGEST // 2  # of arrays
_OVERHEAD = 40  # bytes that a number or an array's place takes beside the text of its name

# Types of elements that areaDetector does not have, and those that hold all of their values.
_NEAREST = {"bool": "int8", "float16": "float32", "longdouble": "float64", "float128": "float64"}

Value = Union[bool, int, float, str, "np.ndarray[Any, Any]"]


class Attributes(dict[str, Value]):
    """Attributes by name that can be carried; made by `carried`, and not changed after that.

    `changed` has what was changed or left out, in words by name; `text` and `arrays` are the bytes
    that all take.
    """

    def __init__(self) -> None:
        super().__init__()
        self.changed: dict[str, str] = {}
        self.text = 0
        self.arrays = 0

    def _take(self, name: str, value: Value, words: str = "") -> None:
        text, arrays = _size(name, value)
        if name in self:  # its place is free again
            old_text, old_arrays = _size(name, self[name])
            text, arrays = text - old_text, arrays - old_arrays
        if self.text + text > MOST_TEXT or self.arrays + arrays > MOST_BYTES:
            self.changed[name] = "left out: more than all attributes of a frame may take"
            return
        self.text += text
        self.arrays += arrays
        self[name] = value
        if words:
            self.changed[name] = words
        else:
            self.changed.pop(name, None)

    def _give(self, given: Any, value: Any) -> None:
        """Take an attribute of any kind."""
        name = given if type(given) is str and given.isascii() else _name(given)
        if name is None or len(name) > LONGEST_NAME or "\0" in name:
            self.changed[_shown(given)] = "left out: its name is no text of at most 256 characters"
            return
        kept, words = value_of(value)
        if kept is None:
            self.changed[name] = words
        else:
            self._take(name, kept, words)


def carried(given: Mapping[Any, Any], before: Mapping[str, Value] | None = None) -> Attributes:
    """Return attributes that can be carried: those of `before`, over them those given."""
    attributes = Attributes()
    if before is not None and not isinstance(before, Attributes):
        before = carried(before)
    if before is not None:
        attributes.update(before)
        attributes.changed.update(before.changed)
        attributes.text, attributes.arrays = before.text, before.arrays
    for name, value in given.items():
        attributes._give(name, value)
    return attributes


def value_of(value: Any) -> tuple[Value | None, str]:
    """Return what is carried for a value, None if nothing is, and what was changed, in words."""
    kind = type(value)
    if kind is float or kind is bool:
        return value, ""
    if kind is str:
        return _text(value)
    if kind is int:
        return _int(value)
    if isinstance(value, np.ndarray) or kind in (list, tuple):
        return _array(value)
    return _scalar(value)


def _int(value: int) -> tuple[Value | None, str]:
    if -(2**63) <= value < 2**64:
        return value, ""
    bits = value.bit_length()
    if bits > MOST_BITS:
        return None, f"left out: an int of {bits} bits"
    return str(value), f"kept as text: an int of {bits} bits"


def _text(value: str) -> tuple[Value | None, str]:
    words = ""
    if len(value) > LONGEST_TEXT:
        words = f"cut: a text of {len(value)} characters"
        value = value[:LONGEST_TEXT]
    if value.isascii() and "\0" not in value:
        return value, words
    plain = value.replace("\0", " ").encode(errors="replace").decode()
    if plain != value:
        words = words or "changed: a text with NUL or halves of characters"
    return plain, words


def _scalar(value: Any) -> tuple[Value | None, str]:
    """Turn what is of no plain type into one, if there is one that means the same."""
    if isinstance(value, enum.Enum):
        return _text(enum_label(value))
    if isinstance(value, (bool, np.bool_)):
        return bool(value), ""
    if isinstance(value, (int, np.integer)):
        return _int(int(value))
    if isinstance(value, (float, np.floating)):
        return float(value), ""
    if isinstance(value, str):
        return _text(str.__str__(value))
    if isinstance(value, bytes):
        return _text(value.decode(errors="replace"))
    if isinstance(value, (complex, np.complexfloating)):
        return str(complex(value)), "kept as text: a complex number"
    return None, f"left out: {'no value' if value is None else f'a {type(value).__name__}'}"


def _array(value: Any) -> tuple[Value | None, str]:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError):  # a list of unequal lists, say
        return None, f"left out: a {type(value).__name__} that is no array of numbers"
    masked = isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value)
    if array.ndim == 0:
        return (None, "left out: no value") if masked else value_of(array[()])
    name = _NEAREST.get(array.dtype.name, array.dtype.name)
    if array.ndim != 1 or name not in PIXEL_TYPES or masked:
        holes = ", some of it masked" if masked else ""
        return None, f"left out: an array of {array.dtype} of shape {array.shape}{holes}"
    if array.nbytes > MOST_BYTES:
        return None, f"left out: an array of {array.nbytes} bytes"
    words = "" if array.dtype.name in PIXEL_TYPES else f"changed: an array of {array.dtype}"
    return read_only(array, np.dtype(name)), words


def _name(name: Any) -> str | None:
    """Return a name as text that UTF-8 can hold; None if it is no text."""
    return str.__str__(name).encode(errors="replace").decode() if isinstance(name, str) else None


def _shown(name: Any) -> str:
    try:
        return ascii(name)[:40]
    except Exception:  # noqa: BLE001 (a name of a class whose text raises)
        return type(name).__name__


def _size(name: str, value: Value) -> tuple[int, int]:
    """Return the bytes of text and of arrays that an attribute takes."""
    place = len(name) + _OVERHEAD
    if type(value) is str:
        plain = value.isascii() and value.isprintable()  # else JSON needs up to 6 bytes for one
        return place + len(value if plain else json.dumps(value, ensure_ascii=False).encode()), 0
    return place, value.nbytes if isinstance(value, np.ndarray) else 0
