"""Attributes and parameters as JSON, each with its exact type."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tosip.pipeline.protocol import PIXEL_TYPES

_NOT_NUMBERS = ("nan", "inf", "-inf")


def to_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn values by name into what JSON holds."""
    return {name: _to_json(value) for name, value in values.items()}


def from_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn them back; ValueError names the one that `to_json` has not made."""
    return {name: _from_json(name, value) for name, value in values.items()}


def _to_json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype == bool:  # as in messages: what is declared says that they are bools
            value = value.view(np.uint8)
        stored = value.astype(value.dtype.newbyteorder("<"))
        return {"dtype": value.dtype.name, "base64": base64.b64encode(stored.data).decode()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(float(value))}
    return value


def _from_json(name: str, value: Any) -> Any:
    if type(value) is int and not -(2**63) <= value < 2**64:
        raise _no_value(name)
    if isinstance(value, (bool, int, float, str)):
        return value
    if not isinstance(value, dict):
        raise _no_value(name)
    if value.keys() == {"float"} and value["float"] in _NOT_NUMBERS:
        return float(value["float"])
    if value.keys() != {"dtype", "base64"} or value["dtype"] not in list(PIXEL_TYPES):
        raise _no_value(name)
    try:
        data = base64.b64decode(value["base64"], validate=True)
        array = np.frombuffer(data, np.dtype(value["dtype"]).newbyteorder("<"))
    except (TypeError, ValueError) as error:
        raise _no_value(name) from error
    array = array.astype(value["dtype"])
    array.flags.writeable = False
    return array


def _no_value(name: str) -> ValueError:
    return ValueError(f"expected text, a number or a 1-D array of numbers, got {name[:40]!r}")
