"""`pip install .` gives the package, the `tosip` command and the pytest plugin."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built as pip builds it, from a copy: building leaves files behind."""
    source = tmp_path_factory.mktemp("source")
    for name in ("tosip", "iocs", "docs", "pvi_screens"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, source], check=True, timeout=110)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_names_the_command_and_the_plugin(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        points = configparser.ConfigParser()
        points.read_string(archive.read(name).decode())

    assert points["console_scripts"]["tosip"] == "tosip.cli:main"
    assert points["pytest11"]["tosip"] == "tosip.testing.fixtures"


def test_the_wheel_holds_what_people_copy(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    for path in ("iocs/neosted/neosted.toml", "screens/index.bob", "docs/running.md"):
        assert f"tosip/shipped/{path}" in names


def test_the_installed_package_runs_an_algorithm(wheel, tmp_path, star_frame):
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (tmp_path / "stars.fits").write_bytes(star_frame.fits())

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tosip.cli",
            "replay",
            site / "tosip/plugins/focus.py",
            "stars.fits",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "hfd" in done.stdout
    assert not (site / "tosip" / "tests").exists()


def test_a_folder_named_like_the_package_does_not_hide_it(tmp_path):
    """As from the folder above a clone, which holds `iocs`, `tests` and the package itself."""
    (tmp_path / "tosip" / "iocs").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "tosip.iocs.neosted", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "--simulate" in done.stdout
