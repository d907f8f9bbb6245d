"""One IOC for all clients, and a way to run each in a process of its own.

Channel Access and PVAccess read their environment once, when they are loaded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.records.conftest import Uploads, configured
from tosip.testing.ioc import IocProcess

ROOT = Path(__file__).parents[2]
Client = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="package")
def ioc(
    start_ioc: Callable[..., IocProcess], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[IocProcess]:
    """Start an IOC with the algorithm that has every kind of value."""
    config = configured(tmp_path_factory.mktemp("config"))
    ioc = start_ioc(["tosip.iocs.neosted", "--config", str(config)])
    yield ioc
    ioc.stop()


@pytest.fixture(scope="package")
def run_client(ioc: IocProcess) -> Client:
    """Run the module `tests.clients.NAME` with the prefix; return what it prints last, as JSON.

    All ports of the first camera have just seen a frame of 32 columns and 16 rows.
    """
    uploads = Uploads(ioc)

    def run(name: str) -> dict[str, Any]:
        uploads.frame()
        for port in ("CAM01", "FOCUS01", "FIELD", "ENV"):
            ioc.wait(f"{port}:UniqueId_RBV", lambda number: number == uploads.count)
        ended = subprocess.run(
            [sys.executable, "-m", f"tests.clients.{name}", ioc.prefix],
            env={**os.environ, **ioc.environment},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stderr[-2000:]
        seen: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
        return seen

    return run


def needs(package: str) -> pytest.MarkDecorator:
    """Skip tests whose client is not installed."""
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")
