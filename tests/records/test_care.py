"""What clients see of a worker's memory, time and words, and of results that get old."""

from __future__ import annotations

import contextlib
import ftplib
import io
import os
import queue
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.records.conftest import PASSWORD
from tosip.gateway.users import hash_password
from tosip.testing.ioc import IocProcess

HUNGRY = Path(__file__).with_name("hungry.py")
MAJOR, INVALID = 2, 3
OUTPUTS = ("Count", "Profile", "Mean")

CONFIG = """
[gateway]
port = 0
users = "users"
[focus]
file = "{file}"
process_timeout = 20.0
[focus.limits]
memory_mib = 400
nice = 2
[field]
max_age = 3600
[[cameras]]
number = 1
user = "cam01"
"""


@pytest.fixture(scope="module")
def ioc(
    start_ioc: Callable[..., IocProcess], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[IocProcess]:
    folder = tmp_path_factory.mktemp("config")
    (folder / "users").write_text(f"cam01:{hash_password(PASSWORD)}\n")
    config = folder / "neosted.toml"
    config.write_text(CONFIG.format(file=HUNGRY))
    ioc = start_ioc(["tosip.iocs.neosted", "--config", str(config)])
    yield ioc
    ioc.stop()


@pytest.fixture
def told(ioc):
    """Tell the algorithm what to do; afterwards nothing more."""
    yield lambda label: ioc.put("FOCUS01:Label", label)
    ioc.put("FOCUS01:Label", "")
    ioc.put("FOCUS01:MaxAge", 0.0)


def good(ioc, uploads, value=100):
    stamp = uploads.frame(value)
    ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean.timestamp == stamp and mean.severity == 0)
    return stamp


def test_memory_over_the_limit_is_the_last_exit_and_the_message(ioc, uploads, told):
    told("eat")
    number = ioc.get("FOCUS01:UniqueId_RBV") + 1
    uploads.frame()

    ioc.wait("FOCUS01:UniqueId_RBV", lambda last: last == number)
    ioc.wait("FOCUS01:LastExit_RBV", lambda text: text == "memory over 400 MiB")

    ioc.wait("FOCUS01:Message_RBV", lambda text: text == "worker memory over 400 MiB")
    ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean.severity == INVALID)
    told("")
    good(ioc, uploads)


def test_limits_of_the_configuration_reach_the_worker(ioc):
    pid = int(ioc.wait("FOCUS01:WorkerPid_RBV", lambda pid: pid > 0))

    nice = [Path(f"/proc/{n}/stat").read_text().split(")")[1].split()[16] for n in (pid, "self")]
    assert int(nice[0]) == min(19, int(nice[1]) + 2)
    assert Path(f"/proc/{pid}/comm").read_text() == "tosip: FOCUS01\n"


def test_memory_and_time_are_shown_while_they_change(ioc, uploads):
    memory = ioc.wait("FOCUS01:ResidentMemory_RBV", lambda size: size > 5.0)
    assert memory < 400.0
    assert memory.raw.display.units == "MB"
    ioc.wait("FOCUS01:CpuShare_RBV", lambda share: 0.0 <= share < 5.0)

    good(ioc, uploads)

    assert 0.0 <= ioc.get("FOCUS01:BusyTime_RBV") <= 100.0


