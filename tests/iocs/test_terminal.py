"""What a person sees at a terminal: a live table of the IOC, the progress of a replay."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import termios
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tosip.iocs.neosted_config import NeostedConfig
from tosip.testing.ioc import own_network

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@contextmanager
def at_a_terminal(command, stream, environment):
    """Run `command` with `stream` (stdout, stderr) on a terminal; give it and the far end."""
    ours, theirs = os.openpty()
    terminal = {"TERM": "xterm", "COLUMNS": "120", "LINES": "50"}
    process = subprocess.Popen(
        command,
        stdout=theirs if stream == "stdout" else subprocess.DEVNULL,
        stderr=theirs if stream == "stderr" else subprocess.DEVNULL,
        env={**os.environ, **terminal, **environment},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        with suppress(OSError):
            os.close(ours)


def read_until(terminal: int, accept) -> str:
    """Read what is shown until it is accepted; the test's own limit ends a wait in vain."""
    shown = ""
    while not accept(shown):
        try:
            data = os.read(terminal, 65536)
        except OSError:  # how a terminal tells that its last user is gone
            pytest.fail(f"ended too early, after:\n{shown[-2000:]}")
        shown += ESCAPES.sub("", data.decode(errors="replace"))
    return shown


def test_the_ioc_shows_a_live_table_and_ends_cleanly_with_its_terminal(simulation, tmp_path):
    command = [sys.executable, "-m", "tosip.iocs.neosted", "--simulate", "--cameras", "2"]
    command += ["--config", simulation, "--var", str(tmp_path / "var"), "--prefix", "TERM:"]
    figures = r"FOCUS0{}\s+│\s+CAM0\d\s+│\s+hfd \d+\.\d\d arcsec.*│\s+ok\s+│\s+\w+\s+│\s+\d+ s"

    with at_a_terminal(command, "stdout", own_network()) as (process, terminal):
        read_until(terminal, lambda s: all(re.search(figures.format(n), s) for n in (1, 2)))
        os.close(terminal)  # the kernel sends SIGHUP, and what is written fails
        assert process.wait(30) == 0


def test_a_replay_shows_its_progress(star_frame, tmp_path):
    images = [tmp_path / f"stars{n}.fits" for n in range(3)]
    for image in images:
        image.write_bytes(star_frame.fits())
    tosip = Path(sys.executable).with_name("tosip")

    command = [str(tosip), "replay", str(NeostedConfig().focus.file), *map(str, images)]
    with at_a_terminal(command, "stderr", {}) as (process, terminal):
        read_until(terminal, lambda shown: re.search(r"replay .*(33|67|100)%", shown))
        assert process.wait(60) == 0
