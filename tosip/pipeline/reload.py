"""Hot reload: when the algorithm's files change, newer code takes over between two frames.

The newer code is started beside the running one, must declare the same inputs and outputs, and is
tried on the last frame, in an instance that is thrown away after that. Whatever goes wrong, the
running code goes on. It does so even when its worker has to be started again: a worker is given the
code as text, not the files.
"""

import asyncio
import contextlib
import importlib.machinery
import importlib.util
import logging
import math
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from tosip.errors import ProtocolError, WorkerError
from tosip.pipeline.jobs import AlgorithmFault
from tosip.pipeline.process import WorkerProcess
from tosip.pipeline.worker.code import text_digest
from tosip.pipeline.worker.data import data_digests, data_files
from tosip.pipeline.workers import RestartRequired, Workers
from tosip.shortage import in_words
from tosip.tasks import BackgroundTask, in_thread

INTERVAL = 0.25  # s between two looks at the files
SETTLED = 0.1  # s without a change after which files are taken to be whole
EMPTY = 2.0  # s that a file may stay empty before it is taken to be whole
COARSEST = 2.0  # s between times that a file system tells apart; contents are compared after that
NOTHING = text_digest("")
_ENDINGS = tuple(importlib.machinery.all_suffixes())

log = logging.getLogger(__name__)

TryOut = Callable[[WorkerProcess], Awaitable[None]]


