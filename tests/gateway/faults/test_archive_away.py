"""An archive that is away or full for long: nothing is lost, and the newest comes first."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.gateway.faults.frames import frame
from tests.gateway.faults.oracle import announced_twice, assert_kept
from tests.gateway.faults.plant import Plant

MANY = 1000
CAMERAS = 16


def test_a_thousand_files_wait_for_the_archive_and_the_newest_does_not(plant: Plant):
    plant.start_gateway()
    _upload_many(plant, MANY)
    totals = plant.totals()
    assert (totals.acknowledged, totals.pending, totals.delivered) == (MANY, MANY, 0)
    plant.start_archive(hostility=0.0, seed=0)  # well, and quicker than the other one
    plant.until(lambda: plant.totals().delivered > 0)
    with plant.camera() as camera:
        assert camera.upload("newest.fits", frame(6000)).startswith("226")
    plant.until((plant.root / "newest.fits").exists)
    assert plant.totals().pending > MANY // 4  # it has not waited for those before it
    plant.drain(60)
    plant.stop_gateway()
    assert_kept(plant)
    assert plant.totals().delivered == MANY + 1
    assert not announced_twice(plant)


def test_archive_without_room_fills_the_spool_until_cameras_get_452_and_then_drains(plant: Plant):
    (plant.root.with_name("full")).touch()
    plant.start_archive()
    plant.start_gateway(quota=3_000_000, limits={"free_space": 1_000_000})
    with plant.camera() as camera:
        replies = [camera.upload(f"f{n}.fits", frame(400_000))[:3] for n in range(12)]
        accepted = replies.count("226")
        assert 2 <= accepted <= 8
        assert replies == ["226"] * accepted + ["452"] * (12 - accepted)
        assert plant.totals().dead == 0
        (plant.root.with_name("full")).unlink()
        plant.drain()
        assert camera.upload("after.fits", frame(400_000)).startswith("226")
    plant.drain()
    plant.stop_gateway()
    assert_kept(plant)


@pytest.mark.parametrize("how", ["killed", "full"])
def test_archive_that_fails_again_and_again_gets_each_file_once(plant: Plant, how: str):
    plant.start_archive()
    plant.start_gateway()
    for _ in range(3):
        _upload_many(plant, CAMERAS)
        if how == "killed":
            plant.kill_archive()
            plant.start_archive()
        else:
            plant.root.with_name("full").touch()
            _upload_many(plant, CAMERAS)
            plant.root.with_name("full").unlink()
    plant.drain()
    plant.stop_gateway()
    assert_kept(plant)
    assert not announced_twice(plant)


def _upload_many(plant: Plant, count: int) -> None:
    def upload(number: int) -> None:
        with plant.camera(number) as camera:
            for place in range(number, count + 1, CAMERAS):
                assert camera.upload(f"{number}/{place:04}.fits", frame(6000)).startswith("226")

    with ThreadPoolExecutor(CAMERAS) as threads:
        list(threads.map(upload, range(1, CAMERAS + 1)))
