"""Whether a file is meant to be a frame at all.

Cameras also send previews, logs and connection tests. These are archived and nothing else; only a
file that claims to be FITS is a failed frame. What it begins with decides first: SIMPLE, plain or
packed with gzip or bzip2. Where that says nothing, because the file is empty, cut or overwritten,
its name decides: .fits, .fit, .fts or .fz, also with the suffix of a compression behind it.
"""

import bz2
import zlib
from pathlib import Path, PurePosixPath

from tosip.drivers.fits_source import Source, read_bytes

_FIRST = b"SIMPLE"
_SUFFIXES = (".fits", ".fit", ".fts", ".fz")
_PACKED = (".gz", ".bz2", ".z", ".zip", ".xz", ".zst", ".lz4", ".7z")
_HEAD = 1 << 20  # holds the first block of a bzip2 file: only whole blocks can be unpacked
_GZIP = 31  # zlib's window bits for gzip


def claims_fits(path: Path, name: str, memory: Source | None = None) -> bool:
    """Return whether a file says that it is FITS, by its first bytes or its `name`.

    `memory` has its bytes, if they are in memory. A file that cannot be opened may be anything, so
    it counts as FITS.
    """
    if named_as_fits(name):
        return True
    try:
        first = _head(path, memory, len(_FIRST))
        if first.startswith(b"\x1f\x8b"):
            first = _unpacked(zlib.decompressobj(_GZIP), _head(path, memory, _HEAD))
        elif first.startswith(b"BZh"):
            first = _unpacked(bz2.BZ2Decompressor(), _head(path, memory, _HEAD))
    except OSError:
        return True
    return first == _FIRST


def named_as_fits(name: str) -> bool:
    """Return whether a name ends as those of FITS files do."""
    plain = PurePosixPath(name.lower())
    while plain.suffix in _PACKED:
        plain = plain.with_suffix("")
    return plain.suffix in _SUFFIXES


def _head(path: Path, memory: Source | None, size: int) -> bytes:
    if memory is not None:
        return read_bytes(memory, 0, size)
    if not path.is_file():  # a pipe would block
        raise FileNotFoundError(path)
    with path.open("rb") as file:
        return file.read(size)


def _unpacked(unpacker: "zlib._Decompress | bz2.BZ2Decompressor", head: bytes) -> bytes:
    """Return the first bytes that come out, none if the file is damaged before that."""
    try:
        return unpacker.decompress(head, len(_FIRST))
    except (OSError, EOFError, zlib.error):
        return b""
