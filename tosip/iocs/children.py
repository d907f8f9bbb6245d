"""The helpers that an IOC runs as processes of their own: the embedded archive, simulated cameras.

Each reads one line of JSON on its standard input (secrets are in nobody's process list), and ends
when that input closes: a helper never outlives the IOC.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tosip.errors import ConfigurationError
from tosip.pipeline.child import words_of
from tosip.pipeline.environment import environment
from tosip.tasks import BackgroundTask

STOP_TIMEOUT = 5.0  # s
CHUNK = 64 * 1024  # bytes


class Child:
    """One helper process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process
        # Nothing restarts it: the IOC shows that it is gone.
        self._watcher = BackgroundTask(name, self._watch, restart=False)
        self._watcher.start()
        self._drain = BackgroundTask("output of a helper process", self._read_all)

    @classmethod
    async def start(cls, arguments: Sequence[str], settings: Mapping[str, Any]) -> "Child":
        """Run `python -m` with `arguments` and tell it `settings`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal is the IOC's to handle
            env=environment(),
        )
        if process.stdin:
            process.stdin.write(json.dumps(settings).encode() + b"\n")
            await process.stdin.drain()
        return cls(arguments[0], process)

    async def line(self) -> str:
        """Return the next line that it prints; ConfigurationError if it ends instead."""
        line = await self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise ConfigurationError(
                f"{self._name}: expected a process that serves, got its end: see the lines above"
            )
        return line.decode().strip()

    def drain(self) -> None:
        """Read and forget what it prints from now on."""
        self._drain.start()

    async def _read_all(self) -> None:
        while self._process.stdout and await self._process.stdout.read(CHUNK):
            pass

    async def _watch(self) -> None:
        status = await self._process.wait()
        raise ChildProcessError(f"it ended by itself: {words_of(status)}")

    async def stop(self) -> None:
        """Let it end, by force if it must be."""
        await self._watcher.stop()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._drain.ended()
