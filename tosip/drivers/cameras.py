"""The simulated cameras, a process of their own: `python -m tosip.drivers.cameras`.

It reads one line of JSON from its standard input:

    {"host": "127.0.0.1", "port": 2121, "size": 1024, "period": 10.0, "seed": 1, "exposures": null,
     "cameras": [{"number": 1, "user": "cam01", "password": "secret"}]}

All cameras start their exposures at the same instant, one each `period` seconds, the first at once.
Each takes its frames from a queue of its own, makes the FITS file in a thread (two at a time, in
all) and uploads it over FTP on a connection that it keeps. An upload is tried again, after a delay
that grows, until the server has accepted it; a camera that falls behind by more than two exposures
misses some, as a real one would. If the number of exposures is given, none is missed: the next
waits. Each accepted upload is a line on standard output (`uploaded NAME BYTES`), each trouble one
on standard error.

It ends with status 0 when all exposures are done, on SIGTERM, SIGINT or SIGHUP, at the end of its
standard input, and when its parent dies.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import random
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

import aioftp

from tosip import stopping
from tosip.drivers.sky_night import Camera, Night
from tosip.errors import ConfigurationError

_BLOCK = 1 << 20
_TIMEOUT = 60.0  # for a whole upload, and for each reply
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
_BACKLOG = 2
_AT_ONCE = 2
_PR_SET_PDEATHSIG = 1
_LONGEST_LINE = 1 << 20
_STDIN, _STDOUT, _STDERR = 0, 1, 2


@dataclass(frozen=True)
class Login:
    """A camera's number and its account on the server."""

    number: int
    user: str
    password: str


@dataclass(frozen=True)
class Settings:
    """What the line of JSON says; `exposures` None means for ever."""

    host: str
    port: int
    cameras: tuple[Login, ...]
    size: int = 1024
    period: float = 10.0
    seed: int = 1
    exposures: int | None = None

    @classmethod
    def from_json(cls, line: str) -> Settings:
        """Read the line, or raise `ConfigurationError` without repeating it (it has passwords)."""
        try:
            values: dict[str, Any] = json.loads(line)
            logins = tuple(Login(**camera) for camera in values.pop("cameras"))
            return cls(cameras=logins, **values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            fault = f"{type(error).__name__} in it"
            raise ConfigurationError(
                f"cameras: expected one line of settings, got {fault}"
            ) from None


class Uplink:
    """One camera's FTP connection, opened when needed and kept from frame to frame."""

    def __init__(self, settings: Settings, login: Login) -> None:
        self._settings = settings
        self._login = login
        self._client: aioftp.Client | None = None

    async def upload(self, name: str, data: bytes) -> None:
        """Upload until the server accepts; each failure is one line on standard error."""
        for attempt in count():
            try:
                async with asyncio.timeout(_TIMEOUT):
                    await self._send(name, data)
                return
            except (OSError, EOFError, ValueError, aioftp.AIOFTPException) as error:
                self.close()
                delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(attempt, 10))
                delay *= random.uniform(0.7, 1.3)  # noqa: S311
                fault = " ".join(f"{type(error).__name__} {error}".split())
                fault = (
                    fault.replace(self._login.password, "***") if self._login.password else fault
                )
                _say(_STDERR, f"{name}: not uploaded ({fault}), again in {delay:.1f} s")
                await asyncio.sleep(delay)

    def close(self) -> None:
        """Drop the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _send(self, name: str, data: bytes) -> None:
        if self._client is None:
            self._client = aioftp.Client(socket_timeout=_TIMEOUT, connection_timeout=_TIMEOUT)
            await self._client.connect(self._settings.host, self._settings.port)
            await self._client.login(self._login.user, self._login.password)
        async with self._client.upload_stream(name) as stream:
            for start in range(0, len(data), _BLOCK):
                await stream.write(data[start : start + _BLOCK])


async def run(settings: Settings) -> None:
    """Take and upload the exposures that `settings` ask for."""
    night, slots = Night(settings.seed), asyncio.Semaphore(_AT_ONCE)
    queues = {login: asyncio.Queue[_Exposure | None](_BACKLOG) for login in settings.cameras}
    async with asyncio.TaskGroup() as group:
        for login, queue in queues.items():
            camera = Camera(login.number, settings.size, settings.seed, night)
            group.create_task(_serve(camera, Uplink(settings, login), queue, slots))
        await _keep_time(settings, queues)


@dataclass(frozen=True)
class _Exposure:
    count: int
    start: datetime


_Queues = dict[Login, asyncio.Queue[_Exposure | None]]


async def _keep_time(settings: Settings, queues: _Queues) -> None:
    """Start an exposure of all cameras each period; at the end tell each that it was the last."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    numbers = count(1) if settings.exposures is None else range(1, settings.exposures + 1)
    for number in numbers:
        await asyncio.sleep(began + (number - 1) * settings.period - loop.time())
        exposure = _Exposure(number, datetime.now(UTC))
        for login, queue in queues.items():
            if settings.exposures is not None:
                await queue.put(exposure)
            elif queue.full():
                _say(_STDERR, f"{login.user}: exposure {number} missed, uploads are behind")
            else:
                queue.put_nowait(exposure)
    for queue in queues.values():
        await queue.put(None)


