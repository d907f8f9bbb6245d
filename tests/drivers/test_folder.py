"""The drivers of folders and of stored images."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.drivers.fits_files import ramp, stored
from tosip.drivers import folder, replay
from tosip.drivers.driver import FitsDriver
from tosip.drivers.folder import FolderConfig
from tosip.drivers.kinds import DriverContext
from tosip.drivers.replay import ReplayConfig
from tosip.errors import ConfigurationError
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Ports


def frame(number: int) -> bytes:
    return stored(ramp(), header={"NUMBER": number})


def add(path: Path, number: int, time: float = 0.0) -> None:
    """Write a file and rename it into place; `time` is its modification time if given."""
    path.parent.mkdir(exist_ok=True)
    hidden = path.with_name(f".{path.name}")
    hidden.write_bytes(frame(number))
    if time:
        os.utime(hidden, (time, time))
    hidden.rename(path)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30.0):
        while not condition():
            await asyncio.sleep(0.01)


class Watching:
    """A started driver of the folder `images`, and the numbers of the frames it published."""

    def __init__(self, tmp_path: Path, **settings: object) -> None:
        self.images = tmp_path / "images"
        self.images.mkdir(exist_ok=True)
        config = FolderConfig.model_validate(
            {"kind": "folder", "folder": self.images, "settle": 0.2} | settings
        )
        context = DriverContext(Pool(50_000_000), Ports(), tmp_path / "var")
        self.driver: FitsDriver = folder.make("CAM1", config, context)
        self.numbers: list[object] = []
        self.driver.port.listen(self._published)

    def _published(self, array: NDArray) -> None:
        self.numbers.append(array.attributes["NUMBER"])

    async def __aenter__(self) -> "Watching":
        self.driver.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.driver.stop()


def test_waiting_files_come_by_time_and_new_ones_as_they_appear(tmp_path):
    images = tmp_path / "images"
    for name, number, time in (("a.fits", 2, 2e9 - 9), ("b.fits", 1, 1e9), ("c.txt", 9, 1e9)):
        add(images / name, number, time)
    os.utime(images / "a.fits", (1.1e9, 1.1e9))

    async def work():
        async with Watching(tmp_path) as watching:
            await until(lambda: len(watching.numbers) == 2)
            add(images / "new.FIT", 3)
            await until(lambda: len(watching.numbers) == 3)
            (images / "closed.fits").write_bytes(frame(4))
            await until(lambda: len(watching.numbers) == 4)
            assert watching.numbers == [1, 2, 3, 4]

    asyncio.run(work())


def test_a_file_in_writing_is_not_read_before_it_is_whole(tmp_path):
    async def work():
        async with Watching(tmp_path, poll=0.05) as watching:
            data = frame(1)
            with (watching.images / "slow.fits").open("wb") as file:
                for start in range(0, len(data), 1000):
                    file.write(data[start : start + 1000])
                    file.flush()
                    await asyncio.sleep(0.1)
                    assert watching.numbers == []
            await until(lambda: watching.numbers == [1])
            assert watching.driver.failed_files == 0

    asyncio.run(work())


def test_what_was_read_is_remembered_and_a_new_version_read_again(tmp_path):
    async def work():
        async with Watching(tmp_path) as watching:
            add(watching.images / "a.fits", 1)
            add(watching.images / "gone.fits", 2)
            await until(lambda: len(watching.numbers) == 2)
        (watching.images / "gone.fits").unlink()
        add(watching.images / "b.fits", 3)
        async with Watching(tmp_path) as watching:
            await until(lambda: watching.numbers)
            add(watching.images / "a.fits", 4)
            await until(lambda: len(watching.numbers) == 2)
            assert watching.numbers == [3, 4]

    asyncio.run(work())


def test_files_that_were_read_move_to_done(tmp_path):
    async def work():
        async with Watching(tmp_path, after="done", recursive=True) as watching:
            add(watching.images / "a.fits", 1)
            await until((watching.images / "done" / "a.fits").exists)
            add(watching.images / "night" / "b.fits", 2)
            await until((watching.images / "done" / "night" / "b.fits").exists)
            assert watching.numbers == [1, 2]

    asyncio.run(work())


def test_a_folder_that_vanishes_is_reported_and_watched_again(tmp_path):
    async def work():
        watching = Watching(tmp_path)
        watching.images.rmdir()
        async with watching:
            await until(lambda: "No such file" in watching.driver.fault)
            add(watching.images / "a.fits", 1)
            await until(lambda: watching.numbers == [1])

    asyncio.run(work())


def test_a_missing_folder_is_a_mistake_of_the_configuration(tmp_path):
    config = FolderConfig(kind="folder", folder=tmp_path / "none")
    with pytest.raises(ConfigurationError, match=r"drivers\.CAM1\.folder: expected a folder"):
        folder.make("CAM1", config, DriverContext(Pool(), Ports(), tmp_path))


def test_stored_images_are_a_live_source(tmp_path):
    for number in (1, 2):
        add(tmp_path / f"{number}.fits", number)
    numbers: list[object] = []

    async def work():
        config = ReplayConfig(kind="replay", images=(tmp_path,), period=0.0)
        driver = replay.make("CAM1", config, DriverContext(Pool(50_000_000), Ports(), tmp_path))
        driver.port.listen(lambda array: numbers.append(array.attributes["NUMBER"]))
        driver.start()
        await until(lambda: not driver.acquiring)
        await driver.stop()

    asyncio.run(work())
    assert numbers == [1, 2]


def test_a_driver_that_never_started_can_be_stopped(tmp_path):
    asyncio.run(Watching(tmp_path).driver.stop())