class Reloader:
    """Watches the files of one plugin's algorithm.

    `automatic` says whether saving a file is enough; `request` reloads in any case. `status` and
    `restart_required` are words for operators; `on_change` is called when they change.
    """

    def __init__(
        self, file: Path, workers: Workers, try_out: TryOut, on_change: Callable[[], None]
    ) -> None:
        self.automatic = True
        self.status = ""
        self.restart_required = ""
        self._file = file
        self._workers = workers
        self._try_out = try_out
        self._on_change = on_change
        self._failed: Contents | None = None  # what was tried in vain
        self._requested = asyncio.Event()
        self._task = BackgroundTask(f"reload {workers.name}", self._watch, on_change)

    def start(self) -> None:
        """Watch from now on."""
        self._task.start()

    async def stop(self) -> None:
        """Watch no more; a reload that has begun is given up."""
        await self._task.stop()

    @property
    def fault(self) -> str:
        """That the files are not watched at present, and why; empty if they are."""
        return self._task.fault and f"files are not watched: {self._task.fault}"

    def request(self) -> None:
        """Reload, whether the files have changed or not."""
        self._requested.set()

    async def _watch(self) -> None:
        seen: Look = {}  # the files may have changed since the worker has read them
        loop = asyncio.get_running_loop()
        pending, again = False, math.inf
        while True:
            requested = await self._pause(INTERVAL)
            now = await self._look()
            if now != seen:
                seen = await self._settle(now)
                pending, again = True, loop.time() + COARSEST
            overdue = loop.time() > again
            compare = pending or self._mixed() or overdue
            if requested or (compare and self.automatic and await self._differs(pending)):
                await self._reload(requested)
                seen = await self._look_again(seen)
            if self.automatic:
                pending, again = False, math.inf if overdue else again

    def _mixed(self) -> bool:
        """Whether a worker that was started later has read newer data than the others."""
        return self._workers.code.mixed and self._failed is None

    async def _pause(self, seconds: float) -> bool:
        """Wait; return whether a reload was requested meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._requested.wait()
        requested = self._requested.is_set()
        self._requested.clear()
        return requested

    async def _settle(self, now: "Look") -> "Look":
        """Wait until nothing changes any more: an editor or a checkout may be at work.

        A file that has become empty is waited for longer: its writer is not done.
        """
        loop = asyncio.get_running_loop()
        patience = loop.time() + EMPTY
        while True:
            await asyncio.sleep(SETTLED)
            before, now = now, await self._look()
            if now == before and (loop.time() > patience or not self._emptied(now)):
                return now

    def _emptied(self, now: "Look") -> bool:
        code = self._workers.code
        before = {**code.data_files(), **code.texts()}
        return any(
            isinstance(stamp, Stamp)
            and not stamp.size
            and before.get(path, NOTHING) not in (NOTHING, "")
            for path, stamp in now.items()
        )

    async def _look(self) -> "Look":
        return await in_thread(_look, self._file, self._files(), *self._data())

    async def _look_again(self, seen: "Look") -> "Look":
        """Look at what has to be watched now; a change during the reload must not be missed."""
        now = await self._look()
        return {path: seen.get(path, stamp) for path, stamp in now.items()}

    def _files(self) -> set[str]:
        """The files of all modules: of those that run, and of those that did not come to that."""
        codes = (self._workers.code, self._workers.tried)
        return {module["file"] for code in codes for module in code.modules.values()}

    def _data(self) -> tuple[Path, list[str]]:
        """Return the folder and the names of the data files."""
        names = [*self._workers.description.watch, *self._workers.watch]
        return self._workers.code.folder, names

    async def _differs(self, changed: bool) -> bool:
        """Whether the files hold something else than what runs, or than what was tried in vain.

        Not while the main one is missing. `changed` says that a file or folder has been changed.
        """
        texts, data = contents = await self._contents()
        if not self._file.exists():
            return False
        if self._failed is not None:
            return changed or contents != self._failed
        code = self._workers.code
        running = code.texts()
        return (
            code.mixed
            or data != code.data_files()
            or any(texts.get(p) != running[p] for p in running)
        )

    async def _contents(self) -> "Contents":
        return await in_thread(_contents, self._files(), *self._data())

    async def _reload(self, requested: bool) -> None:
        self._say("loading")
        tried = await self._contents()
        try:
            lost = await self._workers.reload(self._try_out, anew=requested)
        except RestartRequired as error:
            self._failed = tried
            self._say(f"not loaded: {error}", ", ".join(error.changes))
        except (WorkerError, ProtocolError) as error:
            self._failed = tried
            reason = error.traceback if isinstance(error, AlgorithmFault) else str(error)
            self._say(f"not loaded, {self._workers.code_hash} goes on: {reason}")
        except Exception as error:
            self._failed = tried
            log.exception("%s: reload", self._workers.name)
            self._say(f"not loaded, {self._workers.code_hash} goes on: {in_words(error)}")
        else:
            self._failed = None
            anew = f", started anew: {lost}" if lost else ""
            self._say(f"loaded {self._workers.code_hash}{anew}")

    def _say(self, status: str, restart_required: str = "") -> None:
        self.status, self.restart_required = status, restart_required
        log.info("%s: reload: %s", self._workers.name, status)
        self._on_change()


class Stamp(NamedTuple):
    """What changes with a file. Programs can put `modified` back, but not `changed`."""

    modified: int
    changed: int
    size: int
    inode: int
    device: int


Look = dict[str, Stamp | frozenset[str] | None]
"""The stamps of files, and the names that can be imported from folders."""

Contents = tuple[dict[str, str | None], dict[str, str]]
"""The digests of modules' texts, None where there is none, and of data files, by path."""


def _look(file: Path, files: Iterable[str], folder: Path, names: Iterable[str]) -> Look:
    # The folders, for code that failed may want a module that is not there yet.
    folders = {str(file.parent), *(os.path.dirname(each) for each in files)}
    data = (os.path.join(folder, each) for each in data_files(str(folder), names))
    return {
        **{path: _modules(path) for path in folders},
        **{path: _stamp(path) for path in {str(file), *files, *data}},
    }


def _modules(folder: str) -> frozenset[str] | None:
    """Return what may be imported; other files come and go, such as the images in a folder."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(
                each.name for each in entries if each.name.endswith(_ENDINGS) or each.is_dir()
            )
    except OSError:
        return None


def _stamp(path: str) -> Stamp | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return Stamp(
        status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev
    )


def _contents(files: Iterable[str], folder: Path, names: Iterable[str]) -> Contents:
    data = data_digests(str(folder), names)
    texts = {path: _text_digest(path) for path in files}
    return texts, {os.path.join(folder, path): digest for path, digest in data.items()}


def _text_digest(path: str) -> str | None:
    try:
        return text_digest(importlib.util.decode_source(Path(path).read_bytes()))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
