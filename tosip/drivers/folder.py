"""The kind `folder`: FITS files that appear in a folder become NDArrays.

Files are read one after the other, in the order of their modification time, each version once,
restarts included. With `after = "done"` a file moves to the subfolder `done` once it is read.
Files that appear while the driver does not acquire count as skipped and are not read later.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from tosip.configuration import FilePath
from tosip.drivers.driver import FitsDriver
from tosip.drivers.fits_config import FitsConfig
from tosip.drivers.folder_watch import FolderWatch, Stamp, Watched
from tosip.drivers.kinds import DriverConfig, DriverContext, DriverKind
from tosip.drivers.panel import DRIVER_ITEMS
from tosip.drivers.remembered import ReadFiles
from tosip.errors import ConfigurationError
from tosip.tasks import BackgroundTask, in_thread

DONE = "done"
PATTERNS = tuple(f"*.{name}{packed}" for name in ("fits", "fit", "fts") for packed in ("", ".*"))

log = logging.getLogger(__name__)


class FolderConfig(DriverConfig, FitsConfig):
    """A folder of FITS files.

    `patterns` are the names to take, without regard to case. `poll` is the time between two scans
    of a network folder in seconds, 0 for a local one, whose changes the kernel reports. A file that
    nobody closes is read `settle` seconds after its last change.
    """

    folder: FilePath
    patterns: tuple[str, ...] = PATTERNS
    recursive: bool = False
    poll: float = Field(0.0, ge=0)
    settle: float = Field(1.0, gt=0)
    after: Literal["leave", "done"] = "leave"


class FolderFeeder:
    """Submits the files of a folder to its driver."""

    def __init__(self, config: FolderConfig, read: ReadFiles) -> None:
        self._watched = Watched(
            config.folder, config.patterns, config.recursive, config.poll, config.settle, DONE
        )
        self._move = config.after == DONE
        self._read = read
        self._waiting: dict[bytes, Stamp] = {}  # submitted, not yet remembered
        self._finished: asyncio.Queue[tuple[bytes, Stamp]] = asyncio.Queue()
        self._tasks: tuple[BackgroundTask, ...] = ()

    @property
    def fault(self) -> str:
        """Why the folder is not watched, or what was read not remembered; empty if all is well."""
        return next((task.fault for task in self._tasks if task.fault), "")

    def start(self, driver: FitsDriver) -> None:
        """Submit the files that are there, then those that appear."""
        self._driver = driver
        changed = driver.on_change
        self._tasks = (
            BackgroundTask(f"folder {driver.name}", self._watch, changed),
            BackgroundTask(f"files of {driver.name}", self._finish, changed),
        )
        for task in self._tasks:
            task.start()

    async def stop(self) -> None:
        """Stop watching, and remember the files that were read."""
        for task in self._tasks:
            await task.stop()
        await self._finish_some([])
        self._read.close()

    async def _watch(self) -> None:
        """Watch until cancelled; OSError if the folder cannot be watched, or is removed."""
        self._read.keep_only((await in_thread(self._watched.scan)).keys())
        await FolderWatch(self._watched, self._submit).run()

    def _submit(self, name: bytes, stamp: Stamp) -> None:
        if (name, stamp) in self._read or self._waiting.get(name) == stamp:
            return
        self._waiting[name] = stamp
        self._driver.submit(
            Path(os.fsdecode(self._watched.path(name))),
            name=os.fsdecode(name),
            received=stamp.mtime_ns / 1e9,
            done=lambda: self._finished.put_nowait((name, stamp)),
        )

    async def _finish(self) -> None:
        while True:
            await self._finish_some([await self._finished.get()])

    async def _finish_some(self, files: list[tuple[bytes, Stamp]]) -> None:
        while not self._finished.empty():
            files.append(self._finished.get_nowait())
        if files:
            await in_thread(self._remember, files)
        for name, stamp in files:
            if self._waiting.get(name) == stamp:
                del self._waiting[name]

    def _remember(self, files: list[tuple[bytes, Stamp]]) -> None:
        self._read.add(files)
        for name, _ in files if self._move else ():
            self._move_away(name)

    def _move_away(self, name: bytes) -> None:
        target = os.path.join(os.fsencode(self._watched.folder), DONE.encode(), name)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.replace(self._watched.path(name), target)
        except OSError as error:
            log.warning("%r: expected to move it to %s (%s)", name, DONE, error.strerror)


def check(name: str, config: FolderConfig) -> None:
    """Raise ConfigurationError if the folder is not there."""
    if not config.folder.is_dir():
        raise ConfigurationError(f"drivers.{name}.folder: expected a folder, got {config.folder}")


def make(name: str, config: FolderConfig, context: DriverContext) -> FitsDriver:
    """Make the driver of a folder, which must exist."""
    check(name, config)
    feeder = FolderFeeder(config, ReadFiles(context.folder / "read.sqlite"))
    return FitsDriver(name, context.pool, context.ports, config.options, feeder)


KIND = DriverKind(
    FolderConfig, make, DRIVER_ITEMS, "fits_driver", "FITS driver", "FITS files", check
)
