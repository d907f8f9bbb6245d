"""Keeps the failed frames of an IOC's plugins, beside the work and never in its way.

One thread writes, one bundle after the other, from the very memory that the frame lies in. While it
writes, `MOST_WAITING` frames may wait; a slow disk costs bundles then, not frames. A fault that
comes again and again is kept `Limits.alike` times and counted after that.

Usage::

    keeper = Keeper(var / "bundles", Limits())
    keeper.watch(plugin)
    ...
    await keeper.close()
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tosip.bundles.bundle import BundleError
from tosip.bundles.shelf import Limits, Shelf
from tosip.pipeline.failure import Failure, Likeness
from tosip.pipeline.plugin import Plugin
from tosip.shortage import in_words
from tosip.tasks import in_thread

MOST_WAITING = 2
CLOSE_TIMEOUT = 5.0  # s for what waits to be written when the IOC ends

log = logging.getLogger(__name__)


class Keeper:
    """All bundles of one IOC, in a folder for each plugin."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.repeated = 0  # failures of which there are enough bundles
        self.not_kept = 0  # others that came too fast, or could not be written
        self._folder = folder
        self._limits = limits
        self._waiting = 0
        self._todo: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A daemon: a disk that hangs must not keep the IOC from ending.
        self._thread = threading.Thread(target=self._work, name="bundles", daemon=True)

    def watch(self, plugin: Plugin) -> None:
        """Keep the plugin's failed frames from now on."""
        if self._limits.number > 0:
            if not self._thread.is_alive():
                self._thread.start()
            plugin.on_failure.connect(_Watched(plugin, self._folder, self._limits, self).failed)

    async def close(self) -> None:
        """Write what waits, if it does not take long, and stop."""
        if self._thread.is_alive():
            self._todo.put(None)
            with suppress(OSError):  # no thread to wait in
                await in_thread(self._thread.join, CLOSE_TIMEOUT)

    def offer(self, write: Callable[[], None]) -> bool:
        """Have a frame written; False if too many wait."""
        # One is being written beside those that wait.
        if self._waiting > MOST_WAITING:
            return False
        self._waiting += 1
        self.soon(write)
        return True

    def written(self) -> None:
        """Know that what was offered is done."""
        self._waiting -= 1

    def soon(self, work: Callable[[], None]) -> None:
        """Call `work` in the thread."""
        self._todo.put(work)

    def _work(self) -> None:
        while self._do_one(self._todo.get()):
            pass

    def _do_one(self, work: Callable[[], None] | None) -> bool:
        # A call of its own: while the thread waits it must not hold the last frame's memory.
        if work is None:
            return False
        try:
            work()
        except Exception:
            log.exception("bundles")
        return True


class _Watched:
    """One plugin's failures."""

    def __init__(self, plugin: Plugin, folder: Path, limits: Limits, keeper: Keeper) -> None:
        self._plugin = plugin
        self._shelf = Shelf(folder / plugin.name, limits)
        self._keeper = keeper
        self._kinds: Counter[Likeness] = Counter()
        self._loop = asyncio.get_running_loop()
        keeper.soon(self._tidy)

    def failed(self, failure: Failure) -> None:
        """Have a failure kept, if there is not enough of its kind."""
        kind = failure.likeness
        if self._kinds[kind] >= self._shelf.limits.alike:
            self._keeper.repeated += 1
            return
        if not self._keeper.offer(lambda: self._write(failure)):
            self._keeper.not_kept += 1
            log.warning("%s: no bundle: others are still being written", _name(failure))
            return
        self._kinds[kind] += 1

    def _tidy(self) -> None:
        try:
            self._shelf.tidy()
            self._tell(self._known, self._shelf.kinds(), self._shelf.names())
        except OSError as error:
            log.warning("%s: %s: %s", self._plugin.name, self._shelf.folder, in_words(error))

    def _write(self, failure: Failure) -> None:
        """Write a bundle; in the thread."""
        fault, name = "", ""
        try:
            name = self._shelf.put(failure)
            log.info("%s: kept as %s", _name(failure), self._shelf.folder / name)
        except OSError as error:
            fault = f"{self._shelf.folder}: {error.strerror}"
        except BundleError as error:
            fault = str(error)
        except Exception as error:
            log.exception("%s", _name(failure))
            fault = f"a fault of TOSIP: {error!r}"
        if fault:
            log.warning("%s: no bundle: %s", _name(failure), fault)
        names: list[str] = []
        with suppress(OSError, MemoryError):
            names = self._shelf.names()
        self._tell(self._written, None if name else failure.likeness, names)

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function, *arguments)

    def _known(self, kinds: Counter[Likeness], names: list[str]) -> None:
        self._kinds += kinds
        self._show(names)

    def _written(self, lost: Likeness | None, names: list[str]) -> None:
        self._keeper.written()
        if lost:
            self._kinds[lost] -= 1
            self._keeper.not_kept += 1
        self._show(names)

    def _show(self, names: list[str]) -> None:
        self._plugin.kept_bundles(len(names), names[-1] if names else "")


def _name(failure: Failure) -> str:
    return f"{failure.program.name}: frame {failure.array.unique_id}"
