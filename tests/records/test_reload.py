"""What operators see and do when the algorithm's file is saved, in a running IOC."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.records.conftest import CONFIG, EVERYTHING, PASSWORD, Uploads
from tosip.gateway.users import hash_password
from tosip.testing.ioc import IocProcess


class Site:
    """An IOC whose algorithm is a file that can be saved."""

    def __init__(self, ioc: IocProcess, file: Path) -> None:
        self.ioc, self.file = ioc, file
        self.source = file.read_text()
        self.uploads = Uploads(ioc)

    def save(self, old: str = "", new: str = "") -> None:
        """Save the file, with one text replaced by another."""
        self.file.write_text(self.source.replace(old, new) if old else self.source)

    def status(self, word: str) -> str:
        return str(self.ioc.wait("FOCUS01:ReloadStatus_RBV", lambda text: word in str(text)))

    def mean(self) -> float:
        """Upload a frame and return the figure of it."""
        stamp = self.uploads.frame()
        return float(self.ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean.timestamp == stamp))


@pytest.fixture
def site(start_ioc, tmp_path) -> Iterator[Site]:
    (tmp_path / "users").write_text(f"cam01:{hash_password(PASSWORD)}\n")
    file = tmp_path / "mine.py"
    file.write_text(EVERYTHING.read_text())
    config = tmp_path / "neosted.toml"
    first_camera = CONFIG.partition("[[cameras]]\nnumber = 2")[0].replace(
        '[environment]\nfile = "{file}"\nthreads = 2\n', ""
    )
    config.write_text(first_camera.format(file=file))
    ioc = start_ioc(["tosip.iocs.neosted", "--config", str(config)])
    yield Site(ioc, file)
    ioc.stop()


def test_newer_code_comes_in_and_what_is_no_good_is_told(site):
    before = site.ioc.get("FOCUS01:CodeHash_RBV")
    assert site.mean() == 200.0

    site.save("mean=mean", "mean=2 * mean")
    site.status("loaded")
    assert site.mean() == 400.0
    newer = site.ioc.get("FOCUS01:CodeHash_RBV")
    assert newer != before

    site.save("import os", "import nothing_of_this_name")
    assert "nothing_of_this_name" in site.status("not loaded")
    assert site.mean() == 400.0

    site.save("count: int = param", "number: int = param")
    assert "input count removed, input number added" in str(
        site.ioc.wait("FOCUS01:RestartRequired_RBV", lambda text: text != "")
    )
    assert site.ioc.get("FOCUS01:CodeHash_RBV") == newer

    site.save()
    site.status("loaded " + before)
    assert site.ioc.get("FOCUS01:RestartRequired_RBV") == ""
    assert site.mean() == 200.0


def test_operator_can_turn_it_off_and_reload_by_hand(site):
    site.ioc.put("FOCUS01:AutoReload", "No")
    pid = int(site.ioc.get("FOCUS01:WorkerPid_RBV"))
    site.save("mean=mean", "mean=3 * mean")
    assert site.mean() == 200.0
    site.ioc.put("FOCUS01:Reload", 1)
    site.status("loaded")
    assert site.mean() == 600.0
    assert int(site.ioc.get("FOCUS01:WorkerPid_RBV")) != pid


HUNG = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


@pytest.mark.parametrize("busy", ["hanging", "reloading", "starting again"])
def test_ioc_ends_with_status_0_whatever_its_workers_are_at(site, busy):
    in_process = "        if params.mode is Mode.RAISE:"
    if busy == "starting again":
        site.ioc.put("FOCUS01:AutoReload", "No")
        flag = site.file.with_name("slow")
        waits = f"if os.path.exists({str(flag)!r}):\n    {HUNG}\n"
        site.save("import os\n", f"import os\n{waits}")
        site.ioc.put("FOCUS01:Reload", 1)
        site.status("loaded")
        flag.touch()
        os.kill(int(site.ioc.get("FOCUS01:WorkerPid_RBV")), signal.SIGKILL)
        site.ioc.wait("FOCUS01:WorkerState_RBV", lambda state: str(state) == "Starting")
    elif busy == "reloading":
        site.save("import os\n", f"import os\n{HUNG}\n")
        site.status("loading")
    else:
        site.save(in_process, f"        {HUNG}\n{in_process}")
        site.status("loaded")
        site.uploads.frame()
        site.ioc.wait("FOCUS01:WorkerState_RBV", lambda state: str(state) == "Busy")
    assert site.ioc.stop() == 0