async def _serve(
    camera: Camera,
    uplink: Uplink,
    queue: asyncio.Queue[_Exposure | None],
    slots: asyncio.Semaphore,
) -> None:
    """Make and upload one camera's frames, one after the other."""
    try:
        while (exposure := await queue.get()) is not None:
            async with slots:
                data = await asyncio.to_thread(camera.fits, exposure.count, exposure.start)
            stamp = exposure.start.strftime("%Y%m%dT%H%M%S")
            name = f"cam{camera.number:02d}_{stamp}_{exposure.count:04d}.fits"
            await uplink.upload(name, data)
            _say(_STDOUT, f"uploaded {name} {len(data)}")
    finally:
        uplink.close()


def _say(descriptor: int, line: str) -> None:
    # Unbuffered, and a reader that has gone is no reason to fail: its end is noticed elsewhere.
    with suppress(OSError):
        os.write(descriptor, f"{line}\n".encode())


async def _run_until_told(settings: Settings) -> None:
    """Run until done, a signal, the end of standard input, or the parent's death."""
    loop = asyncio.get_running_loop()
    work, told = asyncio.create_task(run(settings)), asyncio.Event()
    stopping.on_stop(lambda _: told.set())
    _watch_parent(loop, told)
    threading.Thread(target=_watch_input, args=(loop, told), daemon=True).start()
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait([work, waiting], return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
    await _end_tasks()


async def _end_tasks() -> None:
    """Cancel all other tasks until they end.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, which aioftp uses, may lose a
    cancellation (https://github.com/python/cpython/issues/86296).
    """
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=0.5)


def _watch_parent(loop: asyncio.AbstractEventLoop, told: asyncio.Event) -> None:
    # The kernel sends this signal when the thread that started us ends, which need not be the
    # parent's end: so it is none that stops us, and the parent's id decides.
    parent = os.getppid()

    def check() -> None:
        if os.getppid() != parent:
            told.set()

    loop.add_signal_handler(signal.SIGUSR1, check)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGUSR1), 0, 0, 0)
    check()


def _watch_input(loop: asyncio.AbstractEventLoop, told: asyncio.Event) -> None:
    # Not through sys.stdin, whose lock this thread would still hold when the process ends.
    while os.read(_STDIN, 4096):
        pass
    with suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(told.set)


def _read_line() -> str:
    line = b""
    while not line.endswith(b"\n") and len(line) < _LONGEST_LINE and (byte := os.read(_STDIN, 1)):
        line += byte
    return line.decode("utf-8", "replace")


def main() -> int:
    """Run the cameras; return the exit status."""
    try:
        settings = Settings.from_json(_read_line())
    except ConfigurationError as error:
        _say(_STDERR, str(error))
        return 2
    asyncio.run(_run_until_told(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
