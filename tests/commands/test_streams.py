"""Commands whose streams are closed, broken or full, and which a signal stops: no row is lost."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.command import algorithm, image

ODD = os.fsdecode(b"latin\xe9\x1b[31m.fits")
TOSIP = [sys.executable, "-m", "tosip.cli"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    algorithm(tmp_path)
    image(tmp_path, "plain.fits", 1).rename(tmp_path / ODD)
    return tmp_path


def shell(folder: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `$TOSIP ...` in a shell, for its redirections."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "TOSIP": " ".join(TOSIP), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


REPLAY = "$TOSIP replay bright.py *.fits --output t.csv"
PLAIN = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    ("command", "status", "environment"),
    [
        (REPLAY, 0, {}),
        (REPLAY, 0, {"PYTHONIOENCODING": "ascii:strict"}),
        (REPLAY, 0, PLAIN),
        (f"{REPLAY} >&- 2>&- <&-", 0, {}),
        (f"{REPLAY} >/dev/full", 1, {}),
        (f"set -o pipefail; {REPLAY} | true", 141, {}),
    ],
    ids=["plain", "ascii", "posix", "closed", "full", "broken"],
)
def test_a_replay_writes_its_table_whatever_its_streams_are(folder, command, status, environment):
    done = shell(folder, command, **environment)

    assert (done.returncode, "Traceback" in done.stderr) == (status, False), done
    assert [(row["image"], row["bright"]) for row in rows(folder / "t.csv")] == [
        (r"latin\xe9\x1b[31m.fits", "1")
    ]
    assert "\x1b[31m" not in done.stdout + done.stderr
    if command == REPLAY:
        assert r"latin\xe9\x1b[31m.fits" in done.stdout


def test_a_full_disk_costs_neither_the_older_table_nor_the_results(folder):
    (folder / "t.csv").symlink_to("/dev/full")
    done = shell(folder, REPLAY)

    assert (done.returncode, done.stderr) == (
        1,
        "tosip: --output: t.csv: No space left on device\n",
    )
    assert r"latin\xe9" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_all_ends_a_replay_with_the_rows_it_has(folder, number):
    image(folder, "waits.fits", DO="open('waits', 'w'); import time; time.sleep(60)")
    command = [*TOSIP, "replay", "bright.py", ODD, "waits.fits", "--output", "t.csv"]
    process = subprocess.Popen(command, cwd=folder, start_new_session=True)

    while not (folder / "waits").exists():
        assert process.poll() is None
    os.killpg(process.pid, number)

    assert process.wait(30) == 128 + number
    assert [row["status"] for row in rows(folder / "t.csv")] == ["ok"]


def test_names_that_are_wrong_are_told_in_printable_words(folder):
    for name in (b"no\xe9\x1b[31m\n.fits", b"x" * 5000):
        done = subprocess.run(
            [*TOSIP, "replay", "bright.py", name], cwd=folder, capture_output=True, timeout=60
        )
        assert done.returncode == 2
        assert done.stderr.startswith(
            b"tosip: no\\xe9\\x1b[31m" if name[0] == 110 else b"tosip: xx"
        )
        assert b"\x1b" not in done.stderr


def test_a_table_may_have_an_ending_for_a_name(folder):
    assert shell(folder, "$TOSIP replay bright.py *.fits --output .csv").returncode == 0
    assert rows(folder / ".csv")
