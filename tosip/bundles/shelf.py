"""The bundles of one plugin: a folder that never holds half a bundle, nor more than it may.

A bundle is written under a name that begins with a dot and renamed when all of it is on the disk; a
bundle that has to go is renamed so before it is removed. What a crash leaves behind is cleared away
by `tidy`. Everything here blocks: one thread calls it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tosip.bundles import bundle
from tosip.bundles.bundle import BundleError
from tosip.pipeline.failure import Failure, Likeness

_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}-frame-?\d+")  # they sort by time
_NEW, _OLD = ".new-", ".old-"


@dataclass(frozen=True)
class Limits:
    """How much is kept of each plugin: bundles, bytes of them all, and bundles of one fault.

    None is written that would leave less than `least_free` bytes on the disk.
    """

    number: int = 20
    size: int = 1024**3
    alike: int = 3
    least_free: int = 0


class Shelf:
    """The folder of one plugin's bundles; it is made with the first of them."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self.limits = limits

    def tidy(self) -> None:
        """Clear away what a crash has left."""
        for path in self._paths():
            if path.name.startswith((_NEW, _OLD)) and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)

    def names(self) -> list[str]:
        """Return the names of the bundles, oldest first; folders of other names do not count."""
        return sorted(path.name for path in self._paths() if _NAME.fullmatch(path.name))

    def kinds(self) -> Counter[Likeness]:
        """Count the bundles of each fault; those that cannot be read are of none."""
        kinds: Counter[Likeness] = Counter()
        for name in self.names():
            with contextlib.suppress(BundleError):
                kinds[bundle.read(self.folder / name).likeness] += 1
        return kinds

    def put(self, failure: Failure) -> str:
        """Keep a failure and return its bundle's name; the oldest go to make room.

        BundleError if it may not be kept, OSError if it cannot be written.
        """
        try:
            size = bundle.size_of(failure)
        except ValueError as error:
            raise BundleError(str(error)) from error
        if size > self.limits.size:
            raise BundleError(f"expected at most {self.limits.size} bytes, got {size}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._make_room(size)
        free = shutil.disk_usage(self.folder).free
        if free - size < self.limits.least_free:
            raise BundleError(
                f"expected {self.limits.least_free} bytes to stay free on the disk, "
                f"got {free - size}"
            )
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-frame{failure.array.unique_id}"
        new = self.folder / f"{_NEW}{name}"
        try:
            bundle.write(new, failure)
            os.rename(new, self.folder / name)
            bundle.sync_folder(self.folder)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        return name

    def _make_room(self, size: int) -> None:
        sizes = {name: _size(self.folder / name) for name in self.names()}
        while sizes and (
            len(sizes) >= self.limits.number or sum(sizes.values()) + size > self.limits.size
        ):
            oldest = next(iter(sizes))
            del sizes[oldest]
            old = self.folder / f"{_OLD}{oldest}"
            os.rename(self.folder / oldest, old)
            shutil.rmtree(old, ignore_errors=True)

    def _paths(self) -> list[Path]:
        try:
            return list(self.folder.iterdir())
        except FileNotFoundError:
            return []


def _size(folder: Path) -> int:
    size = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                size += os.lstat(os.path.join(parent, name)).st_size
    return size
