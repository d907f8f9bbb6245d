"""What is known about a file that the gateway has acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StoredFile:
    """One acknowledged upload; two uploads of one name are two of these.

    `path` is the spool's copy: read it, never change it; it stays until the file is delivered and
    released. `name` is the virtual path as uploaded, without a leading slash. `received` is Unix
    time. `proven` tells that FITS headers or ALLO showed the file to be whole; other files are
    accepted as they came.
    """

    id: str
    name: str
    user: str
    path: Path
    size: int
    sha256: str
    received: float
    proven: bool = False
