"""What worker processes use: looked at often and cheaply, stopped when it is too much memory.

A worker's own memory is what is resident of it and shared with nobody: anonymous memory, so neither
the frames nor files that it maps, nor what is swapped out, nor its children's. One sweep reads it
for all workers, ten times a second: a leak that fills gigabytes in a second is ended before it
harms. Each tenth sweep takes the figures that operators see.

There is one `METERS`, as there is one IOC in a process.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tosip.pipeline.output import Journal

INTERVAL = 0.1  # s from sweep to sweep
SWEEPS_PER_FIGURES = 10
BUSY_FIGURES = 10  # seconds, therefore, over which BusyTime is taken

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MEBIBYTE = 1024**2


@dataclass(frozen=True)
class Usage:
    """What one process uses: MiB of own memory, and shares of the last seconds in percent."""

    memory: float = 0.0
    cpu: float = 0.0
    busy: float = 0.0


class Meter:
    """Looks at one process; `over` is called with the verdict when it has too much memory.

    Tell it by `begin` and `end` when the process has frames in hand; `close` it when it has ended.
    """

    def __init__(self, pid: int, memory_mib: int | None, over: Callable[[str], None]) -> None:
        self.usage = Usage()
        self._statm = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        # Linux: the clock of another process's CPU time, as clock_getcpuclockid gives it.
        self._clock = (~pid << 3) | 2
        self._limit = memory_mib
        self._over = over
        self._busy = 0.0
        self._begun: float | None = None
        self._last = (time.monotonic(), 0.0)
        self._seen: deque[tuple[float, float]] = deque(
            [(self._last[0], 0.0)], maxlen=BUSY_FIGURES + 1
        )

    def begin(self) -> None:
        """Note that there is a frame in hand now."""
        if self._begun is None:
            self._begun = time.monotonic()

    def end(self) -> None:
        """Note that there is none any more."""
        if self._begun is not None:
            self._busy += time.monotonic() - self._begun
            self._begun = None

    def memory(self) -> int:
        """Return the bytes of own memory; 0 when the process has ended."""
        try:
            _, resident, shared, *_ = os.pread(self._statm, 200, 0).split()
        except (OSError, ValueError):
            return 0
        return (int(resident) - int(shared)) * _PAGE

    def look(self) -> None:
        """Judge the memory."""
        if self._limit is not None and self.memory() > self._limit * _MEBIBYTE:
            self._over(f"memory over {self._limit} MiB")

    def take_figures(self) -> None:
        """Renew `usage`."""
        now = time.monotonic()
        then, cpu_then = self._last
        cpu = self._cpu_time()
        since = now - then
        if since <= 0.0:
            return
        self._last = (now, cpu)
        busy = self._busy + (now - self._begun if self._begun is not None else 0.0)
        self._seen.append((now, busy))
        first, busy_first = self._seen[0]
        self.usage = Usage(
            round(self.memory() / _MEBIBYTE, 1),
            round(max(0.0, 100.0 * (cpu - cpu_then) / since), 1),
            round(100.0 * (busy - busy_first) / (now - first), 1),
        )

    def _cpu_time(self) -> float:
        try:
            return time.clock_gettime(self._clock)
        except OSError:  # it has ended
            return self._last[1]

    def close(self) -> None:
        """Look no more."""
        METERS.discard(self)
        if self._statm >= 0:
            os.close(self._statm)
        self._statm = -1
        self.usage = Usage()


class Meters:
    """All meters, looked at together on the event loop while there are any."""

    def __init__(self) -> None:
        self._meters: set[Meter] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sweeps = 0

    def add(self, meter: Meter) -> None:
        """Look at `meter` until it is closed."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the first, or one that came after another's end
            self._meters.clear()
            self._loop, self._timer = loop, None
        self._meters.add(meter)
        if self._timer is None:
            self._timer = loop.call_later(INTERVAL, self._again)

    def discard(self, meter: Meter) -> None:
        """Forget a meter."""
        self._meters.discard(meter)

    def _again(self) -> None:
        self._timer = None
        try:
            self.sweep()
        finally:  # limits on memory hold whatever one sweep came to
            if self._meters and self._loop:
                self._timer = self._loop.call_later(INTERVAL, self._again)

    def sweep(self) -> None:
        """Look at all once."""
        self._sweeps += 1
        figures = self._sweeps % SWEEPS_PER_FIGURES == 0
        for meter in tuple(self._meters):
            meter.look()
            if figures:
                meter.take_figures()


METERS = Meters()


class Household:
    """All processes of one plugin together: workers, and those that stand by or are on trial."""

    def __init__(self, name: str) -> None:
        self.journal = Journal(name)
        self.meters: set[Meter] = set()

    def figures(self) -> object:
        """Return something that differs when operators have something else to see."""
        return self.usage(), self.journal.count

    def usage(self) -> Usage:
        """Return the sums of memory and CPU share; `busy` is that of the busiest."""
        usages = [meter.usage for meter in self.meters]
        return Usage(
            round(sum(each.memory for each in usages), 1),
            round(sum(each.cpu for each in usages), 1),
            max((each.busy for each in usages), default=0.0),
        )
