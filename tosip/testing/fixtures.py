"""The pytest plugin: fixtures for tests of algorithms and IOCs, for users of TOSIP too.

    def test_stars_are_found(run_algorithm, star_frame):
        assert run_algorithm(Focus, star_frame.pixels).outputs.stars > 50

What is heavy is imported by the fixture that needs it: pytest loads this module wherever TOSIP is
installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tosip.testing.algorithm import AlgorithmRunner
    from tosip.testing.archive import ArchiveProcess
    from tosip.testing.ioc import IocProcess
    from tosip.testing.stars import StarFrame


@pytest.fixture
def run_algorithm() -> AlgorithmRunner:
    """Run an algorithm on an image, without EPICS: `run_algorithm(Focus, image, threshold=7.0)`."""
    from tosip.testing.algorithm import AlgorithmRunner

    return AlgorithmRunner()


@pytest.fixture(scope="session")
def star_frame() -> StarFrame:
    """A field of stars, 1024 x 1024, in focus, with what is true about it."""
    from tosip.testing import stars

    return stars.star_frame()


@pytest.fixture
def ftp_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArchiveProcess]:
    """A real FTP server on loopback, in a process of its own."""
    from tosip.testing.archive import ArchiveProcess

    archive = ArchiveProcess(tmp_path_factory.mktemp("archive"))
    yield archive
    archive.stop()


@pytest.fixture(scope="session")
def start_ioc(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., IocProcess]]:
    """Start IOCs: `ioc = start_ioc(["tosip.iocs.neosted", "--simulate", "--cameras", "1"])`.

    Each is ready when the call returns, has a prefix and network ports of its own, and ends with
    the session at the latest. `var=FOLDER` takes the folder of an IOC before it.
    """
    from tosip.testing.ioc import IocProcess

    with ExitStack() as stack:

        def start(arguments: Sequence[str], var: Path | None = None, **options: Any) -> IocProcess:
            ioc = IocProcess(arguments, var or tmp_path_factory.mktemp("var"), **options)
            stack.callback(ioc.stop)
            return ioc

        yield start
