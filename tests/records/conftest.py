"""One IOC for all tests of records: its algorithm has every kind of value."""

from __future__ import annotations

import ftplib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tosip.drivers.sky import fits_bytes
from tosip.gateway.users import hash_password
from tosip.testing.ioc import IocProcess

EVERYTHING = Path(__file__).with_name("everything.py")
PASSWORD = "a password of the test"

CONFIG = """
[gateway]
port = 0
users = "users"
[focus]
file = "{file}"
process_timeout = 20.0
[focus.alarms.mean]
high = 900.0
[environment]
file = "{file}"
threads = 2
[[cameras]]
number = 1
user = "cam01"
[[cameras]]
number = 2
user = "cam02"
"""


@dataclass
class Uploads:
    """Uploads frames to an IOC's gateway; each has its own time stamp."""

    ioc: IocProcess
    count: int = 0

    def frame(self, value: int = 100, user: str = "cam01") -> float:
        """Upload a frame of equal pixels and return its time stamp."""
        self.count += 1
        pixels = np.full((16, 32), value, np.uint16)
        header: dict[str, str | float] = {
            "DATE-OBS": f"2026-01-01T00:00:{self.count:02d}.500",
            "EXPTIME": 1.0,
        }
        self.file(f"frame{self.count}.fits", fits_bytes(pixels, header), user)
        return 1767225600.5 + self.count

    def file(self, name: str, data: bytes, user: str = "cam01") -> None:
        """Upload bytes."""
        with ftplib.FTP() as ftp:
            ftp.connect("127.0.0.1", self.ioc.gateway_port, timeout=20)
            ftp.login(user, PASSWORD)
            ftp.storbinary(f"STOR {name}", io.BytesIO(data))


def configured(folder: Path) -> Path:
    """Write the configuration and the accounts of its cameras into a folder."""
    users = "".join(f"cam{n:02d}:{hash_password(PASSWORD)}\n" for n in (1, 2))
    (folder / "users").write_text(users)
    config = folder / "neosted.toml"
    config.write_text(CONFIG.format(file=EVERYTHING))
    return config


@pytest.fixture(scope="module")
def ioc(
    start_ioc: Callable[..., IocProcess], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[IocProcess]:
    config = configured(tmp_path_factory.mktemp("config"))
    ioc = start_ioc(["tosip.iocs.neosted", "--config", str(config)])
    yield ioc
    ioc.stop()


@pytest.fixture(scope="module")
def uploads(ioc: IocProcess) -> Uploads:
    return Uploads(ioc)