def test_words_of_a_worker_are_shown_and_the_log_has_a_part_of_them(ioc, uploads, told):
    told("talk")
    good(ioc, uploads)

    said = ioc.wait("FOCUS01:LastOutput_RBV", lambda text: text.endswith("line 99999"))

    assert len(said.splitlines()) == 50
    deadline = time.monotonic() + 10.0
    while "lines more" not in (log := (ioc.var / "log" / "tosip.log").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert log.count("FOCUS01: line ") < 1000
    before = ioc.get("FOCUS01:RestartCount_RBV")
    told("eat")
    uploads.frame()
    ioc.wait("FOCUS01:RestartCount_RBV", lambda count: count > before)
    assert ioc.get("FOCUS01:LastOutput_RBV") == said


def test_old_results_turn_invalid_and_keep_value_and_time(ioc, uploads, told):
    stamp = good(ioc, uploads, 321)
    assert ioc.get("FOCUS01:MaxAge_RBV") == 0.0

    ioc.put("FOCUS01:MaxAge", 0.5)

    for name in OUTPUTS:
        old = ioc.wait(f"FOCUS01:{name}_RBV", lambda value: value.severity == INVALID)
        assert old.timestamp == stamp
    assert old == 321.0
    assert old.raw.alarm.message == "TIMEOUT"
    assert str(ioc.wait("FOCUS01:Status_RBV", lambda s: str(s) == "stale")) == "stale"
    assert ioc.get("FOCUS01:Status_RBV").severity == INVALID
    ioc.wait("FOCUS01:Message_RBV", lambda text: text.startswith("stale: no good result"))

    ioc.put("FOCUS01:MaxAge", 60.0)
    stamp = good(ioc, uploads, 55)

    for name in OUTPUTS:
        assert ioc.get(f"FOCUS01:{name}_RBV").severity == 0
        assert ioc.get(f"FOCUS01:{name}_RBV").timestamp == stamp
    ioc.wait("FOCUS01:Status_RBV", lambda s: str(s) == "ok")


def test_skipped_frames_do_not_renew(ioc, uploads, told):
    stamp = good(ioc, uploads)
    told("skip")
    ioc.put("FOCUS01:MaxAge", 2.0)
    with ioc.monitor("FOCUS01:Mean_RBV") as means:
        assert means.next().severity == 0
        old = None
        while old is None:  # for ever, if one of them renewed what is shown
            uploads.frame()
            ioc.wait("FOCUS01:Status_RBV", lambda s: str(s) in ("skip", "stale"))
            with contextlib.suppress(queue.Empty):
                old = means.next(0.2)

    assert old.severity == INVALID
    assert old.timestamp == stamp
    ioc.wait("FOCUS01:Status_RBV", lambda s: str(s) == "stale")


def test_the_configuration_gives_the_first_greatest_age(ioc):
    assert ioc.get("FIELD:MaxAge_RBV") == ioc.get("FIELD:MaxAge") == 3600.0


def test_ioc_without_descriptors_reads_and_measures_again_when_it_has_some(ioc, uploads, told):
    good(ioc, uploads)
    pid = ioc.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    failed = ioc.get("FOCUS01:FailedArrays_RBV")
    with ioc_login(ioc) as ftp:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        with suppress(ftplib.Error, OSError, EOFError):
            ftp.storbinary("STOR none.fits", io.BytesIO(b"x"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)

    good(ioc, uploads)
    assert ioc.get("FOCUS01:FailedArrays_RBV") == failed
    received, dropped = (ioc.get(f"FOCUS01:{n}Arrays_RBV") for n in ("Received", "Dropped"))
    ioc.wait("FOCUS01:ProcessedArrays_RBV", lambda count: count == received - failed - dropped)


def test_helper_that_ends_is_named_with_a_major_alarm(ioc):
    assert ioc.get("HEALTH:Status_RBV").severity == 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            number, parent = int(stat.parent.name), stat.read_text().rsplit(")", 1)[1].split()[1]
            command = (stat.parent / "cmdline").read_bytes()
            if int(parent) == ioc.process.pid and b"tosip.gateway.archive" in command:
                os.kill(number, signal.SIGKILL)

    status = ioc.wait("HEALTH:Status_RBV", lambda status: str(status) == "task failed")
    assert status.severity == MAJOR
    ioc.wait("HEALTH:Message_RBV", lambda text: "archive: ChildProcessError" in text)
    assert ioc.get("HEALTH:TaskFaults_RBV") == 1


@contextmanager
def ioc_login(ioc: IocProcess) -> Iterator[ftplib.FTP]:
    with ftplib.FTP() as ftp:
        ftp.connect("127.0.0.1", ioc.gateway_port, timeout=20)
        ftp.login("cam01", PASSWORD)
        yield ftp
