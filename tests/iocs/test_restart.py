"""What was acknowledged survives the IOC: the archive gets it from the next one."""

from __future__ import annotations

import ftplib
import io
import signal

from tosip.gateway.users import hash_password
from tosip.testing.archive import ArchiveProcess
from tosip.testing.ioc import free_port
from tosip.testing.stars import star_frame

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
[[cameras]]
number = 1
user = "cam01"
"""


def upload(ioc, name, data):
    with ftplib.FTP() as ftp:
        ftp.connect("127.0.0.1", ioc.gateway_port, timeout=20)
        ftp.login("cam01", PASSWORD)
        ftp.storbinary(f"STOR {name}", io.BytesIO(data))


def test_a_killed_iocs_files_are_delivered_by_the_next_one(start_ioc, tmp_path):
    archive = ArchiveProcess(tmp_path / "archive", free_port())
    archive.stop()  # down, until the second IOC runs
    (tmp_path / "users").write_text(f"cam01:{hash_password(PASSWORD)}\n")
    (tmp_path / "archive-password").write_text(archive.password)
    config = tmp_path / "neosted.toml"
    config.write_text(CONFIG.format(port=archive.port, user=archive.user))
    arguments = ["tosip.iocs.neosted", "--config", str(config)]
    frame = star_frame().fits()
    files = {f"frame{n}.fits": frame + b"\0" * 2880 * n for n in range(3)}

    first = start_ioc(arguments)
    for name, data in files.items():
        upload(first, name, data)
    assert str(first.get("GATEWAY:ArchiveState_RBV")) == "Unreachable"
    first.process.signal(signal.SIGKILL)
    first.process.wait()

    archive = ArchiveProcess(tmp_path / "archive", archive.port, archive.password)
    second = start_ioc(arguments, var=first.var)
    second.wait("GATEWAY:Pending_RBV", lambda pending: pending == 0)
    second.wait("GATEWAY:ArchiveState_RBV", lambda state: str(state) == "OK")

    assert archive.files() == files
    assert second.stop() == 0
    archive.stop()
