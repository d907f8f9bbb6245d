"""A real FTP archive in a subprocess."""

import json
import secrets
import sys
from pathlib import Path

from tosip.testing.process import LinesProcess


class ArchiveProcess:
    """An FTP server on loopback that keeps files below `root`; `user` and `password` log in."""

    def __init__(self, root: Path, port: int = 0, password: str = "") -> None:
        self.root = root
        self.user = "archive"
        self.password = password or secrets.token_urlsafe()
        login = json.dumps({"user": self.user, "password": self.password})
        command = [sys.executable, "-m", "tosip.gateway.archive", "--root", str(root)]
        self.process = LinesProcess([*command, "--port", str(port)], say=f"{login}\n")
        self.host = "127.0.0.1"
        self.port = int(self.process.wait_line("ready").removeprefix("ready "))

    def files(self) -> dict[str, bytes]:
        """Return what it holds under final names, by path."""
        paths = (path for path in self.root.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in paths
            if not path.name.endswith(".part")
        }

    def stop(self) -> int:
        """End it and return its exit status."""
        return self.process.stop()
