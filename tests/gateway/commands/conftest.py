"""A folder with all that a gateway's configuration names, and gateways that run there."""

import signal
import sys
from pathlib import Path

import pytest

from tests.commands.command import tosip
from tosip.gateway.digest import new_digest
from tosip.gateway.spool.spool import Description, Spool
from tosip.gateway.spool.stored import State
from tosip.gateway.users import hash_password
from tosip.testing.archive import ArchiveProcess
from tosip.testing.process import LinesProcess

PASSWORD = "corr3ct horse"
ARCHIVE_PASSWORD = "batt3ry staple"
CONFIG = """
[listen]
port = 0
[users]
file = "users"
[spool]
folder = "spool"
[archive]
host = "127.0.0.1"
port = {port}
user = "archive"
password_file = "archive-password"
first_delay = 0.05
longest_delay = 0.2
[limits]
least_free_gib = 0
"""


class Running:
    """A gateway in a process of its own, started as its users do."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "tosip.gateway", "gateway.toml", *options]
        self.process = LinesProcess(["env", "-C", str(folder), *command])
        self.ready = self.process.wait_line("gateway ready: ").removeprefix("gateway ready: ")
        self.port = int(self.ready.rpartition(":")[2])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.signal(number)
        return self.process.wait()


@pytest.fixture
def folder(tmp_path):
    """Users, archive password, key and certificates; a configuration whose archive is away."""
    users = tmp_path / "users"
    users.write_text(f"cam01:{hash_password(PASSWORD, cost=2)}\n")
    users.chmod(0o600)
    for name in ("archive-password", "gateway.key"):
        (tmp_path / name).write_text(f"{ARCHIVE_PASSWORD}\n")
        (tmp_path / name).chmod(0o600)
    for name in ("gateway.pem", "ca.pem"):
        (tmp_path / name).write_text("certificate")
    (tmp_path / "gateway.toml").write_text(CONFIG.format(port=1))
    return tmp_path


@pytest.fixture
def archive(folder):
    """An archive that the configuration names."""
    process = ArchiveProcess(folder / "archive", password=ARCHIVE_PASSWORD)
    (folder / "gateway.toml").write_text(CONFIG.format(port=process.port))
    yield process
    process.stop()


@pytest.fixture
def start(folder):
    """Start a gateway in the folder."""
    started = []

    def start(*options):
        started.append(Running(folder, *options))
        return started[-1]

    yield start
    for one in started:
        one.process.stop()


@pytest.fixture
def command(folder):
    """Run `tosip gateway ...` in the folder."""
    return lambda *arguments: tosip(folder, "gateway", *arguments)


@pytest.fixture
def spool(folder):
    """An open spool, to be filled with `add`; close it before others use it."""
    return Spool(folder / "spool")


def add(
    spool: Spool, name: str, data: bytes = b"data", *, user: str = "cam01", dead: str = ""
) -> str:
    """Commit a file, and give it up for a reason if there is one; return its id."""
    partial = spool.begin()
    partial.write(data)
    digest = new_digest().update(data).hexdigest()
    described = Description(name, user, len(data), digest, proven=True, camera="CAM01")
    file_id = spool.commit(partial, described).file.id
    spool.release(file_id)
    if dead:
        spool.mark(file_id, State.DEAD, reason=dead, refusals=8)
    return file_id
