"""What was acknowledged survives the IOC: archive and algorithm get it from the next one."""

from __future__ import annotations

import ftplib
import io
import signal

import numpy as np
import pytest

from tosip.drivers.sky import fits_bytes
from tosip.gateway.users import hash_password
from tosip.testing.archive import ArchiveProcess
from tosip.testing.ioc import free_port

PASSWORD = "of this test"
CONFIG = """
[gateway]
port = 0
users = "users"
[archive]
host = "127.0.0.1"
port = {port}
user = "{user}"
password_file = "archive-password"
[focus]
file = "patient.py"
queue_size = 1
process_timeout = 100.0
[[cameras]]
number = 1
user = "cam01"
"""
PATIENT = '''
import time
from pathlib import Path

from tosip import Algorithm, Inputs, Outputs, output


class Nothing(Inputs):
    pass


class Figures(Outputs):
    number: int = output("What all pixels are")


class Patient(Algorithm[Nothing, Figures]):
    """Waits until it may begin."""

    def process(self, image, params, attributes, metadata):
        while not Path(__file__).with_name("begin").exists():
            time.sleep(0.05)
        return Figures(number=int(image[0, 0]))
'''
FILES = {f"{n}.fits": fits_bytes(np.full((64, 64), n, np.uint16), {}) for n in (1, 2, 3)}


def upload(ioc, name, data):
    with ftplib.FTP() as ftp:
        ftp.connect("127.0.0.1", ioc.gateway_port, timeout=20)
        ftp.login("cam01", PASSWORD)
        ftp.storbinary(f"STOR {name}", io.BytesIO(data))


@pytest.fixture(scope="module")
def restarted(start_ioc, tmp_path_factory):
    """Kill an IOC after the last 226, without an archive; return the next one and its archive.

    Of three frames the algorithm has one, a second waits in its queue, the driver holds the third.
    """
    folder = tmp_path_factory.mktemp("restart")
    archive = ArchiveProcess(folder / "archive", free_port())
    archive.stop()  # down, until the second IOC runs
    (folder / "users").write_text(f"cam01:{hash_password(PASSWORD)}\n")
    (folder / "archive-password").write_text(archive.password)
    (folder / "patient.py").write_text(PATIENT)
    config = folder / "neosted.toml"
    config.write_text(CONFIG.format(port=archive.port, user=archive.user))
    arguments = ["tosip.iocs.neosted", "--config", str(config)]

    first = start_ioc(arguments)
    first.put("FOCUS01:BlockingCallbacks", "Yes")
    for name, data in FILES.items():
        upload(first, name, data)
    assert str(first.get("GATEWAY:ArchiveState_RBV")) == "Unreachable"
    first.process.signal(signal.SIGKILL)
    first.process.wait()

    (folder / "begin").touch()
    archive = ArchiveProcess(folder / "archive", archive.port, archive.password)
    second = start_ioc(arguments, var=first.var)
    yield second, archive
    assert second.stop() == 0
    archive.stop()


def test_a_killed_iocs_files_are_delivered_by_the_next_one(restarted):
    ioc, archive = restarted
    ioc.wait("GATEWAY:Pending_RBV", lambda pending: pending == 0)
    ioc.wait("GATEWAY:ArchiveState_RBV", lambda state: str(state) == "OK")

    assert archive.files() == FILES


def test_a_killed_iocs_unread_frame_is_given_to_the_algorithm_by_the_next_one(restarted):
    ioc, _ = restarted
    ioc.wait("FOCUS01:Number_RBV", lambda number: number == 3)
