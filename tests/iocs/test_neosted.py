"""The main job: cameras upload, the archive gets every byte, operators see figures."""

from __future__ import annotations

import math
import os
import select
import signal
from pathlib import Path

import pytest

from tests.iocs.processes import alive, descendants
from tosip.signals import STOPPING


def figures(ioc, port="FOCUS01"):
    return ioc.wait(f"{port}:Hfd_RBV", lambda hfd: hfd.severity < 3 and hfd > 0, timeout=60)


def test_every_camera_has_figures_with_the_frames_time(neosted):
    for number in range(1, 17):
        hfd = figures(neosted, f"FOCUS{number:02d}")
        frame_time = neosted.wait(f"CAM{number:02d}:TimeStamp_RBV", lambda time: time > 0)
        assert 1.0 < hfd < 60.0
        assert abs(hfd.timestamp - frame_time) < 60.0


def test_the_field_and_the_environment_follow(neosted):
    figures(neosted)

    temperature = neosted.wait("ENV:Temperature_RBV", lambda t: t.severity < 3, timeout=60)
    seeing = neosted.wait("ENV:Seeing_RBV", lambda s: s.severity < 3, timeout=60)
    neosted.wait("FIELD:Reporting_RBV", lambda count: count == 16, timeout=60)

    assert -60.0 < temperature < 60.0
    assert 0.0 < seeing < 20.0
    assert math.isfinite(neosted.wait("FIELD:Hfd_RBV", lambda hfd: hfd.severity < 3))


def test_the_field_knows_how_many_cameras_there_are(start_ioc, simulation):
    arguments = ["tosip.iocs.neosted", "--simulate", "--cameras", "2", "--config", simulation]
    ioc = start_ioc(arguments)

    assert ioc.get("FIELD:Cameras_RBV") == 2
    assert ioc.stop() == 0


def test_without_a_terminal_each_exposure_is_a_line(neosted):
    line = neosted.process.wait_line("cameras 16/16")

    assert "field" in line
    assert "seeing" in line


def test_the_archive_gets_what_the_cameras_upload(neosted):
    delivered = neosted.wait("GATEWAY:Delivered_RBV", lambda count: count >= 16, timeout=60)

    files = list((neosted.var / "archive").rglob("*.fits"))
    assert len(files) >= delivered
    assert all(file.read_bytes()[:6] == b"SIMPLE" for file in files[:16])
    assert str(neosted.get("GATEWAY:ArchiveState_RBV")) == "OK"


def test_each_algorithm_runs_in_a_process_of_its_own(neosted):
    pids = {int(neosted.get(f"FOCUS{n:02d}:WorkerPid_RBV")) for n in range(1, 17)}

    assert len(pids) == 16
    assert neosted.process.pid not in pids
    for pid in pids:
        libraries = Path(f"/proc/{pid}/maps").read_text()
        assert "libdbCore" not in libraries, "a worker has loaded EPICS"


def test_only_loopback_is_listened_to(neosted):
    everywhere = ("00000000", "0" * 32)
    inodes = _sockets_of(neosted.process.pid)
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                assert fields[1].split(":")[0] not in everywhere, line


def _sockets_of(pid: int) -> set[str]:
    links = Path(f"/proc/{pid}/fd").iterdir()
    names = {os.readlink(link) for link in links if link.exists() or link.is_symlink()}
    return {name[8:-1] for name in names if name.startswith("socket:[")}


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_ends_everything_with_status_0(start_ioc, simulation, number):
    arguments = ["tosip.iocs.neosted", "--simulate", "--cameras", "1", "--config", simulation]
    ioc = start_ioc(arguments)
    figures(ioc)
    family = descendants(ioc.process.pid)
    assert len(family) >= 5, "three workers, the archive, the cameras"

    if number == signal.SIGTERM:
        ioc.process.signal(number)
    else:  # as a terminal does
        os.killpg(ioc.process.pid, number)

    assert ioc.process.wait() == 0
    assert not alive(family)
    assert not any("worker killed" in line for line in ioc.process.lines)


def test_when_the_ioc_is_killed_no_process_stays(start_ioc, simulation):
    arguments = ["tosip.iocs.neosted", "--simulate", "--cameras", "1", "--config", simulation]
    ioc = start_ioc(arguments)
    figures(ioc)
    family = descendants(ioc.process.pid)
    ends = [os.pidfd_open(pid) for pid in family]

    ioc.process.signal(signal.SIGKILL)
    ioc.process.wait()

    for end in ends:
        ready, _, _ = select.select([end], [], [], 10.0)
        os.close(end)
        assert ready, "a process outlived the IOC"


@pytest.mark.parametrize("end", ["exit", "signal"])
def test_the_interactive_shell_knows_the_system_and_ends_the_ioc(start_ioc, simulation, end):
    arguments = ["tosip.iocs.neosted", "--simulate", "--cameras", "1", "--config", simulation]
    ioc = start_ioc([*arguments, "--interactive"])
    family = descendants(ioc.process.pid)

    ioc.process.say("print('plugins', sorted(system.plugins))")
    ioc.process.wait_line("plugins ['ENV', 'FIELD', 'FOCUS01']")
    if end == "exit":
        ioc.process.say("exit")
    else:
        ioc.process.signal(signal.SIGTERM)

    assert ioc.process.wait() == 0
    assert not alive(family)
