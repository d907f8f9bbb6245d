"""`python -m tosip.gateway`: a gateway without IOC, EPICS and pipeline."""

import ftplib
import io
import logging
import os
import re
import socket
import subprocess
import sys

import pytest

from tests.gateway.commands.conftest import ARCHIVE_PASSWORD, CONFIG, PASSWORD
from tests.gateway.conftest import until
from tosip.gateway.__main__ import main
from tosip.signals import STOPPING


def upload(port: int, name: str, data: bytes) -> str:
    with ftplib.FTP(timeout=15) as client:
        client.connect("127.0.0.1", port)
        client.login("cam01", PASSWORD)
        return client.storbinary(f"STOR {name}", io.BytesIO(data))


@pytest.mark.parametrize("number", STOPPING)
def test_it_takes_files_delivers_them_and_ends_when_asked(archive, start, number):
    running = start()

    assert running.ready == f"127.0.0.1:{running.port}"
    assert upload(running.port, "night/a.txt", b"bytes").startswith("226")
    until(lambda: archive.files() == {"night/a.txt": b"bytes"})
    assert running.stop(number) == 0


def test_without_a_pipeline_each_file_counts_as_released(archive, start):
    running = start()
    upload(running.port, "a.txt", b"bytes")

    steps = ("received", "committed", "announced", "released", "forwarded", "verified")
    for step in steps:
        running.process.wait_line(f"tosip.gateway.files: {step} id=", timeout=15)


def test_it_loads_neither_epics_nor_numpy_nor_the_pipeline(archive, folder):
    command = [sys.executable, "-X", "importtime", "-m", "tosip.gateway", "gateway.toml"]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    upload(int(process.stdout.readline().rpartition(":")[2]), "a.txt", b"bytes")
    until(archive.files)
    process.terminate()
    _, told = process.communicate(timeout=30)

    modules = set(re.findall(r"^import time:.*\| +([\w.]+)$", told, re.MULTILINE))
    assert {"aioftp", "tosip.gateway.gateway"} <= modules
    forbidden = r"(softioc|cothread|p4p|aioca|numpy|scipy|astropy|tosip\.(pipeline|iocs|records))\b"
    assert [name for name in modules if re.match(forbidden, name)] == []


def test_the_log_goes_to_a_file_and_holds_no_password(archive, folder, start):
    running = start("--verbose", "--log", "gateway.log")
    with ftplib.FTP() as client:
        client.connect("127.0.0.1", running.port)
        with pytest.raises(ftplib.error_perm, match="530"):
            client.login("cam01", "n0t right")
    upload(running.port, "a.txt", b"bytes")
    until(archive.files)
    assert running.stop() == 0

    log = (folder / "gateway.log").read_text()
    assert "committed id=" in log
    assert running.process.lines == [f"gateway ready: {running.ready}"]
    for secret in (PASSWORD, ARCHIVE_PASSWORD, "n0t right"):
        assert secret not in log


def test_bytes_that_are_no_utf8_are_in_the_log_too(tmp_path):
    # Such bytes come in an archive's replies.
    program = """
import logging, sys
from pathlib import Path
from tosip.gateway.__main__ import _start_log
_start_log(Path(sys.argv[1]), verbose=False)
logging.getLogger("tosip").warning("550 caf\\udce9")
"""
    log = tmp_path / "gateway.log"
    done = subprocess.run([sys.executable, "-c", program, log], capture_output=True, check=True)

    assert done.stderr == b""
    assert log.read_text().endswith("550 caf\\xe9\n")


@pytest.fixture
def refused(folder, capsys, monkeypatch):
    """Run `python -m tosip.gateway` in this process; return the one line that a mistake gets."""
    monkeypatch.chdir(folder)
    umask = os.umask(0)
    os.umask(umask)
    loggers = [logging.getLogger(name) for name in ("", "tosip", "aioftp")]
    levels = [logger.level for logger in loggers]
    handlers = list(logging.root.handlers)

    def refused(*arguments: str) -> str:
        assert main(arguments) == 2
        told = capsys.readouterr()
        assert told.out == ""
        (line,) = told.err.splitlines()
        assert line.startswith("gateway: ")
        return str(line)

    # `basicConfig(force=True)` closes what it finds, which is pytest's.
    logging.root.handlers.clear()
    yield refused
    os.umask(umask)
    logging.root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def test_a_missing_configuration_is_one_line(refused):
    assert "none.toml: No such file" in refused("none.toml")


def test_a_wrong_key_is_one_line(folder, refused):
    (folder / "gateway.toml").write_text(CONFIG.format(port=1) + "[listn]\nport = 1\n")
    assert "gateway.toml: listn: unknown key" in refused("gateway.toml")


def test_a_taken_port_is_one_line(folder, refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = CONFIG.format(port=1).replace("port = 0", f"port = {port}")
        (folder / "gateway.toml").write_text(text)
        assert str(port) in refused("gateway.toml")


def test_a_log_that_cannot_be_written_is_one_line(refused):
    line = refused("gateway.toml", "--log", "none/gateway.log")
    assert "--log: expected a file to write to, got none/gateway.log" in line


def test_a_second_gateway_on_the_spool_is_one_line(refused, start):
    start()
    assert "which another gateway is using" in refused("gateway.toml")


def test_a_mistake_ends_the_process_with_status_2(folder):
    command = [sys.executable, "-m", "tosip.gateway", "none.toml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (2, "")
