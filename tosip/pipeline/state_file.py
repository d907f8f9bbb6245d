"""A state on the disk: written whole or not at all, and read trusting nothing.

The file is one line of JSON and the bytes behind it, as `save` in the worker has made them:

    {"name": "tosip state", "version": 1, "declaration": hash of the inputs and outputs,
     "code": hash of the code, "time": when it was kept (UTC), "bytes": ..., "sha256": ...}
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from tosip.errors import TosipError
from tosip.pipeline import socketpair
from tosip.pipeline.state import State

LARGEST = 64 * 1024**2
"""Bytes of one state that is kept."""
_NAME, _VERSION = "tosip state", 1
_LONGEST_HEADER = 4096
_CHUNK = 1 << 20


class StateFileError(TosipError, ValueError):
    """A state cannot be kept, or cannot be read."""


def write(file: Path, state: State, declaration: str, code_hash: str) -> None:
    """Write a state, synced, in place of an older one. OSError, or StateFileError if too large."""
    if state.size > LARGEST:
        raise StateFileError(f"expected at most {LARGEST} bytes, got {state.size}")
    header = {
        "name": _NAME,
        "version": _VERSION,
        "declaration": declaration,
        "code": code_hash,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "bytes": state.size,
        "sha256": digest(state),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    made = file.with_name(f".{file.name}.new")
    try:
        with open(made, "wb") as stream:
            stream.write(json.dumps(header).encode() + b"\n")
            for chunk in _chunks(state):
                stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(made, file)
    except OSError:
        with suppress(OSError):
            made.unlink()
        raise
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def digest(state: State) -> str:
    """Return the SHA-256 of a state's bytes, hexadecimal."""
    whole = hashlib.sha256()
    for chunk in _chunks(state):
        whole.update(chunk)
    return whole.hexdigest()


def _chunks(state: State) -> Iterator[bytes]:
    for start in range(0, state.size, _CHUNK):
        yield os.pread(state.descriptor, min(_CHUNK, state.size - start), start)


def read(file: Path, declaration: str) -> tuple[State, str] | None:
    """Read a state, and when it was kept; None if there is none.

    StateFileError if it is damaged, or was kept with another declaration; OSError.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as stream:
        header = _header(stream.readline(_LONGEST_HEADER))
        if header["declaration"] != declaration:
            raise StateFileError("the inputs or outputs were declared otherwise when it was kept")
        state = _body(stream, header["bytes"])
    if state is None or digest(state) != header["sha256"]:
        raise StateFileError(f"{file}: expected {header['bytes']} bytes as kept, got others")
    return state, header["time"]


def _header(line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
        if (header["name"], header["version"]) != (_NAME, _VERSION):
            raise ValueError("another format")
        for key, kind in (("declaration", str), ("time", str), ("bytes", int), ("sha256", str)):
            if type(header[key]) is not kind:
                raise ValueError(key)
        if not 0 < header["bytes"] <= LARGEST:
            raise ValueError("bytes")
    except (ValueError, TypeError, KeyError, RecursionError):
        raise StateFileError("expected a kept state, got something else") from None
    return header  # type: ignore[no-any-return]


def _body(stream: BinaryIO, size: int) -> State | None:
    """Copy the bytes behind the header to sealed memory; None if there are more, or fewer."""
    data = stream.read(size + 1)
    if len(data) != size:
        return None
    state = State(socketpair.memfd("tosip-state"), size)
    with open(state.descriptor, "wb", closefd=False) as memory:
        memory.write(data)
    fcntl.fcntl(state.descriptor, socketpair.F_ADD_SEALS, socketpair.SEALS)
    return state
