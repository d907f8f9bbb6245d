"""A package of somebody else's adds a kind of driver, found by its entry point."""

import os
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "drivers.md"
CONFIG = """
prefix = "X:"
[drivers.CAM1]
kind = "{kind}"
columns = 8
"""


def documented() -> str:
    """Return the driver that the documentation shows."""
    return DOCS.read_text().split("```python file=counting.py\n")[1].split("```")[0]


def install(site: Path, points: str) -> dict[str, str]:
    """Put the package where Python finds it, as an installer does."""
    (site / "counting-1.0.dist-info").mkdir(parents=True)
    (site / "counting.py").write_text(documented())
    info = site / "counting-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tosip.drivers]\n{points}\n")
    return {**os.environ, "PYTHONPATH": str(site)}


def check(tmp_path: Path, kind: str, points: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "ioc.toml").write_text(CONFIG.format(kind=kind))
    return subprocess.run(
        [Path(sys.executable).with_name("tosip"), "check", tmp_path / "ioc.toml"],
        env=install(tmp_path / "site", points),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_documented_driver_of_another_package_serves_frames(start_ioc, tmp_path, monkeypatch):
    (tmp_path / "ioc.toml").write_text(CONFIG.format(kind="counting"))
    environment = install(tmp_path / "site", "counting = counting:KIND")
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])

    ioc = start_ioc(["tosip.iocs.pipeline", str(tmp_path / "ioc.toml")])
    ioc.wait("CAM1:ArrayCounter_RBV", lambda count: count > 2)
    assert ioc.get("CAM1:ArraySizeX_RBV") == 8
    assert ioc.get("CAM1:Model_RBV") == "Counting camera"
    assert ioc.stop() == 0


def test_a_kind_that_does_not_load_is_named(tmp_path):
    found = check(tmp_path, "broken", "broken = counting:NOTHING")

    assert found.returncode == 2
    assert "drivers.CAM1: expected kind 'broken' to load from counting:NOTHING" in found.stderr


def test_the_section_is_checked_by_the_packages_own_model(tmp_path):
    found = check(tmp_path, "counting", "counting = counting:KIND")
    assert found.returncode == 0, found.stderr

    (tmp_path / "ioc.toml").write_text(CONFIG.format(kind="counting") + "rows = 'many'")
    found = subprocess.run(
        [Path(sys.executable).with_name("tosip"), "check", tmp_path / "ioc.toml"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "drivers.CAM1.rows: " in found.stderr
