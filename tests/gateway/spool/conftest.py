from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateway.spool.disks import FailingDisk, RecordingDisk
from tests.gateway.spool.helpers import abandon, memory_folder
from tosip.gateway.settings import Keeping
from tosip.gateway.spool.disk import Disk
from tosip.gateway.spool.spool import Spool

Opening = Callable[..., Spool]


@pytest.fixture
def opened() -> Iterator[Opening]:
    """Open spools; each is closed at the end, however it ended."""
    spools: list[Spool] = []

    def open_one(folder: Path, keeping: Keeping | None = None, disk: Disk | None = None) -> Spool:
        spools.append(Spool(folder, keeping, disk))
        return spools[-1]

    yield open_one
    for spool in spools:
        abandon(spool)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory, so that the tests do not wait for a slow disk."""
    with memory_folder() as name:
        yield Path(name)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def spool(opened, folder):
    """A new spool."""
    return opened(folder)


@pytest.fixture
def recording():
    return RecordingDisk()


@pytest.fixture
def failing():
    return FailingDisk()
