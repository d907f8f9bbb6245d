"""Cameras that cost little: `python -m benchmarks.gateway_camera`, told what to do line by line.

A camera is a thread with plain sockets that sends one prepared FITS file again and again. Times are
of the monotonic clock, which all processes of the machine share.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.records_process import obey
from benchmarks.rig import BenchmarkError
from tosip.drivers.sky import fits_bytes

_TIMEOUT = 60.0
_SLICE = 1 << 18  # bytes that a paced camera sends at once

Times = dict[str, float]


class Camera:
    """One control connection, logged in."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self._control = socket.create_connection(("127.0.0.1", port), _TIMEOUT)
        self._control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self._control.makefile("rb")
        self._expect("220")
        self._ask(f"USER {user}", "331")
        self._ask(f"PASS {password}", "230")
        self._ask("TYPE I", "200")

    def upload(self, name: str, data: memoryview, rate: float) -> Times:
        """Upload at `rate` bytes a second (0: as fast as it goes); tell when what happened."""
        begun = time.monotonic()
        answer = self._ask("PASV", "227")
        high, low = answer.rsplit("(", 1)[1].split(")")[0].split(",")[4:]
        address = ("127.0.0.1", 256 * int(high) + int(low))
        with socket.create_connection(address, _TIMEOUT) as connection:
            self._ask(f"STOR {name}", "1")
            if rate:
                _send_paced(connection, data, rate)
            else:
                connection.sendall(data)
        last = time.monotonic()
        self._expect("226")
        return {"begun": begun, "last": last, "acknowledged": time.monotonic()}

    def close(self) -> None:
        """Say good-bye, so that a server that forks can count its child's time."""
        self._ask("QUIT", "221")
        self._control.close()

    def _ask(self, command: str, code: str) -> str:
        self._control.sendall(f"{command}\r\n".encode())
        return self._expect(code)

    def _expect(self, code: str) -> str:
        line = self._replies.readline().decode()
        while line[3:4] == "-":
            line = self._replies.readline().decode()
        if not line.startswith(code):
            raise BenchmarkError(f"expected {code}, got {line.strip()!r}")
        return line


def _send_paced(connection: socket.socket, data: memoryview, rate: float) -> None:
    begun = time.monotonic()
    for start in range(0, len(data), _SLICE):
        time.sleep(max(0.0, begun + start / rate - time.monotonic()))
        connection.sendall(data[start : start + _SLICE])


class Cameras:
    """What the process can be told."""

    def __init__(self) -> None:
        self._data = memoryview(b"")

    async def prepare(self, *, side: int) -> int:
        """Make the file to send, a frame of `side` by `side`; return its size in bytes."""
        pixels = np.random.default_rng(1).integers(0, 1 << 16, (side, side), np.uint16)
        self._data = memoryview(fits_bytes(pixels, {"DATE-OBS": "2026-11-22T06:13:00.000"}))
        return len(self._data)

    async def upload(self, **options: Any) -> list[Times]:
        """Let cameras upload together; return the times of each file."""
        return await asyncio.to_thread(self._upload, **options)

    def _upload(
        self,
        *,
        port: int,
        users: list[str],
        password: str,
        prefix: str,
        files: int = 1,
        rate: float = 0.0,
        pause: float = 0.0,
    ) -> list[Times]:
        """`users` are the cameras, `pause` s is between the files of one."""
        together = threading.Barrier(len(users))

        def run(number: int) -> list[Times]:
            camera = Camera(port, users[number], password)
            together.wait(_TIMEOUT)
            times = []
            for count in range(files):
                name = f"{prefix}-{number:02}-{count:04}.fits"
                times.append(camera.upload(name, self._data, rate))
                time.sleep(pause)
            camera.close()
            return times

        with ThreadPoolExecutor(len(users)) as threads:
            return [each for times in threads.map(run, range(len(users))) for each in times]


if __name__ == "__main__":
    cameras = Cameras()
    asyncio.run(obey({"prepare": cameras.prepare, "upload": cameras.upload}))
