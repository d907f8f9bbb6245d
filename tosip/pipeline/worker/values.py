"""Between the plain values of messages and the typed ones that an algorithm sees."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import numpy as np

from tosip import type_hints
from tosip.algorithm import Inputs, Outputs, Result, Status
from tosip.description import Description, Field, Kind, enum_label, read_only, same_value
from tosip.pipeline.attributes import Attributes, carried
from tosip.pipeline.protocol import PIXEL_TYPES


class InputsReader:
    """Makes the algorithm's own inputs objects from plain values."""

    def __init__(self, cls: type[Inputs], description: Description) -> None:
        self._class = cls
        self._fields = description.inputs
        hints = type_hints.annotated_types(cls)  # slow, and the same for every frame
        self._types = {f.name: type_hints.resolve(hints[f.name]) for f in self._fields}

    def __call__(self, plain: Mapping[str, Any]) -> Inputs:
        """Return the typed values of one frame."""
        return self._class(**{f.name: self._typed(f, plain[f.name]) for f in self._fields})

    def _typed(self, field: Field, value: Any) -> Any:
        if field.kind is Kind.ENUM:
            return _member(self._types[field.name], value)
        return field.plain(value) if field.kind is Kind.ARRAY else value


def plain_outputs(description: Description, returned: Any) -> dict[str, Any]:
    """Check what `process` returned for the outputs and make it plain; ValueError names faults."""
    if isinstance(returned, Outputs):
        values: Mapping[str, Any] = vars(returned)
        owner = type(returned).__name__
    elif isinstance(returned, Mapping):
        values, owner = returned, description.name
    else:
        raise TypeError(
            f"{description.name}.process: expected the outputs or a Result, "
            f"got {type(returned).__name__}"
        )
    faults = [
        f"{owner}.{name}: expected a declared output" for name in _unknown(description, values)
    ]
    plain = {}
    for field in description.outputs:
        value = values.get(field.name, field.default)
        if value is None:
            faults.append(f"{owner}.{field.name}: expected {field.kind.value}, got none")
            continue
        try:
            plain[field.name] = field.plain(value)
        except ValueError as error:
            faults.append(f"{owner}.{field.name}: {error}")
    if faults:
        raise ValueError("; ".join(faults))
    return plain


def result_attributes(attributes: Mapping[str, Any]) -> Attributes:
    """Return the attributes that `process` returned, as they can be carried."""
    if not isinstance(attributes, Mapping):
        raise TypeError(f"Result.attributes: expected a mapping, got {type(attributes).__name__}")
    return carried(attributes)


def plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Check what `save` returned: text, numbers and 1-D arrays of them, exactly as they are."""
    if not isinstance(attributes, Mapping):
        raise TypeError(f"save: expected a mapping, got {type(attributes).__name__}")
    return {name: _plain_attribute(name, value) for name, value in attributes.items()}


def result_status(result: Result[Any]) -> Status:
    """Return the status that `process` returned; ValueError if it is none."""
    try:
        return Status(result.status)
    except ValueError:
        known = ", ".join(status.value for status in Status)
        raise ValueError(f"Result.status: expected {known}, got {result.status!r}") from None


def changed_inputs(
    description: Description, before: Inputs, after: Inputs | None, plain: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the algorithm changed of its inputs, as plain values."""
    if after is None or after is before:
        return {}
    if not isinstance(after, type(before)):
        raise TypeError(
            f"Result.params: expected {type(before).__name__}, got {type(after).__name__}"
        )
    changed = {}
    for field in description.inputs:
        if field.kind is Kind.COMMAND:
            continue
        try:
            value = field.within_limits(getattr(after, field.name))
        except ValueError as error:
            raise ValueError(f"{type(after).__name__}.{field.name}: {error}") from None
        if not same_value(value, plain[field.name]):
            changed[field.name] = value
    return changed


def _plain_attribute(name: Any, value: Any) -> Any:
    if not isinstance(name, str):
        raise TypeError(f"attribute {name!r}: expected a name that is text")
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.name in PIXEL_TYPES:
        return read_only(value, value.dtype.newbyteorder("="))
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, enum.Enum):
        plain = enum_label(plain)
    if type(plain) not in (bool, int, float, str):
        raise TypeError(
            f"attribute {name!r}: expected bool, int, float, str or a 1-D array of numbers, "
            f"got {_in_words(value)}"
        )
    if type(plain) is int and not -(2**63) <= plain < 2**64:
        raise ValueError(
            f"attribute {name!r}: expected an int of 64 bits, got {plain.bit_length()}"
        )
    return plain


def _in_words(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}, shape {value.shape}"
    return type(value).__name__


def _member(cls: type[enum.Enum], label: str) -> enum.Enum:
    for member in cls:
        if enum_label(member) == label:
            return member
    raise ValueError(f"{cls.__name__}: expected one of its members, got {label!r}")


def _unknown(description: Description, values: Mapping[str, Any]) -> list[str]:
    declared = {field.name for field in description.outputs}
    return [str(name) for name in values if name not in declared]
