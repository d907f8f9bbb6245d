"""The servers that take uploads in turns: the gateway, and those that it is compared with."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.gateway_ours import CAMERAS, PASSWORD
from benchmarks.peers import ftp
from benchmarks.records_process import Told
from tosip.testing.ioc import free_port
from tosip.testing.process import LinesProcess

OURS, VSFTPD = "TOSIP gateway", "vsftpd"
_TICKS = os.sysconf("SC_CLK_TCK")
_VSFTPD = """
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
run_as_launching_user=YES
anonymous_enable=YES
no_anon_password=NO
anon_root={root}
allow_writeable_chroot=YES
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_world_readable_only=NO
anon_umask=022
seccomp_sandbox=NO
xferlog_enable=NO
"""


@dataclass(frozen=True)
class Login:
    """Where cameras upload to, and as whom: camera n is `users[n]`."""

    port: int
    users: tuple[str, ...]
    password: str


class Server(Protocol):
    """A running server; `begin` lets it begin with nothing stored, `end` forgets what came."""

    def begin(self) -> Login:
        """Return where to upload to."""
        ...

    def end(self) -> None:
        """Remove all files."""
        ...

    def cpu(self) -> float:
        """CPU seconds used so far, those of children that have ended too."""
        ...


class Ours:
    """The gateway in a process of its own, with an archive that does not answer."""

    def __init__(self, folder: Path) -> None:
        self.told = Told("benchmarks.gateway_ours", {}, str(folder))

    def begin(self) -> Login:
        """See `Server`."""
        nobody = {"archive_port": free_port(), "user": "", "password": ""}
        return Login(self.told("start", **nobody, paused=True), CAMERAS, PASSWORD)

    def end(self) -> None:
        """See `Server`."""
        self.told("stop")

    def cpu(self) -> float:
        """See `Server`."""
        return cpu_with_children(self.told.process.pid)


class Peer:
    """Another server, which keeps files below `root`."""

    def __init__(self, process: LinesProcess, root: Path, port: int) -> None:
        self.process, self.root = process, root
        self._login = Login(port, (ftp.USER,) * len(CAMERAS), ftp.PASSWORD)

    def begin(self) -> Login:
        """See `Server`."""
        return self._login

    def end(self) -> None:
        """See `Server`."""
        for path in self.root.iterdir():
            path.unlink()

    def cpu(self) -> float:
        """See `Server`."""
        # A child counts when it has ended, a moment after its camera has said good-bye.
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        deadline = time.monotonic() + 5
        while children.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        return cpu_with_children(self.process.pid)


@contextmanager
def running(name: str, folder: Path) -> Iterator[Server]:
    """Start one of the servers in a folder of its own."""
    root = folder / name.replace(" ", "-")
    root.mkdir()
    if name == OURS:
        ours = Ours(root)
        try:
            yield ours
        finally:
            ours.told.stop()
        return
    peer = _vsftpd(root) if name == VSFTPD else _python(name, root)
    try:
        yield peer
    finally:
        peer.process.stop()


def servers() -> list[str]:
    """Name the servers that can run here, ours first."""
    installed = [VSFTPD] if vsftpd() else []
    return [OURS, ftp.STOCK, ftp.LARGE, ftp.PYFTPDLIB, *installed]


def vsftpd() -> str | None:
    """Return where vsftpd is, None where it is not installed."""
    return shutil.which("vsftpd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")


def cpu_with_children(pid: int) -> float:
    """CPU seconds of a process and of its children that have ended."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(ticks) for ticks in after_name[11:15]) / _TICKS


def _python(name: str, root: Path) -> Peer:
    process = LinesProcess([sys.executable, "-m", "benchmarks.peers.ftp", name, str(root)])
    return Peer(process, root, int(process.wait_line("ready").removeprefix("ready ")))


def _vsftpd(root: Path) -> Peer:
    port = free_port()
    configuration = root.with_suffix(".conf")
    configuration.write_text(_VSFTPD.format(port=port, root=root))
    process = LinesProcess([str(vsftpd()), str(configuration)])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.05)
    return Peer(process, root, port)
