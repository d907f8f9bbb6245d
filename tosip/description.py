"""The frozen description of an algorithm: one truth for records, screens, checks and the wire.

A `Description` is made once, by reading the class in the interpreter that will run it, and travels
to the IOC as plain data: the IOC never imports an algorithm. A `Field` describes one declared value
and checks values of it. Plain values are bool, int, float, str (for an enum its label) and 1-D
NumPy arrays, read-only. A description itself holds only what JSON has: the default of an array is a
list there.
"""

from __future__ import annotations

import enum
import hashlib
import json
import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from tosip import names
from tosip.errors import ProtocolError
from tosip.texts import shortened
from tosip.type_hints import IMAGES_BELONG

LONGEST_DESC = 40  # bytes; EPICS
_SHORTENED_DESC = 39  # bytes that Channel Access and PVAccess show of it


class Kind(str, enum.Enum):
    """The types that a declared value can have."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    STR = "str"
    ENUM = "enum"
    ARRAY = "array"
    COMMAND = "command"


# NumPy's names of what a declared array can hold.
ARRAY_TYPES = (
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float32", "float64", "bool"),
)


class Severity(str, enum.Enum):
    """EPICS alarm severities, least first."""

    NO_ALARM = "NO_ALARM"
    MINOR = "MINOR"
    MAJOR = "MAJOR"
    INVALID = "INVALID"


@dataclass(frozen=True)
class Alarm:
    """Default alarm limits of a number; operators change them on its record.

    A limit that is left out raises no alarm. `hysteresis` is in the value's units.
    """

    lolo: float | None = None
    low: float | None = None
    high: float | None = None
    hihi: float | None = None
    hysteresis: float = 0.0
    lolo_severity: Severity = Severity.MAJOR
    low_severity: Severity = Severity.MINOR
    high_severity: Severity = Severity.MINOR
    hihi_severity: Severity = Severity.MAJOR


def short_doc(line: str) -> str:
    """Return a line of documentation as EPICS's DESC takes it."""
    return line if len(line.encode()) <= LONGEST_DESC else shortened(line, _SHORTENED_DESC)


@dataclass(frozen=True)
class Field:
    """One declared input or output.

    `low` and `high` are limits of an input's values, display limits of an output. `length` is the
    greatest number of characters (str) or elements (array). `severities` belong to `choices`, or
    for a bool to false and true. `default` is a plain value, a list for an array, None where there
    is none.
    """

    name: str
    kind: Kind
    doc: str
    details: str = ""
    units: str = ""
    precision: int = 3
    low: float | None = None
    high: float | None = None
    default: Any = None
    choices: tuple[str, ...] = ()
    severities: tuple[Severity, ...] = ()
    alarm: Alarm | None = None
    length: int = 0
    dtype: str = ""
    bits: int = 32

    @property
    def short_doc(self) -> str:
        """The documentation's first line as a record's DESC takes it."""
        return short_doc(self.doc)

    def plain(self, value: Any) -> Any:
        """Check `value` and return it as a plain value; ValueError tells what was expected.

        A number that the field cannot hold exactly is refused; only floats are rounded, to the
        nearest one of the field's type.
        """
        if isinstance(value, np.ndarray) and value.ndim == 0 and self.kind is not Kind.ARRAY:
            value = value[()]
        return _CHECKS[self.kind](self, value)

    def within_limits(self, value: Any) -> Any:
        """Check `value` as an input: the right type, finite, and inside the limits."""
        plain = self.plain(value)
        if self.kind in (Kind.INT, Kind.FLOAT):
            if not math.isfinite(plain):
                raise ValueError(f"expected a finite number, got {plain}")
            if (self.low is not None and plain < self.low) or (
                self.high is not None and plain > self.high
            ):
                raise ValueError(f"expected {self.range()}, got {plain}")
        return plain

    def bare(self) -> Field:
        """Return the field without its documentation."""
        return replace(self, doc="", details="")

    def range(self) -> str:
        """Say the limits in words, with the units."""
        unit = f" {self.units}" if self.units else ""
        low = "" if self.low is None else f"at least {_exact(self.low)}{unit}"
        high = "" if self.high is None else f"at most {_exact(self.high)}{unit}"
        return " and ".join(part for part in (low, high) if part)


