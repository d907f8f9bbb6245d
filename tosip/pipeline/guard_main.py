"""The guard process: `python -I -S guard_main.py IOC`; ends what workers leave behind.

On its standard input the IOC tells it marks, one a line: `+MARK` when a worker has been given that
mark, `-MARK` when the worker has ended. A mark is the value of a resource limit that Linux has not
used since 2.4 (RLIMIT_LOCKS): whatever a process starts inherits it, over fork and exec, whatever
it does to its environment, session, group, parents and signals; only root can give it away.

What carries the mark of a worker that has ended is killed, and looked for again until nothing is
found twice in a row, as a process may start another and end before it is killed. The end
of the input is the end of the IOC, however it came: everything marked goes then, and so does the
guard. Standard library only, and little of that: the process is to stay small.
"""

import contextlib
import os
import resource
import select
import signal
import sys
import time

RLIMIT_LOCKS = 10
CLEAN = 2  # times that nothing is found
PATIENCE = 0.7  # s; multiprocessing's tracker tidies /dev/shm when its clients are gone
LONGEST_SWEEP = 30.0  # s; a process that hangs in the kernel goes when the kernel lets it
FIRST_PAUSE = 0.002  # s, between two looks
PAUSE_GROWTH = 0.05  # of the time that the sweep has taken
SLOW_SWEEP = 0.03  # s; one that takes longer may be after a chain of short-lived processes
CHASE = 0.01  # s


class Sweep:
    """What is left of one worker that has ended."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.clean = 0
        self.dead: set[int] = set()

    @property
    def seconds(self) -> float:
        """How long it has taken until now."""
        return time.monotonic() - self.began

    @property
    def over(self) -> bool:
        """Whether nothing is left, or nothing can be done about it."""
        return self.clean >= CLEAN or self.seconds > LONGEST_SWEEP


class Guard:
    """The marks, and what is to be done about them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._talking = True
        self._running: set[int] = set()
        self._sweeps: dict[int, Sweep] = {}

    def run(self) -> None:
        """Serve until the IOC has gone and everything that was marked, too."""
        while self._talking or self._sweeps:
            pause = None
            if self._sweeps:
                youngest = min(sweep.seconds for sweep in self._sweeps.values())
                pause = FIRST_PAUSE + PAUSE_GROWTH * youngest
            if self._talking and select.select([self._descriptor], [], [], pause)[0]:
                self._hear()
            elif not self._talking and pause:
                time.sleep(pause)
            if self._sweeps:
                self._look()
            if any(sweep.seconds > SLOW_SWEEP for sweep in self._sweeps.values()):
                self._chase()

    def _hear(self) -> None:
        try:
            data = os.read(self._descriptor, 64 * 1024)
        except OSError:
            data = b""
        if not data:
            self._talking = False
            for mark in self._running - set(self._sweeps):
                self._sweeps[mark] = Sweep()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._note(line[:1], int(line[1:]))

    def _note(self, sign: bytes, mark: int) -> None:
        if sign == b"+":
            self._running.add(mark)
        else:
            self._running.discard(mark)
            self._sweeps[mark] = Sweep()

    def _look(self) -> None:
        found, missed = set(), False
        for pid in processes():
            try:
                found.add(kill_if_marked(pid, self._sweeps))
            except ProcessLookupError:
                missed = True  # it may have been ours, and have started another
        for mark, sweep in list(self._sweeps.items()):
            sweep.clean = 0 if missed or mark in found else sweep.clean + 1
            if sweep.over:
                del self._sweeps[mark]

    def _chase(self) -> None:
        """Go for the newest process: one in a chain may have ended before a look comes to it."""
        end = time.monotonic() + CHASE
        while time.monotonic() < end:
            with contextlib.suppress(ProcessLookupError):
                kill_if_marked(newest(), self._sweeps)


def newest() -> int:
    """Return the number that a process was given last."""
    with open("/proc/loadavg", "rb", 0) as file:
        return int(file.read(100).split()[-1])


def processes() -> list[int]:
    """Return the numbers of all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def kill_if_marked(pid: int, sweeps: dict[int, Sweep]) -> int:
    """Kill a process that carries one of the marks; return its mark, 0 if there is none to kill.

    ProcessLookupError if it has gone by itself.
    """
    if mark_of(pid) not in sweeps:
        return 0
    process = os.pidfd_open(pid)
    try:
        # The number may belong to another process by now: the descriptor does not.
        mark = mark_of(pid)
        if mark not in sweeps:
            return 0
        sweep = sweeps[mark]
        if select.select([process], [], [], 0)[0]:  # dead, and nobody has waited for it yet
            news = pid not in sweep.dead
            sweep.dead.add(pid)
            return mark if news else 0
        if sweep.seconds > PATIENCE or not _is_tracker(pid):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        return mark
    except PermissionError:
        return 0
    finally:
        os.close(process)


def mark_of(pid: int) -> int:
    """Return the mark that a process carries, -1 or 0 if it carries none."""
    try:
        return resource.prlimit(pid, RLIMIT_LOCKS)[1]
    except PermissionError:
        return _mark_in_proc(pid)


def _mark_in_proc(pid: int) -> int:
    """As `mark_of`, for a process of another group: it may be ours to kill, but not to ask."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/limits", "rb", 0) as file:
            after = file.read(4096).partition(b"Max file locks")[2].split()
        return int(after[1])
    except (OSError, IndexError, ValueError):
        return 0


def _is_tracker(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb", 0) as file:
            return b"resource_tracker" in file.read(4096)
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)  # its end is the IOC's
    Guard(sys.stdin.fileno()).run()
