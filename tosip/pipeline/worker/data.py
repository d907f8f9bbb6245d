"""The data files that an algorithm names in `watch`: which files are meant, and their digests.

A name is a file, a pattern as `glob` takes it (`**` for any folders) or a folder, which means all
files below it. Standard library only: workers and the IOC use it.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator

MOST_FILES = 1000
"""Files of one algorithm that are watched; the first ones by name."""
_CHUNK = 1 << 20


def data_files(folder: str, names: Iterable[str]) -> list[str]:
    """Return the paths of the files that `names` mean, relative to `folder` where they are below.

    A plain name is returned whether there is such a file or not: it may come.
    """
    found = {path for name in names for path in _meant(os.path.join(folder, name))}
    return sorted(_relative(folder, path) for path in found)[:MOST_FILES]


def _meant(path: str) -> Iterator[str]:
    for each in glob.glob(path, recursive=True) if glob.has_magic(path) else [path]:
        if not os.path.isdir(each):
            yield each
            continue
        for parent, _, files in os.walk(each):
            yield from (os.path.join(parent, file) for file in files)


def _relative(folder: str, path: str) -> str:
    path, base = os.path.normpath(path), os.path.join(folder, "")
    return path[len(base) :] if path.startswith(base) else path


def file_digest(path: str) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal; empty if it cannot be read."""
    whole = hashlib.sha256()
    if not os.path.isfile(path):  # a pipe would never end
        return ""
    try:
        with open(path, "rb") as file:
            for chunk in iter(lambda: file.read(_CHUNK), b""):
                whole.update(chunk)
    except OSError:
        return ""
    return whole.hexdigest()


def data_digests(folder: str, names: Iterable[str]) -> dict[str, str]:
    """Return the digest of each of the `data_files`."""
    return {path: file_digest(os.path.join(folder, path)) for path in data_files(folder, names)}
