"""Hot reload: when the algorithm's files change, newer code takes over between two frames.

The newer code is started beside the running one, must declare the same inputs and outputs, and is
tried on the last frame, in an instance that is thrown away after that. Whatever goes wrong, the
running code goes on. It does so even when its worker has to be started again: a worker is given the
code as text, not the files.
"""

import asyncio
import contextlib
import importlib.util
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from tosip.errors import ProtocolError, WorkerError
from tosip.pipeline.jobs import AlgorithmFault
from tosip.pipeline.process import WorkerProcess
from tosip.pipeline.workers import RestartRequired, Workers
from tosip.shortage import in_words
from tosip.tasks import BackgroundTask, in_thread

INTERVAL = 0.25  # s between two looks at the files
SETTLED = 0.1  # s without a change after which files are taken to be whole

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
        self._failed = False
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
        while True:
            requested = await self._pause(INTERVAL)
            now = await self._look()
            if now != seen:
                now = await self._settle(now)
            changed, seen = now != seen, now
            if requested or (changed and self.automatic and await self._differs()):
                await self._reload()
                seen = await self._look_again(seen)

    async def _pause(self, seconds: float) -> bool:
        """Wait; return whether a reload was requested meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._requested.wait()
        requested = self._requested.is_set()
        self._requested.clear()
        return requested

    async def _settle(self, now: "Look") -> "Look":
        """Wait until nothing changes any more: an editor or a checkout may be at work."""
        while True:
            await asyncio.sleep(SETTLED)
            before, now = now, await self._look()
            if now == before:
                return now

    async def _look(self) -> "Look":
        # The folder, for code that failed may want a module that is not there yet.
        paths = {str(self._file), str(self._file.parent), *self._files()}
        return await in_thread(_look, paths)

    async def _look_again(self, seen: "Look") -> "Look":
        """Look at what has to be watched now; a change during the reload must not be missed."""
        now = await self._look()
        return {path: seen.get(path, stamp) for path, stamp in now.items()}

    def _files(self) -> Iterable[str]:
        return (source["file"] for source in self._workers.code.values())

    async def _differs(self) -> bool:
        """Whether the files hold other code than what runs; not while the main one is missing."""
        texts = {source["file"]: source["text"] for source in self._workers.code.values()}
        return await in_thread(_differs, self._file, texts) or self._failed

    async def _reload(self) -> None:
        self._say("loading")
        try:
            await self._workers.reload(self._try_out)
        except RestartRequired as error:
            self._failed = True
            self._say(f"not loaded: {error}", ", ".join(error.changes))
        except (WorkerError, ProtocolError) as error:
            self._failed = True
            reason = error.traceback if isinstance(error, AlgorithmFault) else str(error)
            self._say(f"not loaded, {self._workers.code_hash} goes on: {reason}")
        except Exception as error:
            self._failed = True
            log.exception("%s: reload", self._workers.name)
            self._say(f"not loaded, {self._workers.code_hash} goes on: {in_words(error)}")
        else:
            self._failed = False
            self._say(f"loaded {self._workers.code_hash}")

    def _say(self, status: str, restart_required: str = "") -> None:
        self.status, self.restart_required = status, restart_required
        log.info("%s: reload: %s", self._workers.name, status)
        self._on_change()


Look = dict[str, tuple[int, int, int] | None]


def _look(paths: Iterable[str]) -> Look:
    return {path: _stamp(path) for path in paths}


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _differs(file: Path, texts: dict[str, str]) -> bool:
    if not file.exists():
        return False
    return any(_text(path) != text for path, text in texts.items())


def _text(path: str) -> str | None:
    try:
        return importlib.util.decode_source(Path(path).read_bytes())
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
