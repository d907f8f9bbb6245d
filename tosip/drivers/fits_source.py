"""Where the bytes of a FITS file come from: the file, or what a gzip or bzip2 file holds.

Readers see one small interface: a size, and a read into a buffer at an offset. A plain file is read
with `preadv` and never mapped, because a file that someone truncates under a map kills the process
with SIGBUS. A compressed file is unpacked in chunks into memory, and given up as soon as it holds
more than allowed. What a file is, its first bytes decide, not its name.

Faults are `FrameError`s that do not name the file yet: `tosip.drivers.fits` puts the name in front.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tosip.blanks import blank_controls
from tosip.errors import FrameError
from tosip.unpacking import MAGICS, Unpacker

_CHUNK = 1 << 20
_FITS = b"SIMPLE  ="
_OTHERS = {
    b"\x1f\x9d": "a file of Unix compress (.Z)",
    b"\x1f\xa0": "a file of Unix compress (.Z)",
    b"\x1f\x1e": "a file of Unix pack (.z)",
    b"PK\x03\x04": "a ZIP archive",
    b"PK\x05\x06": "an empty ZIP archive",
    b"\xfd7zXZ\0": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"LZIP": "an lzip file",
    b"\x04\x22\x4d\x18": "an LZ4 file",
    b"\x1f\x8b": "gzip within another compression",
    b"BZh": "bzip2 within another compression",
}


class Source(Protocol):
    """Bytes that can be read from any offset."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the start of `buffer` from `offset` on; return how many bytes came, 0 at the end."""


class FileSource:
    """The bytes of an open plain file."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """See `Source`."""
        return os.preadv(self._descriptor, [buffer], offset)


class MemorySource:
    """Bytes that were unpacked into memory."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = memoryview(data)
        self.size = len(data)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """See `Source`."""
        part = self._data[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)


def read_exactly(source: Source, buffer: memoryview, offset: int) -> None:
    """Fill the whole `buffer` from `offset` on, or raise `FrameError` (the file has shrunk)."""
    filled = 0
    while filled < len(buffer):
        count = source.read_into(buffer[filled:], offset + filled)
        if count <= 0:
            end = offset + filled
            raise FrameError(f"expected at least {offset + len(buffer)} bytes, got {end}")
        filled += count


def read_bytes(source: Source, offset: int, count: int) -> bytes:
    """Return up to `count` bytes from `offset` on: fewer only where the source ends."""
    data = bytearray(max(0, min(count, source.size - offset)))
    read_exactly(source, memoryview(data), offset)
    return bytes(data)


@contextmanager
def open_source(path: Path, max_bytes: int, memory: Source | None = None) -> Iterator[Source]:
    """Open a plain, gzip or bzip2 FITS file; raise `FrameError` for anything else.

    `memory` has the file's bytes, if they are in memory: a plain file is not opened then. No more
    than `max_bytes` are unpacked from a compressed file.
    """
    if memory is not None and blank_controls(read_bytes(memory, 0, len(_FITS))) == _FITS:
        yield memory
        return
    # Without O_NONBLOCK a named pipe under a FITS name would hang the caller.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        _check_kind(status)
        plain = FileSource(descriptor, status.st_size)
        magic = read_bytes(plain, 0, len(_FITS))
        if magic.startswith(MAGICS):
            yield MemorySource(_unpack(descriptor, magic, max_bytes))
        else:
            _check_magic(magic)
            yield plain
    finally:
        os.close(descriptor)


def _check_kind(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise FrameError("expected a file, got a folder")
    if not stat.S_ISREG(status.st_mode):
        raise FrameError("expected a regular file, got a device, pipe or socket")
    if status.st_size == 0:
        raise FrameError("expected a FITS file, got an empty file")


def _check_magic(magic: bytes) -> None:
    if not blank_controls(magic).startswith(_FITS):
        other = next((name for start, name in _OTHERS.items() if magic.startswith(start)), None)
        shown = other or f"one starting {magic[: len(_FITS)].decode('latin-1')!a}"
        raise FrameError(f"expected a FITS file (plain, gzip or bzip2), got {shown}")


def _unpack(descriptor: int, magic: bytes, max_bytes: int) -> bytearray:
    data, unpacker = bytearray(), Unpacker(magic)
    with os.fdopen(descriptor, "rb", closefd=False) as packed:
        while block := packed.read(_CHUNK):
            try:
                for piece in unpacker.feed(block):
                    data += piece
                    if len(data) > max_bytes:
                        raise FrameError(f"expected at most {max_bytes} bytes unpacked, got more")
            except ValueError as error:
                raise FrameError(str(error)) from error
    if not unpacker.whole:
        raise FrameError(f"expected the end of a {unpacker.kind}, got that of the file")
    if not data:
        raise FrameError("expected a FITS file, got a compressed empty file")
    _check_magic(bytes(data[: len(_FITS)]))
    return data


def describe_os_error(error: OSError) -> str:
    """Say in a few words what went wrong on opening or reading a file, without its path."""
    if error.errno == errno.ENOENT:
        return "expected a file, got none of that name"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "expected a readable file, got no permission"
    return f"expected a readable file, got {error.strerror or error}"
