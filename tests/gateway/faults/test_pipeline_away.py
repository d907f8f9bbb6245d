"""A pipeline that hangs, is slow or fails: cameras and the archive do not notice."""

import pytest

from tests.gateway.faults.frames import frame
from tests.gateway.faults.oracle import announced_twice, assert_kept
from tests.gateway.faults.plant import Plant

FILES = 12
SIZE = 200_000
MEMORY = 2 << 20  # less than the files have


@pytest.mark.parametrize("how", ["hung", "slow", "raising"])
def test_files_are_acknowledged_and_archived(plant: Plant, how: str):
    plant.start_archive()
    plant.start_gateway(pipeline=how, memory=MEMORY)
    with plant.camera() as camera:
        for number in range(FILES):
            assert camera.upload(f"f{number}.fits", frame(SIZE)).startswith("226")
    plant.until(lambda: plant.unfinished() == 0)
    assert len(plant.archived()) == FILES
    plant.stop_gateway()
    # What was not released is given to the next pipeline, which is well.
    plant.start_gateway()
    plant.drain()
    plant.stop_gateway()
    assert_kept(plant)


def _restart(plant: Plant, before: int) -> None:
    plant.kill_gateway()
    plant.start_gateway(pipeline="hung")
    plant.until(lambda: len(plant.recorded()) >= before + 3)


def test_files_that_were_not_released_are_announced_once_after_each_restart(plant: Plant):
    plant.start_archive()
    plant.start_gateway(pipeline="hung")
    with plant.camera() as camera:
        for number in range(3):
            assert camera.upload(f"f{number}.fits", frame(SIZE)).startswith("226")
    plant.until(lambda: len(plant.recorded()) == 3)
    for before in (3, 6):
        _restart(plant, before)
    plant.kill_gateway()
    plant.start_gateway()
    plant.drain()
    plant.kill_gateway()
    plant.start_gateway()
    with plant.camera() as camera:
        assert camera.upload("last.fits", frame(SIZE)).startswith("226")
    plant.drain()
    plant.stop_gateway()
    assert_kept(plant)
    names = [line["name"] for line in plant.recorded()]
    assert {name: names.count(name) for name in names} == {
        "f0.fits": 4,
        "f1.fits": 4,
        "f2.fits": 4,
        "last.fits": 1,
    }
    assert announced_twice(plant)  # the judge sees it where it happens
