"""The embedded archive as a process of its own."""

import asyncio
import ftplib
import io
import os
import signal
import subprocess
import sys
from typing import Any

import aioftp
import pytest

from tosip.gateway.archive import ArchiveServer

LOGIN = {"user": "gateway", "password": "s3cret"}


@pytest.fixture
def archive(child, tmp_path):
    def start(*arguments):
        command = ["-m", "tosip.gateway.archive", "--root", str(tmp_path / "root"), *arguments]
        return child(*command, first_line=LOGIN)

    return start


def connected(started: Any) -> ftplib.FTP:
    client = ftplib.FTP(timeout=10)
    client.connect("127.0.0.1", int(started.ready.removeprefix("ready ")))
    return client


def test_it_serves_with_the_login_from_standard_input(archive, tmp_path):
    started = archive()
    with connected(started) as client:
        client.login("gateway", "s3cret")
        client.storbinary("STOR x", io.BytesIO(b"abc"))
        assert client.size("x") == 3
    assert (tmp_path / "root" / "x").read_bytes() == b"abc"
    with connected(started) as client, pytest.raises(ftplib.error_perm, match="530"):
        client.login()


def test_password_is_not_in_its_arguments(archive):
    started = archive()
    with open(f"/proc/{started.process.pid}/cmdline", "rb") as arguments:
        assert b"s3cret" not in arguments.read()


def test_it_keeps_the_newest_files_only(archive, tmp_path, until):
    with connected(archive("--keep", "2")) as client:
        client.login("gateway", "s3cret")
        for number in range(4):
            client.storbinary(f"STOR .{number}.part", io.BytesIO(b"abc"))
            client.rename(f".{number}.part", str(number))
    until(lambda: sorted(path.name for path in (tmp_path / "root").iterdir()) == ["2", "3"])


def test_it_keeps_what_was_renamed_just_now_however_old_that_is(archive):
    with connected(archive("--keep", "1")) as client:
        client.login("gateway", "s3cret")
        for number in range(2):
            client.storbinary(f"STOR .{number}.part", io.BytesIO(b"abc"))
        for number in (1, 0):
            client.rename(f".{number}.part", str(number))
            assert client.size(str(number)) == 3


def test_it_keeps_what_any_session_has_renamed_last(archive):
    started = archive("--keep", "1")
    with connected(started) as one, connected(started) as other:
        for client, name in ((one, "a"), (other, "b")):
            client.login("gateway", "s3cret")
            client.storbinary(f"STOR .{name}.part", io.BytesIO(b"abc"))
            client.rename(f".{name}.part", name)
        assert one.size("a") == other.size("b") == 3


def test_a_file_that_is_removed_while_its_size_is_looked_up_is_not_there(tmp_path, monkeypatch):
    async def gone(*_):
        raise aioftp.PathIOError(reason=(None, None, None))

    async def ask():
        server = ArchiveServer(tmp_path, "gateway", "s3cret")
        await server.start("127.0.0.1", 0)
        async with aioftp.Client.context("127.0.0.1", server.port, "gateway", "s3cret") as client:
            code, _ = await client.command("SIZE x", "xxx")
        await server.close()
        return code

    (tmp_path / "x").write_bytes(b"abc")
    monkeypatch.setattr(aioftp.AsyncPathIO, "stat", gone)
    assert asyncio.run(ask()) == "550"


@pytest.mark.parametrize("end", ["SIGTERM", "SIGHUP", "end of input"])
def test_it_ends_cleanly(archive, end):
    started = archive()
    if end == "end of input":
        started.process.stdin.close()
    else:
        started.process.send_signal(signal.Signals[end])
    assert started.process.wait(10) == 0


def test_it_dies_with_its_parent_even_when_its_input_stays_open(tmp_path, until):
    read, write = os.pipe()
    os.write(write, b'{"user": "a", "password": "b"}\n')
    command = [sys.executable, "-m", "tosip.gateway.archive", "--root", str(tmp_path)]
    script = f"""
import subprocess, sys
child = subprocess.Popen({command!r}, stdin={read}, stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline(), flush=True)
sys.stdin.read()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[read],
        text=True,
    )
    output: Any = parent.stdout
    pid, ready, _ = output.readline().split()
    assert ready == "ready"
    parent.kill()
    parent.communicate()
    until(lambda: not _alive(int(pid)))
    os.close(read)
    os.close(write)


def test_bad_first_line_is_told(tmp_path):
    command = [sys.executable, "-m", "tosip.gateway.archive", "--root", str(tmp_path)]
    done = subprocess.run(command, input="hello\n", capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "expected" in done.stderr
    assert "hello" not in done.stderr


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as status:
            return status.read().split(")")[1].split()[0] != "Z"
    except OSError:
        return False
