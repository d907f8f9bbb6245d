"""A depot for each test."""

import tempfile
from pathlib import Path

import pytest

from tests.gateway.forwarding.depot import Depot

MEMORY = Path("/dev/shm")


@pytest.fixture
def depot():
    """A spool and a loop where no forwarder runs yet; in memory, where syncing costs nothing."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        depot = Depot(Path(folder) / "spool")
        yield depot
        depot.close()


@pytest.fixture
def archive(depot):
    """An archive that can be told to misbehave."""
    return depot.archive()