@dataclass(frozen=True)
class Description:
    """Everything that a class declares, and nothing that can change while it runs."""

    name: str
    doc: str
    details: str = ""
    stateful: bool = False
    inputs: tuple[Field, ...] = ()
    outputs: tuple[Field, ...] = ()
    watch: tuple[str, ...] = ()
    keep_state: bool = False

    def input(self, name: str) -> Field:
        """Find an input by its declared name; KeyError tells the names that there are."""
        return _find(self.name, "input", self.inputs, name)

    def output(self, name: str) -> Field:
        """Find an output by its declared name; KeyError tells the names that there are."""
        return _find(self.name, "output", self.outputs, name)

    def defaults(self) -> dict[str, Any]:
        """Return the inputs' plain default values."""
        return {field.name: field.plain(field.default) for field in self.inputs}

    def differences(self, other: Description) -> list[str]:
        """Say in words what `other` declares otherwise, documentation aside."""
        changes = []
        if self.stateful != other.stateful:
            changes.append("stateful changed")
        for what, mine, theirs in (
            ("input", self.inputs, other.inputs),
            ("output", self.outputs, other.outputs),
        ):
            before = {field.name: field.bare() for field in mine}
            after = {field.name: field.bare() for field in theirs}
            changes += [f"{what} {name} removed" for name in before if name not in after]
            changes += [f"{what} {name} added" for name in after if name not in before]
            # As text: a default of NaN is the same as NaN.
            changes += [
                f"{what} {name} changed"
                for name, field in before.items()
                if name in after and repr(field) != repr(after[name])
            ]
        return changes

    def declaration_hash(self) -> str:
        """Return a SHA-256 of what `differences` compares, its first 12 hexadecimal digits."""
        declared = [[asdict(f.bare()) for f in fields] for fields in (self.inputs, self.outputs)]
        text = json.dumps([self.stateful, *declared], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_plain(self) -> dict[str, Any]:
        """Return the description as what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Any) -> Description:
        """Rebuild a description that another process sent, checking every part of it."""
        try:
            description = cls(
                name=_typed(plain["name"], str),
                doc=_typed(plain["doc"], str),
                details=_typed(plain["details"], str),
                stateful=_typed(plain["stateful"], bool),
                inputs=tuple(_field_from_plain(item) for item in _typed(plain["inputs"], list)),
                outputs=tuple(_field_from_plain(item) for item in _typed(plain["outputs"], list)),
                watch=tuple(_typed(item, str) for item in _typed(plain["watch"], list)),
                keep_state=_typed(plain["keep_state"], bool),
            )
            _refuse_faults(description)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            fault = f"description: expected an algorithm's, got {error!r}"
            raise ProtocolError(fault[:500]) from error
        return description


def _find(owner: str, what: str, candidates: tuple[Field, ...], name: str) -> Field:
    for field in candidates:
        if field.name == name:
            return field
    declared = ", ".join(field.name for field in candidates) or "none"
    raise KeyError(f"{owner}: expected an {what} of {declared}, got {name}")


def _typed(value: Any, expected: type) -> Any:
    if type(value) is not expected:
        raise TypeError(f"{value!r} is no {expected.__name__}")
    return value


_FIELD_TYPES: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "doc": (str,),
    "details": (str,),
    "units": (str,),
    "precision": (int,),
    "low": (int, float, type(None)),
    "high": (int, float, type(None)),
    "length": (int,),
    "dtype": (str,),
    "bits": (int,),
}


def _field_from_plain(plain: Mapping[str, Any]) -> Field:
    unknown = set(plain) - {item.name for item in fields(Field)}
    if unknown:
        raise ValueError(f"unknown {sorted(unknown)}")
    for key, types in _FIELD_TYPES.items():
        if type(plain[key]) not in types:
            raise TypeError(f"{key} {plain[key]!r}")
    values = dict(plain)
    values["kind"] = Kind(plain["kind"])
    values["choices"] = tuple(_typed(item, str) for item in _typed(plain["choices"], list))
    values["severities"] = tuple(Severity(item) for item in _typed(plain["severities"], list))
    values["alarm"] = None if plain["alarm"] is None else _alarm_from_plain(plain["alarm"])
    return Field(**values)


def _alarm_from_plain(plain: Mapping[str, Any]) -> Alarm:
    values: dict[str, Any] = {
        key: Severity(value) if key.endswith("severity") else _number(value)
        for key, value in _typed(plain, dict).items()
    }
    return Alarm(**values)


def _number(value: Any) -> float | None:
    if value is not None and (type(value) not in (int, float) or not math.isfinite(value)):
        raise ValueError(f"{value!r} is no number")
    return value  # type: ignore[no-any-return]


def _refuse_faults(description: Description) -> None:
    """Raise ValueError unless records can be made of what another process declares."""
    given = [field.name for field in description.inputs + description.outputs]
    if len({names.pascal_case(name) for name in given}) < len(given):
        raise ValueError("names that are not their own")
    for field in description.inputs + description.outputs:
        for fault in _field_faults(field):
            raise ValueError(f"{field.name!r}: {fault}")
    for field in description.inputs:
        field.within_limits(field.default)
    for field in description.outputs:
        if field.default is not None:
            field.plain(field.default)


def _field_faults(field: Field) -> Iterable[str]:
    if not names.DECLARED.fullmatch(field.name) or names.pascal_case(field.name) in names.RESERVED:
        yield "the name"
    if field.bits not in (32, 64) or not 0 <= field.precision <= 15 or field.length < 0:
        yield "bits, precision or length"
    if field.kind is Kind.ARRAY and field.dtype not in ARRAY_TYPES:
        yield f"the type {field.dtype!r}"
    if (field.kind is Kind.ENUM) != bool(field.choices):
        yield "choices"
    if field.severities and len(field.severities) != (len(field.choices) or 2):
        yield "severities"
    if any(limit is not None and not math.isfinite(limit) for limit in (field.low, field.high)):
        yield "limits"


def _exact(number: float) -> str:
    short = f"{number:g}"
    return short if float(short) == number else str(number)


def _plain_int(field: Field, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise ValueError(f"expected int, got {_shown(value)}")
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"expected int, got {_shown(value)}") from None
    if not -(2 ** (field.bits - 1)) <= number < 2 ** (field.bits - 1):
        raise ValueError(f"expected an int of {field.bits} bits, got {_shown(number)}")
    return number


def _plain_float(_field: Field, value: Any) -> float:
    if type(value) is float:
        return value
    if isinstance(value, (str, bytes, bool, np.bool_)) or np.ndim(value) > 0:
        raise ValueError(f"expected float, got {_shown(value)}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"expected float, got {_shown(value)}") from None
    if isinstance(value, (int, np.integer)) and int(number) != value:
        raise ValueError(f"expected an int that a float holds exactly, got {_shown(value)}")
    return number


def _plain_bool(_field: Field, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"expected bool, got {_shown(value)}")
    return bool(value)


def _plain_str(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected str, got {_shown(value)}")
    encoded = value.encode(errors="replace")
    if len(encoded) > field.length:
        raise ValueError(f"expected at most {field.length} bytes, got {len(encoded)}")
    return encoded.decode()


def _plain_enum(field: Field, value: Any) -> str:
    label = enum_label(value) if isinstance(value, enum.Enum) else value
    if not isinstance(label, str) or label not in field.choices:
        raise ValueError(f"expected one of {', '.join(field.choices)}, got {_shown(value)}")
    return str(label)


def _plain_array(field: Field, value: Any) -> np.ndarray[Any, Any]:
    wanted = np.dtype(field.dtype)
    try:
        array = _unrounded(wanted, value) if isinstance(value, (list, tuple)) else np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"expected a 1-D array of numbers, got {error}") from None
    if array.ndim != 1 or len(array) > field.length:
        image = f": {IMAGES_BELONG}" if array.ndim > 1 else ""
        raise ValueError(
            f"expected a 1-D array of at most {field.length} numbers, "
            f"got shape {array.shape}{image}"
        )
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"expected numbers of type {wanted}, got masked ones")
    if array.dtype != wanted and array.size:  # NumPy calls an empty list float64
        _refuse_other_numbers(wanted, array)
    return read_only(array, wanted)


def _unrounded(wanted: np.dtype[Any], numbers: Any) -> np.ndarray[Any, Any]:
    """Make an array of a list; ValueError if NumPy would round an integer of it.

    NumPy makes floats of [2**63, 1], and of [2**53 + 1, 0.5].
    """
    array = np.asarray(numbers)
    if array.dtype.kind != "f" or array.ndim != 1:
        return array
    integers = [int(number) for number in numbers if isinstance(number, (int, np.integer))]
    if wanted.kind == "u" and len(integers) == len(numbers) and min(integers, default=-1) >= 0:
        return np.asarray(numbers, np.uint64)
    for number in integers:
        if int(float(number)) != number:
            raise ValueError(f"expected numbers of type {wanted}, got {_shown(number)}")
    return array


def _refuse_other_numbers(wanted: np.dtype[Any], array: np.ndarray[Any, Any]) -> None:
    """Raise ValueError unless all numbers of `array` keep their values as `wanted`."""
    given = f"expected numbers of type {wanted}, got {array.dtype}"
    if array.dtype.kind not in ("iuf" if wanted.kind == "f" else "iu"):
        raise ValueError(given)
    if wanted.kind == "f":
        changed = _changed_by_float(wanted, array)
        if changed:
            raise ValueError(f"{given}: {changed[0]}")
        return
    least, most = (0, 1) if wanted.kind == "b" else _span(wanted)
    # As Python's ints: NumPy may compare integers of different types as floats.
    for end in (int(array.min()), int(array.max())):
        if not least <= end <= most:
            raise ValueError(f"expected numbers from {least} to {most}, got {end}")


def _span(wanted: np.dtype[Any]) -> tuple[int, int]:
    span = np.iinfo(wanted)
    return int(span.min), int(span.max)


def _changed_by_float(wanted: np.dtype[Any], array: np.ndarray[Any, Any]) -> list[Any]:
    """Return the numbers that floats of type `wanted` are too coarse or too small for."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return list(array[np.isinf(array.astype(wanted)) & ~np.isinf(array)])
    exact = 2 ** (np.finfo(wanted).nmant + 1)
    if -exact <= int(array.min()) and int(array.max()) <= exact:
        return []
    return [number for number in array if int(wanted.type(number)) != int(number)]


def _shown(value: Any) -> str:
    """Return what an error says of a value."""
    if isinstance(value, int) and value.bit_length() > 256:  # Python refuses to print long ones
        return f"an int of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


_SCALARS = (bool, int, float, str)

_CHECKS = {
    Kind.INT: _plain_int,
    Kind.FLOAT: _plain_float,
    Kind.BOOL: _plain_bool,
    Kind.COMMAND: _plain_bool,
    Kind.STR: _plain_str,
    Kind.ENUM: _plain_enum,
    Kind.ARRAY: _plain_array,
}


def enum_label(member: enum.Enum) -> str:
    """Return what operators see for an enum's member: its value if that is text, else its name."""
    return member.value if isinstance(member.value, str) else member.name


def read_only(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return an array of `dtype` that is read-only and contiguous: itself if it is so already."""
    if array.dtype != dtype or array.flags.writeable or not array.flags.c_contiguous:
        array = np.array(array, dtype, order="C")
        array.flags.writeable = False
    return array


def same_value(one: Any, other: Any) -> bool:
    """Whether two values are equal, element by element if they are arrays; NaN is NaN's equal."""
    if isinstance(one, _SCALARS) and isinstance(other, _SCALARS):
        return bool(one == other or (one != one and other != other))
    first, second = np.asarray(one), np.asarray(other)
    with_nan = first.dtype.kind == second.dtype.kind == "f"
    return bool(np.array_equal(first, second, equal_nan=with_nan))
