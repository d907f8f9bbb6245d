"""Operators see the gateway and deal with what it cannot deliver."""

from __future__ import annotations

import ftplib
import io
import math

import pytest
from p4p.client.thread import RemoteError

from tosip.gateway.users import hash_password
from tosip.testing.archive import ArchiveProcess
from tosip.testing.stars import star_frame

PASSWORD = "of this test"
CONFIG = """
[gateway]
port = 0
users = "users"
max_age = 1.5
[gateway.camera]
by = "folder"
[gateway.limits]
least_free_gib = 0.001
[archive]
host = "127.0.0.1"
port = {port}
user = "{user}"
password_file = "archive-password"
first_delay = 0.1
longest_delay = 60.0
[[cameras]]
number = 1
user = "anybody"
identity = "north"
[[cameras]]
number = 2
user = "nobody"
identity = "south"
"""
MINOR, MAJOR = 1, 2


class Plant:
    """An IOC with its gateway, and an archive that is up when it is wanted."""

    def __init__(self, folder, start_ioc):
        self.root = folder / "archive"
        first = ArchiveProcess(self.root)
        first.stop()
        self.port, self.password = first.port, first.password
        users = folder / "users"
        users.touch(0o600)
        users.write_text(f"anybody:{hash_password(PASSWORD)}\n")
        secret = folder / "archive-password"
        secret.touch(0o600)
        secret.write_text(first.password)
        config = folder / "neosted.toml"
        config.write_text(CONFIG.format(port=first.port, user=first.user))
        self.ioc = start_ioc(["tosip.iocs.neosted", "--config", str(config)])
        self.archive = None

    def start_archive(self):
        self.archive = ArchiveProcess(self.root, self.port, self.password)

    def upload(self, name, data):
        with ftplib.FTP() as ftp:
            ftp.connect("127.0.0.1", self.ioc.gateway_port, timeout=20)
            ftp.login("anybody", PASSWORD)
            ftp.storbinary(f"STOR {name}", io.BytesIO(data))

    def get(self, name):
        return self.ioc.get(f"GATEWAY:{name}")

    def wait(self, name, accept):
        return self.ioc.wait(f"GATEWAY:{name}", accept)

    def stop(self):
        if self.archive:
            self.archive.stop()
        assert self.ioc.stop() == 0
        # Two lines for each connection would rotate everything else away.
        assert " aioftp" not in (self.ioc.var / "log" / "tosip.log").read_text()


@pytest.fixture
def plant(start_ioc, tmp_path):
    plant = Plant(tmp_path, start_ioc)
    yield plant
    plant.stop()


def test_what_operators_see_and_can_do(plant):
    frame = star_frame().fits()
    assert math.isnan(plant.get("CAM01Age_RBV"))

    plant.upload("north/night/a.fits", frame)
    assert plant.wait("Received_RBV", lambda count: count == 1)
    down = plant.wait("ArchiveState_RBV", lambda state: str(state) == "Unreachable")
    assert down.severity == MAJOR
    assert str(plant.port) in plant.get("LastError_RBV")
    assert plant.get("Pending_RBV") == 1
    assert plant.get("PendingSize_RBV") == pytest.approx(len(frame) / 1024**2)
    assert plant.wait("PendingAge_RBV", lambda age: age > 0.5) < 60
    assert plant.get("CAM01LastFile_RBV") == "north/night/a.fits"
    assert plant.wait("CAM01Age_RBV", lambda age: 0.5 < age < 60).severity == 0
    assert plant.wait("CAM01Age_RBV", lambda age: age.severity == MAJOR) > 1.5
    assert plant.get("CAM02LastFile_RBV") == ""
    assert plant.get("Watermark_RBV") == pytest.approx(0.001)
    assert plant.get("FreeSpace_RBV") > 0.001
    assert str(plant.get("DiskState_RBV")) in ("OK", "Low")
    # The folder told the camera; the FTP user could not have.
    plant.ioc.wait("FOCUS01:ArrayCounter_RBV", lambda count: count == 1)

    # Damage is found before anything is sent, and is a person's to deal with.
    (stored,) = (path for path in (plant.ioc.var / "spool" / "files").iterdir() if not path.suffix)
    stored.write_bytes(frame[:-1] + bytes([frame[-1] ^ 1]))
    plant.start_archive()
    plant.ioc.put("GATEWAY:Retry", 1)
    dead = plant.wait("DeadLetters_RBV", lambda count: count == 1)
    assert dead.severity == MAJOR
    assert plant.wait("DeadLetterList_RBV", len).startswith(f"{stored.name} CAM01 north/night/a.")
    with pytest.raises(RemoteError):
        plant.ioc.put("GATEWAY:DiscardFile", "no such id")
    assert "expected the id of a dead letter" in plant.get("WriteMessage_RBV")
    assert plant.get("DeadLetters_RBV") == 1
    stored.write_bytes(frame)
    plant.ioc.put("GATEWAY:RetryFile", stored.name)
    plant.wait("Delivered_RBV", lambda count: count == 1)
    assert plant.get("DeadLetters_RBV") == 0

    # While forwarding is paused files gather, safely.
    plant.ioc.put("GATEWAY:PauseForwarding", "Yes")
    plant.upload("south/b.fits", frame)
    assert plant.wait("ArchiveState_RBV", lambda state: str(state) == "Paused").severity == MINOR
    assert plant.wait("Pending_RBV", lambda count: count == 1)
    plant.wait("PendingAge_RBV", lambda age: age > 0.5)
    assert plant.archive.files() == {"north/night/a.fits": frame}
    plant.ioc.put("GATEWAY:PauseForwarding", "No")
    plant.wait("Delivered_RBV", lambda count: count == 2)
    assert plant.archive.files() == {"north/night/a.fits": frame, "south/b.fits": frame}


def test_dead_letters_wait_until_they_are_discarded_or_tried_again(plant):
    frame = star_frame().fits()
    plant.ioc.put("GATEWAY:PauseForwarding", "Yes")
    for name in ("a", "b"):
        plant.upload(f"north/{name}.fits", frame)
    # Ids sort by time.
    first, second = sorted(
        path for path in (plant.ioc.var / "spool" / "files").iterdir() if not path.suffix
    )
    first.write_bytes(b"not what was sent")
    second.write_bytes(b"nor this")
    plant.start_archive()
    plant.ioc.put("GATEWAY:PauseForwarding", "No")
    plant.wait("DeadLetters_RBV", lambda count: count == 2)
    plant.ioc.put("GATEWAY:DiscardFile", first.name)
    assert plant.wait("Discarded_RBV", lambda count: count == 1)
    assert plant.get("DeadLetters_RBV") == 1

    # Nobody but an operator tries the other one again.
    second.write_bytes(frame)
    plant.ioc.put("GATEWAY:Retry", 1)
    plant.wait("Delivered_RBV", lambda count: count == 1)
    assert plant.get("DeadLetters_RBV") == 0
    assert plant.archive.files() == {"north/b.fits": frame}
