"""Nothing that a worker has started outlives the worker, and no worker the IOC.

A process can leave its parent, its session, its group, and can wipe its environment. It cannot
leave its mark, which each worker is given at its start and hands on to whatever it starts (see
`guard_main`). One small process, the guard, kills what carries the mark of a worker that has
ended; it sees the IOC's own death, SIGKILL included, by the end of a socket that only the IOC
holds. Should the guard itself be killed, another takes its place.

There is one `GUARD`, as there is one IOC in a process. Its process starts with the first worker.
"""

import asyncio
import atexit
import contextlib
import logging
import os
import resource
import secrets
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from tosip.pipeline.environment import environment
from tosip.pipeline.guard_main import RLIMIT_LOCKS

RESTART_INTERVAL = 1.0  # s; the shortest between two guards
END_TIMEOUT = 1.0  # s that the IOC's normal end waits for the last sweep
_HIGHEST_MARK = 1 << 62
_REMEMBERED = 64  # workers that ended, for a guard that takes another's place

log = logging.getLogger(__name__)

_SCRIPT = Path(__file__).with_name("guard_main.py")


class Guard:
    """The IOC's end of the guard process; for the thread of the event loop.

    Usage::

        guard.start()
        process = subprocess.Popen(...)
        mark = guard.watch(process.pid)
        ...
        process.wait()
        guard.sweep(mark)
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = float("-inf")  # time.monotonic
        self._running: set[int] = set()
        self._ended: deque[int] = deque(maxlen=_REMEMBERED)

    @property
    def pid(self) -> int:
        """The guard's process number, 0 when there is none."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Have a guard; OSError if there can be none."""
        if self._process is None:
            self._spawn()
        self._listen()

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_SCRIPT), str(os.getpid())],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,
                    env=environment(),
                )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        self._socket = ours
        self._started = time.monotonic()
        self._tell(*(f"+{mark}" for mark in self._running), *(f"-{mark}" for mark in self._ended))

    def _listen(self) -> None:
        """See the guard's end on the loop that runs now, if one does."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._socket and loop is not self._loop:
            loop.add_reader(self._socket, self._replace)
            self._loop = loop

    def watch(self, pid: int) -> int:
        """Mark a process that has just been started; return the mark, or 0 if it takes none."""
        highest = resource.prlimit(0, RLIMIT_LOCKS)[1]
        mark = 1 + secrets.randbelow(highest - 1 if highest > 1 else _HIGHEST_MARK)
        try:
            resource.prlimit(pid, RLIMIT_LOCKS, (mark, mark))
        except (OSError, ValueError) as error:
            log.warning("worker %d: what it starts may outlive it: %s", pid, error)
            return 0
        self._running.add(mark)
        self._tell(f"+{mark}")
        return mark

    def sweep(self, mark: int) -> None:
        """End whatever carries the mark: its worker has ended."""
        self._running.discard(mark)
        self._ended.append(mark)
        self._tell(f"-{mark}")

    def _tell(self, *lines: str) -> None:
        if self._socket is None or not lines:
            return
        try:
            self._socket.send("".join(f"{line}\n" for line in lines).encode())
        except OSError as error:  # it has gone, or does not listen
            log.debug("guard: %s", error)
            self._replace()

    def _replace(self) -> None:
        log.warning("the guard of the workers' processes has ended: another takes its place")
        self._discard()
        self._try_again()

    def _try_again(self) -> None:
        if self._process:
            return
        loop = asyncio.get_running_loop()
        delay = self._started + RESTART_INTERVAL - time.monotonic()
        if delay > 0:
            loop.call_later(delay, self._try_again)
            return
        try:
            self.start()
        except OSError as error:
            log.error("no guard for the workers' processes: %s", error)
            loop.call_later(RESTART_INTERVAL, self._try_again)

    def _discard(self) -> None:
        if self._socket:
            if self._loop:
                self._loop.remove_reader(self._socket)
            self._socket.close()
        if self._process:
            self._process.kill()
            self._process.wait()
        self._socket = self._process = self._loop = None

    def close(self) -> None:
        """Let the guard end everything that is marked, and itself; wait for it a little."""
        if self._socket:
            self._socket.close()
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_TIMEOUT)
        self._socket = self._process = None


GUARD = Guard()
atexit.register(GUARD.close)
