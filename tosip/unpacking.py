"""Unpacking gzip and bzip2 piece by piece, as their bytes come, in bounded memory.

A file may hold several members (gzip) or streams (bzip2): their contents follow one another. Bytes
behind the last that begin no other are ignored, as gunzip, bunzip2 and astropy do: some programs
pad files with zeros, or append a note.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator
from typing import Any

MAGICS = (b"\x1f\x8b", b"BZh")
LARGEST_PIECE = 1 << 20

_GZIP = MAGICS[0]
_GZIP_BITS = 31  # zlib: a gzip header, and the largest window


class Unpacker:
    """Usage: `for piece in unpacker.feed(data)`, for all data of a file that begins with a magic.

    `feed` must be run to its end before the next; it raises ValueError for damaged data.
    """

    def __init__(self, magic: bytes) -> None:
        self.whole = False
        """Whether the member that was begun last has come to its end."""
        self._magic = next(known for known in MAGICS if magic.startswith(known))
        self._member: Any = None
        self._start = b""
        self._trailing = False

    @property
    def kind(self) -> str:
        """What ends: in words."""
        return "gzip member" if self._magic == _GZIP else "bzip2 stream"

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes hold, at most `LARGEST_PIECE` bytes at a time."""
        while data and not self._trailing:
            if self._member is None:
                data = self._begin(data)
            if self._member is not None:
                yield from self._pieces(data)
                data = self._end()

    def _begin(self, data: bytes) -> bytes:
        """Begin a member if one starts here; return its bytes."""
        data = self._start + data
        if self.whole:
            data = data.lstrip(b"\0")
        self._start = b""
        if data.startswith(self._magic):
            self.whole = False
            self._member = (
                zlib.decompressobj(_GZIP_BITS) if self._magic == _GZIP else bz2.BZ2Decompressor()
            )
            return data
        if self._magic.startswith(data):
            self._start = data
        else:
            self._trailing = True
        return b""

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        while not self._member.eof:
            try:
                piece = self._member.decompress(data, LARGEST_PIECE)
            except (zlib.error, OSError, EOFError) as error:
                raise ValueError(f"expected a {self.kind}, got a damaged one: {error}") from error
            # bz2 keeps what it has not consumed, zlib returns it.
            data = getattr(self._member, "unconsumed_tail", b"")
            if piece:
                yield piece
            elif not data:
                return

    def _end(self) -> bytes:
        """End the member if it has come to its end; return the bytes behind it."""
        if not self._member.eof:
            return b""
        rest: bytes = self._member.unused_data
        self._member, self.whole = None, True
        return rest
