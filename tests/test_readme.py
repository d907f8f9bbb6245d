"""Every snippet of the README runs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.test_replay_bundles import MENDED, keep

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((ROOT / "README.md").read_text())
COMMANDS = [
    line.removeprefix("$ ")
    for language, _, text in BLOCKS
    if language == "console"
    for line in text.splitlines()
]
BUNDLE_COMMANDS = [command for command in COMMANDS if "bundles" in command]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the README's files, and a frame."""
    from tosip.testing.stars import star_frame

    folder = tmp_path_factory.mktemp("readme")
    for _, name, text in BLOCKS:
        if name:
            (folder / name).write_text(text)
    (folder / "frame.fits").write_bytes(star_frame().fits())
    return folder


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_every_snippet_is_of_a_kind_that_is_tested():
    for language, name, text in BLOCKS:
        assert language in ("console", "text") or name, text


def test_every_command_is_one_that_is_tested():
    tested = ("make demo", "make test", "tosip check", "tosip replay", "tosip run")
    assert [c for c in COMMANDS if not c.startswith(tested)] == []


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make")])
def test_make_targets_exist(command):
    assert run(["make", "-n", *command.split()[1:]], ROOT).returncode == 0


def test_failed_frame_is_replayed_as_shown(tmp_path):
    first, second = BUNDLE_COMMANDS
    (kept,) = keep(tmp_path, "raise ValueError('odd')")
    shutil.copytree(kept, tmp_path / first.split()[-1])
    (tmp_path / "mended.py").write_text(MENDED)

    done = run([str(BIN / "tosip"), *shlex.split(first)[1:]], tmp_path)
    assert (done.returncode, "reproduced: ValueError: odd" in done.stdout) == (1, True)
    done = run([str(BIN / "tosip"), *shlex.split(second)[1:]], tmp_path)
    assert (done.returncode, "works now" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    "command",
    [
        c
        for c in COMMANDS
        if c.startswith(("tosip check", "tosip replay")) and c not in BUNDLE_COMMANDS
    ],
)
def test_tosip_commands_run(folder, command):
    done = run([str(BIN / "tosip"), *shlex.split(command)[1:]], folder)

    assert done.returncode == 0, done.stderr
    assert "bright" in done.stdout


def test_the_smallest_algorithm_has_under_ten_lines_and_runs(folder):
    lines = [line for line in (folder / "brightness.py").read_text().splitlines() if line]
    assert len(lines) < 10

    done = run([str(BIN / "tosip"), "replay", "brightness.py", "frame.fits"], folder)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", sorted(name for _, name, _ in BLOCKS if name[:5] == "test_"))
def test_the_example_tests_pass(folder, file):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = run([*command, file], folder)

    assert done.returncode == 0, done.stdout


def test_the_example_ioc_serves_its_records(folder, start_ioc, monkeypatch):
    command, _ = (c.split() for c in COMMANDS if c.startswith("tosip run"))
    monkeypatch.chdir(folder)

    ioc = start_ioc(["tosip.iocs.pipeline", *command[2:]])

    bright = ioc.wait("BRIGHT:Bright_RBV", lambda value: value.severity < 3)
    assert bright.raw.valueAlarm.highAlarmLimit == 2_000_000
    ioc.put("BRIGHT:Threshold", 3000.0)
    assert ioc.get("BRIGHT:Threshold_RBV") == 3000.0
    assert (folder / "screens" / "bright_pixels.bob").exists()
    assert ioc.stop() == 0


def test_the_beamline_measures_its_beam(start_ioc):
    _, command = (c.split() for c in COMMANDS if c.startswith("tosip run"))

    ioc = start_ioc(["tosip.iocs.pipeline", str(ROOT / command[2])])

    outcome = ioc.wait("PROFILE:Outcome_RBV", lambda value: value.severity < 3)
    assert outcome.raw.value.choices[outcome] == "good"
    assert ioc.wait("WATCH:MeanValue_RBV", lambda mean: mean > 0)
    assert ioc.get("STATS:CentroidX_RBV") > 0
    assert ioc.stop() == 0
