"""The simulated cameras, a real process, upload to a real FTP server."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aioftp
import numpy as np
import pytest

from tosip.drivers.fits import read_fits
from tosip.drivers.sky_night import Night

_COMMAND = [sys.executable, "-m", "tosip.drivers.cameras"]
_PATIENCE = 30.0


@contextlib.asynccontextmanager
async def _server(folder: Path, cameras: int = 2, port: int = 0) -> AsyncIterator[int]:
    users = [
        aioftp.User(f"cam{n:02d}", f"secret-{n}", base_path=folder) for n in range(1, cameras + 1)
    ]
    server = aioftp.Server(users)
    await server.start("127.0.0.1", port)
    try:
        yield server.server_port
    finally:
        await server.close()


def _settings(port: int, *, cameras: int = 2, **changes: Any) -> bytes:
    accounts = [
        {"number": n, "user": f"cam{n:02d}", "password": f"secret-{n}"}
        for n in range(1, cameras + 1)
    ]
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": port, "cameras": accounts, "size": 128}
    settings |= {"period": 0.05, "seed": 1, "exposures": None}
    return json.dumps(settings | changes).encode() + b"\n"


@contextlib.asynccontextmanager
async def _cameras(settings: bytes) -> AsyncIterator[Any]:
    process: Any = await asyncio.create_subprocess_exec(
        *_COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(settings)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(_PATIENCE):
            return await coroutine

    return asyncio.run(bounded())


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Three exposures of two cameras: the folder of files, the lines said, the exit status."""
    folder = tmp_path_factory.mktemp("uploads")

    async def scenario() -> Any:
        async with _server(folder) as port, _cameras(_settings(port, exposures=3)) as process:
            said, complaints = await process.stdout.read(), await process.stderr.read()
            return said.decode().splitlines(), complaints, await process.wait()

    return folder, *_run(scenario())


def test_each_camera_uploads_each_exposure_and_says_so(night):
    folder, said, complaints, status = night
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sorted(said) == sorted(f"uploaded {name} {size}" for name, size in sizes.items())
    assert len(sizes) == 6
    assert {name[:5] for name in sizes} == {"cam01", "cam02"}
    assert {name[-9:] for name in sizes} == {"0001.fits", "0002.fits", "0003.fits"}
    assert (complaints, status) == (b"", 0)


def test_frames_are_readable_and_carry_their_keywords(night):
    for path in night[0].iterdir():
        frame = read_fits(path, np.empty)
        assert frame.pixels.shape == (128, 128)
        assert frame.pixels.dtype == np.uint16
        kinds = {key: type(value) for key, value in frame.attributes.items()}
        assert kinds["CAMERA"] is kinds["FOCUSPOS"] is kinds["SATURATE"] is int
        assert kinds["EXPTIME"] is kinds["AMBTEMP"] is kinds["SEEING"] is float
        assert kinds["PIXSCALE"] is kinds["AIRMASS"] is float
        assert kinds["INSTRUME"] is kinds["OBJECT"] is kinds["FILTER"] is str
        assert frame.attributes["CAMERA"] == int(path.name[3:5])
        assert frame.timestamp is not None
        assert abs(frame.timestamp - datetime.now(UTC).timestamp()) < 60
        assert len(str(frame.attributes["DATE-OBS"])) == len("2026-11-22T06:13:00.123")


def test_all_cameras_expose_at_the_same_instant(night):
    frames = [read_fits(path, np.empty) for path in night[0].glob("*_0002.fits")]
    assert len({frame.attributes["DATE-OBS"] for frame in frames}) == 1
    assert not np.array_equal(frames[0].pixels, frames[1].pixels)


def test_uploads_are_retried_until_the_server_accepts(tmp_path):
    async def scenario() -> Any:
        async with _server(tmp_path) as port:
            pass  # now nobody listens there
        async with _cameras(_settings(port, cameras=1, exposures=1)) as process:
            complaint = (await process.stderr.readline()).decode()
            async with _server(tmp_path, port=port):
                return complaint, (await process.stdout.readline()).decode()

    complaint, said = _run(scenario())
    assert complaint.startswith("cam01_")
    assert "not uploaded" in complaint
    assert said.startswith("uploaded cam01_")


def test_a_refused_password_is_never_shown(tmp_path):
    async def scenario() -> Any:
        async with _server(tmp_path, cameras=1) as port:
            settings = _settings(port, cameras=1).replace(b"secret-1", b"hush-hush")
            async with _cameras(settings) as process:
                # On a busy machine others may come first: exposures that were missed.
                while b"not uploaded" not in (line := await process.stderr.readline()):
                    assert line
                return line.decode()

    complaint = _run(scenario())
    assert "530" in complaint
    assert "hush" not in complaint


def test_wrong_settings_are_told_without_passwords():
    for line in [b"rubbish hush\n", b"", _settings(1, password="hush"), b'{"cameras": [3]}\n']:
        done = subprocess.run(_COMMAND, input=line, capture_output=True, timeout=_PATIENCE)
        assert done.returncode == 2
        assert done.stderr.startswith(b"cameras: expected one line of settings, got ")
        assert done.stderr.count(b"\n") == 1
        assert b"hush" not in done.stderr


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "SIGHUP", "end of input"])
def test_it_ends_with_status_0(tmp_path, end):
    async def scenario() -> Any:
        async with _server(tmp_path) as port, _cameras(_settings(port)) as process:
            await process.stdout.readline()
            if end == "end of input":
                process.stdin.close()
            else:
                process.send_signal(signal.Signals[end])
            complaints = await process.stderr.read()
            return await process.wait(), complaints

    status, complaints = _run(scenario())
    assert status == 0
    assert b"Traceback" not in complaints


_PARENT = """
import os, subprocess, sys, threading
settings = sys.stdin.buffer.readline()
made = []
def start():
    made.append(subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE))
thread = threading.Thread(target=start)
thread.start()
thread.join()  # the thread that started the cameras ends, which must not end them
child = made[0]
child.stdin.write(settings)
child.stdin.flush()
copy = os.dup(child.stdin.fileno())
os.set_inheritable(copy, True)
holder = subprocess.Popen(["cat"], pass_fds=[copy], stdout=subprocess.DEVNULL)
print(child.pid, holder.pid, flush=True)
holder.wait()
"""


def test_it_dies_with_its_parent_even_if_its_input_stays_open(tmp_path):
    async def scenario() -> Any:
        async with _server(tmp_path) as port:
            parent: Any = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _PARENT, *_COMMAND),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            parent.stdin.write(_settings(port))
            child, holder = map(int, (await parent.stdout.readline()).split())
            for _ in range(4):
                assert (await parent.stdout.readline()).startswith(b"uploaded ")
            ended = os.pidfd_open(child)
            parent.kill()
            try:
                await _readable(ended)
            finally:
                os.close(ended)
                os.kill(holder, signal.SIGKILL)
                await parent.communicate()

    _run(scenario())


async def _readable(descriptor: int) -> None:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, event.set)
    await event.wait()
    loop.remove_reader(descriptor)


def test_the_night_moves_the_focus_slowly_and_each_camera_has_its_own():
    night = Night(1)
    focus = [night.best_focus(1, 40.0 * n) for n in range(200)]
    assert max(abs(np.diff(focus))) < 5
    assert max(focus) - min(focus) > 20
    assert len({round(night.best_focus(camera, 0.0), 3) for camera in range(1, 17)}) == 16
    assert all(0.8 < night.air(40.0 * n).seeing < 4 for n in range(900))
