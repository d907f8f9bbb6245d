"""A child process from exec to end: how it is started, watched, killed, and what its end was.

The process runs in a session of its own, so that SIGTERM to the group reaches what the user's code
has started and a Ctrl-C in the IOC's terminal reaches nothing of it. Its end is seen through a
pidfd on the event loop: no thread waits for it. What it leaves behind is the guard's to end.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tosip.pipeline.guard import GUARD
from tosip.pipeline.jobs import Program
from tosip.pipeline.output import Output
from tosip.pipeline.resources import METERS, Household, Meter
from tosip.signals import STOPPING

_FROM_OUTSIDE = (signal.SIGKILL, *STOPPING)
_BOOTSTRAP = Path(__file__).with_name("worker") / "bootstrap.py"


class Child:
    """The process behind a worker.

    `on_end` is called when it has ended, before `exit_words` tell how; `on_exit` after that.
    `from_outside` then says that neither it nor we were the cause.
    """

    def __init__(
        self,
        program: Program,
        household: Household,
        on_end: Callable[[], None],
        on_exit: Callable[[], None],
    ) -> None:
        self.output = Output(household.journal)
        self.exit_words = ""
        self.from_outside = False
        self.verdict = ""
        self.meter: Meter | None = None
        self._program = program
        self._household = household
        self._on_end = on_end
        self._on_exit = on_exit
        self._process: subprocess.Popen[bytes] | None = None
        self._mark = 0
        self._exited = asyncio.Event()

    @property
    def pid(self) -> int:
        """The process's number, 0 when there is none."""
        return self._process.pid if self._process and not self._exited.is_set() else 0

    @property
    def ended(self) -> bool:
        """Whether it has ended, or has been given up before it was started."""
        return self._exited.is_set()

    def spawn(self, descriptor: int) -> None:
        """Start the worker's main program, with one descriptor of ours; OSError if that fails."""
        GUARD.start()
        limits = self._program.limits
        command = [str(self._program.interpreter), str(_BOOTSTRAP), str(descriptor)]
        process = subprocess.Popen(
            [*command, str(os.getpid()), self._program.name, *limits.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=self.output.write_end,
            stderr=self.output.write_end,
            pass_fds=(descriptor,),
            start_new_session=True,
            env=limits.in_environment(),
            cwd=limits.folder,
        )
        try:
            self.meter = Meter(process.pid, limits.memory_mib, self.kill_now)
            self._pidfd = os.pidfd_open(process.pid)
        except OSError:
            process.kill()
            process.wait()
            raise
        self._process = process
        self._household.meters.add(self.meter)
        METERS.add(self.meter)
        self._mark = GUARD.watch(process.pid)
        self.output.watch()
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)

    def kill_now(self, verdict: str) -> None:
        """Kill the process and do not wait; `verdict` tells why, in words."""
        if not self.ended:
            self.verdict = self.verdict or verdict
            self._signal(signal.SIGKILL)

    async def kill(self, verdict: str) -> None:
        """Kill the process and wait for its end."""
        self.kill_now(verdict)
        if self._process is None:
            self._exited.set()
        await self._exited.wait()
        self.exit_words = self.exit_words or verdict

    async def exits_within(self, seconds: float) -> bool:
        """Wait for its end; False if that takes longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._exited.wait()
        return self.ended

    async def stop(self, seconds: float) -> None:
        """Wait for its end, then terminate, then kill; each has so many seconds."""
        for number in (0, signal.SIGTERM, signal.SIGKILL):
            self._signal(number)
            if await self.exits_within(seconds):
                return

    def close(self) -> None:
        """Close what belongs to a process that has ended, or was never started."""
        if self._process is None:
            self.output.close()
        if self.meter:
            self.meter.close()

    def _ended(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self._process is None:
            return
        if self._mark:
            GUARD.sweep(self._mark)
        else:
            self._signal(signal.SIGKILL)
        self._on_end()
        if self.meter:
            self._household.meters.discard(self.meter)
            self.meter.close()
        status = self._process.wait()
        self.exit_words = self.verdict or words_of(status)
        self.from_outside = not self.verdict and -status in _FROM_OUTSIDE
        self._exited.set()
        self.output.close()
        self._on_exit()

    def _signal(self, number: int) -> None:
        # Before the process is reaped its number, and so its group's, cannot belong to another.
        if self._process is None or self.ended:
            return
        # The guard ends the others: multiprocessing's tracker has to tidy when they are gone.
        send = os.kill if self._mark and number == signal.SIGKILL else os.killpg
        with contextlib.suppress(ProcessLookupError, PermissionError):
            send(self._process.pid, number)


def words_of(status: int) -> str:
    """Say how a process with this status (of `Popen.wait`) has ended."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
