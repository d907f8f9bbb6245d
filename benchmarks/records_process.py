"""Processes of a benchmark that are told what to do, a line of JSON each, and what they took."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from tosip.testing.process import LinesProcess

_TICKS = os.sysconf("SC_CLK_TCK")
_DONE = "done"

Handler = Callable[..., Awaitable[Any]]


class Told:
    """A process that runs a module of ours, and does what it is told.

    >>> ioc = Told("benchmarks.records_ioc", environment, "16")
    >>> ioc("offer", rate=20.0, seconds=10.0)
    """

    def __init__(self, module: str, environment: Mapping[str, str], *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self.process = LinesProcess(command, environment)
        self._numbers = itertools.count(1)
        self.finish(0)

    def begin(self, command: str, **options: Any) -> int:
        """Let it begin with something; `finish` waits for the end."""
        number = next(self._numbers)
        self.process.say(json.dumps([number, command, options]))
        return number

    def finish(self, number: int, timeout: float = 120.0) -> Any:
        """Wait for the end of what `begin` has begun and return what came of it."""
        start = f"{_DONE} {number} "
        return json.loads(self.process.wait_line(start, timeout).split(start, 1)[1])

    def __call__(self, command: str, **options: Any) -> Any:
        return self.finish(self.begin(command, **options))

    def cpu(self) -> float:
        """CPU seconds that it has used so far, without its children."""
        return cpu_seconds(self.process.pid)

    def memory(self) -> dict[str, float]:
        """Resident memory in MiB."""
        return memory(self.process.pid)

    def stop(self) -> None:
        """End it."""
        self.process.stop()


async def obey(handlers: Mapping[str, Handler]) -> None:
    """Do what standard input says, one after the other, until it ends; this is Told's other end."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    _say(0, None)
    while line := await lines.readline():
        number, command, options = json.loads(line)
        _say(number, await handlers[command](**options))


def _say(number: int, result: Any) -> None:
    sys.stdout.write(f"{_DONE} {number} {json.dumps(result)}\n")
    sys.stdout.flush()


def cpu_seconds(pid: int) -> float:
    """CPU seconds that all threads of a process have used, without its children."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS


def memory(pid: int) -> dict[str, float]:
    """Rss, Pss, Pss_Anon ... of a process in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
