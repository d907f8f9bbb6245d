"""The process that serves the images: how it is started and ended, and what its end was."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

from tosip.pipeline.child import words_of
from tosip.pipeline.environment import environment
from tosip.pipeline.guard import GUARD
from tosip.pipeline.output import Journal, Output

_MODULE = "tosip.images.process"


class Child:
    """One process from exec to end, which is seen through a pidfd: no thread waits for it.

    It has a session of its own: a Ctrl-C in the terminal is the IOC's to handle. Should the IOC be
    killed while the process does not react, the guard ends it.
    """

    def __init__(self, journal: Journal) -> None:
        self.words = ""
        self._output = Output(journal)
        self._process: subprocess.Popen[bytes] | None = None
        self._verdict = ""
        self._mark = 0
        self._pidfd = -1
        self._exited = asyncio.Event()

    @property
    def pid(self) -> int:
        """The process's number, 0 when there is none."""
        return self._process.pid if self._process and not self._exited.is_set() else 0

    @property
    def said(self) -> str:
        """The last line that it has printed."""
        return self._output.last_lines[-1] if self._output.last_lines else ""

    def spawn(self, descriptor: int) -> None:
        """Start it with one descriptor of ours; OSError if that fails."""
        GUARD.start()
        process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, str(descriptor)],
            stdin=subprocess.DEVNULL,
            stdout=self._output.write_end,
            stderr=self._output.write_end,
            pass_fds=(descriptor,),
            start_new_session=True,
            env=environment(),
        )
        try:
            self._pidfd = os.pidfd_open(process.pid)
        except OSError:
            process.kill()
            process.wait()
            raise
        self._process = process
        self._mark = GUARD.watch(process.pid)
        self._output.watch()
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)

    def kill(self, verdict: str) -> None:
        """Kill it and do not wait; `verdict` tells why."""
        if self.pid:
            self._verdict = self._verdict or verdict
            self._signal(signal.SIGKILL)

    async def wait(self) -> str:
        """Wait for its end and return how it ended, in words."""
        await self._exited.wait()
        return self.words

    async def stop(self, seconds: float) -> None:
        """Wait for its end, then terminate it, then kill it; each has so many seconds."""
        for number in (0, signal.SIGTERM, signal.SIGKILL):
            if not self.pid:
                break
            self._signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._exited.wait()
        self._output.close()

    def _signal(self, number: int) -> None:
        # Before it is reaped its number cannot belong to another.
        if self._process and self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _ended(self) -> None:
        if self._process is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.words = self._verdict or words_of(self._process.wait())
        if self._mark:
            GUARD.sweep(self._mark)
        self._output.close()
        self._exited.set()
