"""Reports the files of a folder as they become whole.

A file is whole when its writer closes it or renames it into place, as the kernel reports on a local
disk. Over a network file system nobody reports that: there the folder is scanned every `poll`
seconds, and a file is whole when its size and time have not changed for `settle` seconds. The same
rule holds for files that were there before the watch began and for writers that never close.

File names are bytes: a camera may use any encoding. All calls to the file system run in threads.
"""

from __future__ import annotations

import asyncio
import fnmatch
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from tosip.tasks import in_thread


@dataclass(frozen=True)
class Stamp:
    """Tells one version of a file from the next: its size and its modification time."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Watched:
    """The folder, which names in it count (without regard to case), and how to watch it."""

    folder: Path
    patterns: tuple[str, ...]
    recursive: bool
    poll: float
    settle: float
    ignored: str

    def wants(self, name: bytes) -> bool:
        """Return whether a name, relative to the folder, is of a file to report."""
        *folders, last = os.fsdecode(name).lower().split("/")
        if folders and (not self.recursive or folders[0] == self.ignored):
            return False
        if last.startswith("."):
            return False
        return any(fnmatch.fnmatchcase(last, pattern.lower()) for pattern in self.patterns)

    def scan(self) -> dict[bytes, Stamp]:
        """List the files that count, the oldest first."""
        found = dict(self._files(os.fsencode(self.folder)))
        return dict(sorted(found.items(), key=lambda item: (item[1].mtime_ns, item[0])))

    def _files(self, folder: bytes) -> Iterator[tuple[bytes, Stamp]]:
        root = os.fsencode(self.folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                name = os.path.relpath(entry.path, root)
                if self.recursive and entry.is_dir(follow_symlinks=False):
                    if os.fsdecode(name) != self.ignored:
                        yield from self._files(entry.path)
                elif self.wants(name) and (stamp := stamp_of(entry.path)):
                    yield name, stamp

    def path(self, name: bytes) -> bytes:
        """Return the path of a file by its name relative to the folder."""
        return os.path.join(os.fsencode(self.folder), name)


def stamp_of(path: bytes) -> Stamp | None:
    """Return the stamp of a regular file, None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns) if os.path.isfile(path) else None


@dataclass(frozen=True)
class _Growing:
    """A file that may not be whole, and since when (loop time) its stamp has been this one."""

    stamp: Stamp
    since: float


class FolderWatch:
    """Usage: `watch = FolderWatch(watched, on_whole)`, `await watch.run()` as a task of its own.

    `on_whole(name, stamp)` is called on the event loop; the same version of a file may be reported
    more than once.
    """

    def __init__(self, watched: Watched, on_whole: Callable[[bytes, Stamp], None]) -> None:
        self._watched = watched
        self._on_whole = on_whole
        self._growing: dict[bytes, _Growing] = {}

    async def run(self) -> None:
        """Report the files that are there, oldest first, then those that appear; until cancelled.

        Raises OSError if the folder cannot be watched, and when it is removed or replaced.
        """
        identity = await in_thread(self._identity)
        observer = self._observer(asyncio.get_running_loop())
        await in_thread(observer.start)
        try:
            for name, stamp in (await in_thread(self._watched.scan)).items():
                self._seen(name, stamp, whole=self._is_old(stamp))
            while True:
                await asyncio.sleep(self._watched.settle / 4)
                if await in_thread(self._identity) != identity:
                    raise FileNotFoundError("the folder was replaced")
                await self._settle()
        finally:
            observer.stop()

    def _observer(self, loop: asyncio.AbstractEventLoop) -> BaseObserver:
        poll = self._watched.poll
        observer = PollingObserver(timeout=poll) if poll else Observer()
        handler = _Handler(self._watched, loop, self._seen)
        folder = os.fspath(self._watched.folder)
        observer.schedule(handler, folder, recursive=self._watched.recursive)
        return observer

    def _identity(self) -> tuple[int, int]:
        """Return the folder's device and inode; the kernel reports changes of one inode only."""
        status = os.stat(self._watched.folder)
        return status.st_dev, status.st_ino

    def _is_old(self, stamp: Stamp) -> bool:
        return time.time_ns() - stamp.mtime_ns > self._watched.settle * 1e9

    def _seen(self, name: bytes, stamp: Stamp, *, whole: bool) -> None:
        if whole:
            self._growing.pop(name, None)
            self._on_whole(name, stamp)
        elif name not in self._growing or self._growing[name].stamp != stamp:
            self._growing[name] = _Growing(stamp, asyncio.get_running_loop().time())

    async def _settle(self) -> None:
        """Report the files that have not changed for long enough."""
        due = asyncio.get_running_loop().time() - self._watched.settle
        quiet = {name: growing for name, growing in self._growing.items() if growing.since <= due}
        if not quiet:
            return
        paths = [self._watched.path(name) for name in quiet]
        stamps = await in_thread(lambda: [stamp_of(path) for path in paths])
        found = [
            (stamp.mtime_ns, name, stamp)
            for name, stamp in zip(quiet, stamps, strict=True)
            if stamp is not None
        ]
        for name in quiet.keys() - {name for _, name, _ in found}:
            self._growing.pop(name, None)
        for _, name, stamp in sorted(found, key=lambda file: file[:2]):
            self._seen(name, stamp, whole=stamp == quiet[name].stamp)


class _Handler(FileSystemEventHandler):
    """Turns the observer's events, in its thread, into calls on the event loop."""

    def __init__(
        self,
        watched: Watched,
        loop: asyncio.AbstractEventLoop,
        seen: Callable[..., None],
    ) -> None:
        self._watched = watched
        self._loop = loop
        self._seen = seen

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Report a file that was created, written, closed after writing, or renamed."""
        if event.is_directory:
            return
        if event.event_type == "moved":
            self._report(event.dest_path, whole=True)
        elif event.event_type in ("created", "modified", "closed"):
            self._report(event.src_path, whole=event.event_type == "closed")

    def _report(self, path: bytes | str, *, whole: bool) -> None:
        root = os.fsencode(self._watched.folder)
        name = os.path.relpath(os.fsencode(path), root)
        if not self._watched.wants(name):
            return
        stamp = stamp_of(self._watched.path(name))
        if stamp is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: self._seen(name, stamp, whole=whole))
