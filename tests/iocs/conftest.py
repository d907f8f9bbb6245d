"""The whole NEOSTED IOC with simulated cameras, once for all tests that only look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tosip.testing.ioc import IocProcess

SMALL_AND_QUICK = """
[gateway]
port = 0
[simulation]
size = 512
period = 4.0
"""


@pytest.fixture(scope="session")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A configuration with small frames in quick succession."""
    path = tmp_path_factory.mktemp("config") / "neosted.toml"
    path.write_text(SMALL_AND_QUICK)
    return str(path)


@pytest.fixture(scope="package")
def neosted(
    start_ioc: Callable[..., IocProcess],
    simulation: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[IocProcess]:
    """All 16 cameras."""
    screens = tmp_path_factory.mktemp("screens")
    options = ["--screens", str(screens), "--pvlist", str(screens / "pvs")]
    ioc = start_ioc(["tosip.iocs.neosted", "--simulate", "--config", simulation, *options])
    yield ioc
    ioc.stop()
