"""What `Algorithm.save` returns, as bytes in shared memory, and back: nothing is pickled.

    the header's length (8 bytes, little-endian), the header (JSON), the parts one after the other,
    each beginning at a multiple of 64 bytes

The header is {"bytes": length} for one part of bytes, or {"values": {name: value}} where a value is
text, a number or a bool; {"bytes": length}; or {"dtype": NumPy's name, "shape": [sizes]}. The parts
come in the order of the header. The IOC passes the memory on, or keeps it, without reading it.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import json
import math
import mmap
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tosip.description import enum_label
from tosip.errors import ProtocolError
from tosip.pipeline import protocol, socketpair

_PREFIX = 8
_ALIGNMENT = 64
_DTYPES = (*protocol.PIXEL_TYPES, "bool")
_EXPECTED = "bytes, or a mapping of text, numbers, bytes and arrays of numbers"


def pack(state: Any) -> tuple[int, int]:
    """Write what `save` has returned into sealed memory; return its descriptor and its length.

    The descriptor is the caller's to close. TypeError or ValueError if the state cannot be carried.
    """
    parts: list[memoryview] = []
    header = json.dumps(_header(state, parts)).encode()
    pieces: list[Any] = [len(header).to_bytes(_PREFIX, "little"), header]
    size = _PREFIX + len(header)
    for part in parts:
        pieces += [bytes(-size % _ALIGNMENT), part]
        size += -size % _ALIGNMENT + part.nbytes
    return _sealed(pieces), size


def _header(state: Any, parts: list[memoryview]) -> dict[str, Any]:
    if isinstance(state, (bytes, bytearray, memoryview)):
        return _place(state, parts)
    if not isinstance(state, Mapping):
        raise TypeError(f"save: expected {_EXPECTED}, got {type(state).__name__}")
    return {"values": {_name(name): _value(name, state[name], parts) for name in state}}


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"save: expected names that are text, got {name!r}"[:200])
    return name


def _value(name: str, value: Any, parts: list[memoryview]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, enum.Enum):
        value = enum_label(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (bytes, bytearray, memoryview, np.ndarray)):
        with contextlib.suppress(TypeError):
            return _place(value, parts)
    raise TypeError(f"save: expected {_EXPECTED}, got {name!r}: {_words(value)}"[:200])


def _place(value: Any, parts: list[memoryview]) -> dict[str, Any]:
    """Add the bytes of a value to the parts and return what the header says of it."""
    if not isinstance(value, np.ndarray):
        parts.append(memoryview(value).cast("B"))
        return {"bytes": parts[-1].nbytes}
    if value.dtype.name not in _DTYPES or isinstance(value, np.ma.MaskedArray):
        raise TypeError
    array = np.ascontiguousarray(value, value.dtype.newbyteorder("="))
    parts.append(array.reshape(-1).view(np.uint8).data)
    return {"dtype": array.dtype.name, "shape": list(value.shape)}


def _words(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}, shape {value.shape}"
    return type(value).__name__


def _sealed(pieces: Sequence[Any]) -> int:
    descriptor = socketpair.memfd("tosip-state")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            for piece in pieces:
                file.write(piece)
        fcntl.fcntl(descriptor, socketpair.F_ADD_SEALS, socketpair.SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def unpack(descriptor: int, size: int) -> Any:
    """Read what `pack` has written: bytes, or a mapping whose arrays are views of the memory.

    ProtocolError if it is something else. The descriptor stays open.
    """
    memory = memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ))
    end = _PREFIX + int.from_bytes(memory[:_PREFIX], "little")
    try:
        if end > size:
            raise ValueError("it is too short")
        header = json.loads(bytes(memory[_PREFIX:end]))
        reader = _Parts(memory, end)
        if "values" not in header:
            return reader.part(header)
        return {name: reader.value(value) for name, value in header["values"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"state: expected what save has returned, got {error!r}") from error


class _Parts:
    """Reads the parts one after the other."""

    def __init__(self, memory: memoryview, end: int) -> None:
        self._memory = memory
        self._end = end

    def value(self, value: Any) -> Any:
        """Return one value of the mapping."""
        return self.part(value) if isinstance(value, dict) else value

    def part(self, place: Mapping[str, Any]) -> Any:
        """Return the bytes, or the array, that the header describes."""
        if "bytes" in place:
            return bytes(self._take(place["bytes"]))
        dtype, shape = np.dtype(place["dtype"]), tuple(place["shape"])
        count = math.prod(shape)
        data = self._take(count * dtype.itemsize)
        # NumPy refuses a buffer of no bytes.
        array = np.frombuffer(data, dtype, count) if count else np.empty(0, dtype)
        array.flags.writeable = False
        return array.reshape(shape)

    def _take(self, size: int) -> memoryview:
        start = self._end + -self._end % _ALIGNMENT
        if size < 0 or start + size > len(self._memory):
            raise ValueError("it is too short")
        self._end = start + size
        return self._memory[start : self._end]
