"""Killed at one named point of a file's life: there is one whole copy of it in the end.

The archive is away while a file is received, so that nothing else goes on when the gateway dies.
"""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.gateway.faults.archives import OFFERED, RandomArchive
from tests.gateway.faults.camera import Gone
from tests.gateway.faults.frames import frame
from tests.gateway.faults.oracle import announced_twice, assert_kept
from tests.gateway.faults.plant import PATIENCE, Plant
from tests.gateway.forwarding.hostile_archive import (
    FEATURES,
    Misbehaviour,
    Mute,
    Say,
    Silence,
)

NAME = "x.fits"
SIZE = 300_000


class StoppingArchive(RandomArchive):
    """Goes no further where it is to, once, and tells that it is there; else it is well."""

    def __init__(self, root: Path, verb: str, how: Misbehaviour, *, after: str, proof: bool):
        super().__init__(root, 0, 0.0)
        self.features = OFFERED if proof else FEATURES
        self.reached = threading.Event()
        self._verb, self._how, self._after, self._proof = verb, how, after, proof

    def struck(self, verb: str, argument: str = "") -> Misbehaviour | None:
        """Return what is to go wrong with this command."""
        if verb == "RETR" and not self._proof:
            return Say("550 not for you")
        if verb != self._verb or self._after not in self.verbs() or self.reached.is_set():
            return None
        self.reached.set()
        return self._how


@contextmanager
def served(archive: StoppingArchive, port: int) -> Iterator[None]:
    """Let an archive of this process serve, on a loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(archive.listen(port), loop).result(PATIENCE)
        yield
        asyncio.run_coroutine_threadsafe(archive.close(), loop).result(PATIENCE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.parametrize(
    ("step", "kept"), [("received", 0), ("committed", 1), ("announced", 1), ("released", 1)]
)
def test_killed_on_the_way_in_it_keeps_what_the_camera_was_told(plant: Plant, step: str, kept: int):
    data = frame(SIZE)
    plant.start_gateway(kill_at_step=[step, 1])
    with suppress(*Gone), plant.camera() as camera:
        camera.upload(NAME, data)
    _expect_killed(plant)
    # Later the reply may be on its way.
    told = len(plant.ledger.acknowledged)
    assert told == 0 or step in ("announced", "released")
    plant.start_gateway()
    assert plant.totals().acknowledged == kept
    if not told:
        # Who was told nothing sends it again.
        with plant.camera() as camera:
            assert camera.upload(NAME, data).startswith("226")
    assert plant.totals().duplicates == kept - told
    plant.start_archive()
    _expect_one_copy(plant, data)
    assert not announced_twice(plant)


@pytest.mark.parametrize("step", ["forwarded", "verified"])
def test_killed_on_the_way_out_it_goes_on_with_what_is_on_the_archive(plant: Plant, step: str):
    data = frame(SIZE)
    plant.start_gateway(kill_at_step=[step, 1])
    _upload(plant, data)
    plant.start_archive()
    _expect_killed(plant)
    assert len(plant.temporaries()) == 1
    assert plant.archived() == []
    plant.start_gateway()
    _expect_one_copy(plant, data)


@pytest.mark.parametrize(
    ("verb", "how", "after", "renamed", "proof"),
    [
        ("RNFR", Silence(), "STOR", False, False),
        ("RNTO", Silence(), "STOR", False, False),
        ("RNTO", Mute(), "STOR", True, False),
        ("RNTO", Mute(), "STOR", True, True),
        ("SIZE", Silence(), "RNTO", True, False),
    ],
    ids=["before RNTO", "RNTO not done", "RNTO done", "RNTO done, proof", "before the record"],
)
def test_killed_at_the_rename_it_finds_out_whether_that_was_done(
    plant: Plant, verb: str, how: Misbehaviour, after: str, renamed: bool, proof: bool
):
    """Without `proof` nobody can tell whose bytes are on the archive."""
    data = frame(SIZE)
    archive = StoppingArchive(plant.root, verb, how, after=after, proof=proof)
    plant.start_gateway()
    _upload(plant, data)
    with served(archive, plant.archive_port):
        assert archive.reached.wait(PATIENCE)
        if renamed:
            plant.until((plant.root / NAME).exists)
        plant.kill_gateway()
        assert archive.verbs()[-1] == verb
        assert [path.name for path in plant.archived()] == [NAME] * renamed
        assert len(plant.temporaries()) == (not renamed)
        plant.start_gateway()
        _expect_one_copy(plant, data)
    assert archive.verbs().count("STOR") == 2 - renamed


def _upload(plant: Plant, data: bytes) -> None:
    with plant.camera() as camera:
        assert camera.upload(NAME, data).startswith("226")


def _expect_killed(plant: Plant) -> None:
    assert plant.gateway is not None
    assert plant.gateway.wait() == -signal.SIGKILL
    plant.gateway = None


def _expect_one_copy(plant: Plant, data: bytes) -> None:
    plant.drain()
    plant.stop_gateway()
    assert_kept(plant)
    (copy,) = plant.archived()
    assert copy.relative_to(plant.root) == Path(NAME)
    assert copy.read_bytes() == data
    totals = plant.totals()
    assert (totals.delivered, totals.pending, totals.dead) == (1, 0, 0)
    assert totals.balanced
