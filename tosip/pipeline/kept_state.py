"""Keeps what an algorithm has learnt on the disk, and gives it to its workers when they start.

The algorithm is asked between two frames, after a frame, at most once a second and for at most a
twentieth of the time; the file is written by a thread. Whatever goes wrong costs a warning, and at
worst a fresh start: frames go on.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from tosip.description import Description
from tosip.errors import ProtocolError, WorkerError
from tosip.pipeline import state_file
from tosip.pipeline.jobs import NoAnswer, NotAsked
from tosip.pipeline.state import State
from tosip.tasks import BackgroundTask, in_thread

INTERVAL = 1.0  # s between two savings, at least
SHARE = 20  # times as long as one took, at least

log = logging.getLogger(__name__)


class KeptState:
    """The state of one plugin in `file`; `status` is for operators, empty if none is to be kept.

    `snapshot` asks the algorithm, `code_hash` returns the hash of what runs; `on_change` is called
    after `status` has changed.
    """

    def __init__(
        self,
        name: str,
        file: Path,
        snapshot: Callable[[], Awaitable[State | None]],
        code_hash: Callable[[], str],
        on_change: Callable[[], None],
    ) -> None:
        self._name = name
        self._file = file
        self._snapshot = snapshot
        self._code_hash = code_hash
        self._on_change = on_change
        self._declaration = ""
        self._latest: State | None = None
        self._written = ""
        self._started = ""
        self._trouble = ""
        self._silent = ""  # the code whose `save` did not answer
        self._read = False
        self._dirty = False
        self._set_aside = False
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._task = BackgroundTask(f"keep state {name}", self._run)

    @property
    def status(self) -> str:
        """What became of the state at the start, and why it is not kept if that fails."""
        return "; ".join(filter(None, (self._trouble, self._started)))

    async def state(self, description: Description) -> State | None:
        """Return the state that was kept last; None if there is none, or if it was refused."""
        if description.keep_state and not self._read:
            self._read = True
            self._declaration = description.declaration_hash()
            await self._load()
        return self._latest

    async def _load(self) -> None:
        self._say("started anew: no state was kept before")
        try:
            found = await in_thread(state_file.read, self._file, self._declaration)
        except (OSError, state_file.StateFileError) as error:
            self._refuse(_words(error))
            return
        if found:
            self._latest, kept = found
            self._started = f"restored, as kept at {kept}"

    def restored(self, fault: str) -> None:
        """Note that a worker goes on with the state, or why it did not take it."""
        if fault:
            self.left_out(fault)
        else:
            log.info("%s: state: restored", self._name)
            self._on_change()

    def left_out(self, cause: str) -> None:
        """Note that a worker starts without the state, which may be what ends it."""
        if self._latest:
            self._latest = None
            self._refuse(cause)

    def _refuse(self, cause: str) -> None:
        self._set_aside = True
        self._say(f"started anew: {cause}", warn=True)

    def start(self, description: Description) -> None:
        """Keep the state from now on, if the algorithm wants that."""
        if description.keep_state:
            self._declaration = description.declaration_hash()
            self._task.start()

    def changed(self) -> None:
        """Note that the algorithm has seen a frame."""
        self._dirty = True
        self._wake.set()

    async def stop(self, seconds: float) -> None:
        """Keep the state once more if it has changed, within `seconds`."""
        self._stopping.set()
        self._wake.set()
        try:
            async with asyncio.timeout(seconds):
                await self._task.ended()
        except TimeoutError:
            log.warning("%s: state: not kept at the end: no answer", self._name)
            await self._task.stop()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self._wake.wait()
            self._wake.clear()
            seconds = await self._keep()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(INTERVAL, SHARE * seconds)):
                    await self._stopping.wait()
        await self._keep()

    async def _keep(self) -> float:
        """Save the state if it may have changed; return how long the worker took, in seconds."""
        if not self._dirty or self._silent == self._code_hash():
            return 0.0
        self._dirty = False
        try:
            state = await self._snapshot()
            await in_thread(self._write, state)
        except NotAsked:
            self._dirty = True
        except NoAnswer as error:
            self._silent = self._code_hash()
            self._complain(f"not kept, until the code changes: {error}")
        except (WorkerError, ProtocolError) as error:
            self._complain(f"not kept: {error} (in save)")
        except (OSError, state_file.StateFileError) as error:
            self._complain(f"not kept: {_words(error)}")
        else:
            self._latest = state
            self._complain("")
            return state.seconds if state else 0.0
        return 0.0

    def _write(self, state: State | None) -> None:
        """Write a state unless the file holds it; remove an older one if there is none now."""
        if self._set_aside:  # or the newer state would take its place
            with suppress(OSError):
                os.replace(self._file, self._file.with_name(f"{self._file.name}.refused"))
            self._set_aside, self._written = False, ""
        if state is None:
            self._file.unlink(missing_ok=True)
            self._written = ""
            return
        digest = state_file.digest(state) if state.size <= state_file.LARGEST else ""
        if not digest or digest != self._written:
            state_file.write(self._file, state, self._declaration, self._code_hash())
            self._written = digest

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble:
                log.warning("%s: state: %s", self._name, trouble)
            self._on_change()

    def _say(self, started: str, *, warn: bool = False) -> None:
        self._started = started
        log.log(logging.WARNING if warn else logging.INFO, "%s: state: %s", self._name, started)
        self._on_change()


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
    return str(error)
