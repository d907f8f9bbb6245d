"""Where things are in the spool's folder.

partial/<id>          an upload on its way, under a name that nobody else ever sees
partial/<id>.json     its description, shortly before it is committed
partial/<id>.kept     the description of an interrupted one that may be resumed
files/<id>            a committed file, exactly the bytes that came
files/<id>.json       its description: name, user, camera, size, digest, ...
retained/<id>         a delivered file that is kept for a while, and its description
quarantine/<id>       an upload that was refused for being short, and its description
journal.sqlite        what has been done with each file since
reserve               space that is given up so that a full disk can be drained
lock                  held by the one gateway that works here
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from tosip.errors import ConfigurationError
from tosip.gateway.spool.disk import Disk

SIDECAR = ".json"
KEPT = ".kept"
LOCK_PATIENCE = 0.25


class Layout:
    """The paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.partial = folder / "partial"
        self.files = folder / "files"
        self.retained = folder / "retained"
        self.quarantine = folder / "quarantine"
        self.journal = folder / "journal.sqlite"
        self.reserve = folder / "reserve"
        self.lock = folder / "lock"

    def make(self, disk: Disk) -> None:
        """Make what is missing, so that it survives; ConfigurationError if that cannot be."""
        try:
            if _make_folder(disk, self.folder):
                disk.sync_folder(self.folder.parent)
            made = [
                _make_folder(disk, folder)
                for folder in (self.partial, self.files, self.retained, self.quarantine)
            ]
            if any(made):
                disk.sync_folder(self.folder)
        except OSError as error:
            raise ConfigurationError(
                f"Spool.folder: expected a folder to write to, got {self.folder} ({error.strerror})"
            ) from None


def sidecar(path: Path) -> Path:
    """Return where the description of a file is, beside it."""
    return path.with_name(path.name + SIDECAR)


def kept(path: Path) -> Path:
    """Return where the description of an interrupted upload is, beside it."""
    return path.with_name(path.name + KEPT)


def take_lock(layout: Layout) -> int:
    """Return a descriptor that holds the spool; ConfigurationError if another one does."""
    try:
        fd = os.open(layout.lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ConfigurationError(
            f"Spool.folder: expected a folder to write to, got {layout.folder} ({error.strerror})"
        ) from None
    # `is_locked` holds it for a moment, and must not stop a gateway from starting.
    end = time.monotonic() + LOCK_PATIENCE
    while not _try_lock(fd):
        if time.monotonic() > end:
            os.close(fd)
            raise ConfigurationError(
                f"Spool.folder: expected a spool of its own, got {layout.folder},"
                " which another gateway is using"
            )
        time.sleep(0.01)
    return fd


def is_locked(layout: Layout) -> bool:
    """Return whether a gateway holds the spool."""
    try:
        fd = os.open(layout.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(fd)
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_folder(disk: Disk, path: Path) -> bool:
    if path.is_dir():
        return False
    if _make_folder(disk, path.parent):
        disk.sync_folder(path.parent.parent)
    disk.make_folder(path)
    return True
