"""The FITS driver: stored files become frames, one after the other, and bad ones stop nothing."""

import asyncio
import bz2
import gc
import gzip
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from tests.drivers.fits_files import ramp, stored
from tosip.description import Severity
from tosip.drivers import driver as driver_module
from tosip.drivers.driver import FitsDriver, load_images
from tosip.drivers.fits_options import FitsOptions
from tosip.drivers.fits_source import MemorySource
from tosip.drivers.panel import DRIVER_ITEMS
from tosip.errors import FrameError
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Ports
from tosip.pipeline.queues import FrameQueue, Policy


def run(work):
    asyncio.run(asyncio.wait_for(work, 30.0))


def file(folder: Path, name: str = "a.fits", **header: object) -> Path:
    path = folder / name
    path.write_bytes(stored(ramp(), header=header))
    return path


def shown(driver: FitsDriver, *names: str) -> list[object]:
    """What records show."""
    read = {item.pv: item.read for item in DRIVER_ITEMS if item.read}
    return [read[name](driver) for name in names]


class Reading:
    """A started driver and what it publishes; `async with Reading() as r: await r.read(path)`."""

    def __init__(self, budget: int = 10_000_000, **options: Any) -> None:
        self.pool = Pool(budget)
        self.driver = FitsDriver("CAM01", self.pool, Ports(), FitsOptions(**options))
        self.published: list[NDArray] = []
        self.driver.port.listen(self.published.append)

    async def __aenter__(self) -> "Reading":
        self.driver.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.driver.stop()

    async def read(self, path: Path, **options: object) -> None:
        done = asyncio.Event()
        self.driver.submit(path, done=done.set, **options)  # type: ignore[arg-type]
        await done.wait()


def test_file_becomes_a_frame_on_the_port(tmp_path):
    async def work():
        async with Reading() as reading:
            await reading.read(file(tmp_path, EXPTIME=40.0, **{"DATE-OBS": "2026-01-02T03:04:05"}))
            (array,) = reading.published
            assert np.array_equal(array.pixels, ramp())
            assert (array.unique_id, array.data_type, array.shape) == (1, "UInt16", (30, 50))
            assert array.timestamp == 1767323045.0
            assert array.attributes["EXPTIME"] == 40.0
            assert array.attributes["TimeSource"] == "DATE-OBS"
            assert shown(reading.driver, "TimeSource", "TimeMessage") == ["header", "DATE-OBS"]
            assert reading.driver.array_counter == 1
            assert reading.driver.port.last is array

    run(work())


def test_frame_without_a_usable_time_has_that_of_its_arrival_and_says_so(tmp_path):
    async def work():
        async with Reading() as reading:
            assert shown(reading.driver, "TimeSource", "TimeMessage") == ["no frame yet", ""]
            for received, header in ((12.5, {}), (0.0, {"DATE-OBS": "1980-01-06T00:00:00"})):
                await reading.read(file(tmp_path, **header), received=received)
                array = reading.published[-1]
                assert array.timestamp == received
                assert array.attributes["TimeSource"] == "reception"
                assert shown(reading.driver, "Status", "TimeSource") == ["ok", "reception"]
            fault = "DATE-OBS = '1980-01-06T00:00:00' is before 1990"
            assert array.attributes["TimeFault"] == fault
            assert shown(reading.driver, "TimeMessage") == [fault]
            (source,) = (item for item in DRIVER_ITEMS if item.pv == "TimeSource")
            severity = source.field.severities[source.field.choices.index("reception")]
            assert severity is Severity.MINOR

    run(work())


def test_a_time_before_the_configured_year_is_that_of_a_clock_not_set(tmp_path):
    async def work():
        async with Reading(earliest_year=2020) as reading:
            path = file(tmp_path, **{"DATE-OBS": "2019-12-31T23:59:59"})
            await reading.read(path, received=12.5)
            assert reading.published[-1].timestamp == 12.5
            assert "is before 2020" in reading.driver.time_fault

    run(work())


def test_files_are_read_in_their_order_and_numbered(tmp_path):
    async def work():
        async with Reading() as reading:
            paths = [file(tmp_path, f"{n}.fits", NUMBER=n) for n in range(5)]
            for path in paths[:-1]:
                reading.driver.submit(path)
            assert reading.driver.queued == 4
            await reading.read(paths[-1])
            found = [(a.unique_id, a.attributes["NUMBER"]) for a in reading.published]
            assert found == [(n + 1, n) for n in range(5)]
            assert reading.driver.queued == 0

    run(work())


def test_bad_file_is_told_by_the_cameras_name_and_the_next_is_read(tmp_path):
    bad = tmp_path / "00000017.part"
    bad.write_bytes(b"no image")

    async def work():
        async with Reading() as reading:
            await reading.read(bad, name="m31.fits")
            assert reading.driver.failed_files == 1
            assert reading.driver.last_name == "m31.fits"
            assert reading.driver.message.startswith("m31.fits: expected")
            await reading.read(tmp_path / "gone.fits")
            assert reading.driver.failed_files == 2
            await reading.read(file(tmp_path))
            assert reading.driver.message == ""
            assert [array.unique_id for array in reading.published] == [3]

    run(work())


_FRAME = stored(ramp())
_NOISE = random.Random(0).randbytes(200_000)


@pytest.mark.parametrize(
    ("name", "data", "claims"),
    [
        ("preview.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF", False),
        ("m31.fits.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF", False),
        ("test", b"test", False),
        ("night.log", b"2026-11-22 06:13:00 cooling to -15\r\n", False),
        ("night.log.gz", gzip.compress(b"cooling", mtime=0), False),
        ("night.log.bz2", bz2.compress(b"cooling")[:-3], False),
        ("manual.pdf", b"%PDF-1.7", False),
        ("frames.zip", b"PK\x03\x04", False),
        ("empty", b"", False),
        ("frame", _FRAME[:5000], True),
        ("frame", gzip.compress(_FRAME, mtime=0)[:-20], True),
        ("frame", bz2.compress(_FRAME + _NOISE, 1)[:-20], True),  # one block is whole
        ("frame", b"SIMPLE", True),
        ("frame", b"SIMPLE\t\t=\tT", True),
        ("empty.fits", b"", True),
        ("garbage.FIT", b"\xff\xd8\xff\xe0", True),
        ("zeros.fts", bytes(5760), True),
        ("garbage.fits.gz", b"garbage", True),
        ("frame.fits.zip", b"PK\x03\x04", True),
        ("frame.fz", b"", True),
    ],
)
@pytest.mark.parametrize("held", [False, True])
def test_only_a_file_that_claims_to_be_fits_is_a_failed_frame(
    tmp_path, caplog, name, data, claims, held
):
    caplog.set_level("INFO")
    path = tmp_path / "00000017"  # as in a spool
    path.write_bytes(data)

    async def work():
        async with Reading() as reading:
            await reading.read(path, name=name, memory=MemorySource(data) if held else None)
            driver = reading.driver
            assert (driver.failed_files, driver.other_files) == (claims, not claims)
            expected = [name, "unreadable file"] if claims else ["", "no file yet"]
            assert shown(driver, "FullFileName", "Status") == expected
            assert (driver.unique_id, driver.message != "") == (claims, claims)

    run(work())
    assert (f"CAM01: {name} is no frame: archived only" in caplog.text) is not claims


def test_a_file_that_is_no_frame_leaves_the_state_of_the_last_frame(tmp_path):
    async def work():
        async with Reading() as reading:
            await reading.read(file(tmp_path))
            (tmp_path / "test").write_bytes(b"test")
            await reading.read(tmp_path / "test")
            assert shown(reading.driver, "Status", "UniqueId", "OtherFiles") == ["ok", 1, 1]

    run(work())


def test_listeners_are_told_before_and_after_each_file_and_may_raise(tmp_path, caplog):
    async def work():
        async with Reading() as reading:
            driver = reading.driver
            told: list[tuple[bool, int]] = []
            driver.on_change.connect(_raise)
            driver.on_change.connect(lambda: told.append((driver.busy, driver.unique_id)))
            await reading.read(file(tmp_path))
            await reading.read(file(tmp_path))
            await asyncio.sleep(0)
            assert told == [(True, 0), (False, 1), (True, 1), (False, 2)]

    run(work())
    assert "IndexError" in caplog.text


def _raise() -> None:
    raise IndexError


def test_full_pool_delays_the_next_file_until_a_frame_is_given_back(tmp_path):
    async def work():
        async with Reading(budget=4096) as reading:
            await reading.read(file(tmp_path))
            waiting = asyncio.create_task(reading.read(file(tmp_path)))
            assert not (await asyncio.wait([waiting], timeout=0.1))[0]
            reading.published.clear()
            reading.driver.port.last = None
            await waiting
            assert reading.driver.array_counter == 2

    run(work())


def test_frames_memory_is_free_without_a_garbage_collection(tmp_path):
    async def work():
        async with Reading() as reading:
            for _ in range(3):
                await reading.read(file(tmp_path))
                reading.published.clear()
            figures = reading.pool.figures()
            assert (figures.buffers, figures.used_buffers) == (2, 1)

    gc.disable()
    try:
        run(work())
    finally:
        gc.enable()


def test_pool_that_stays_full_costs_the_file_only(tmp_path, monkeypatch):
    monkeypatch.setattr(driver_module, "POOL_TIMEOUT", 0.1)

    async def work():
        async with Reading(budget=4096) as reading:
            await reading.read(file(tmp_path))
            await reading.read(file(tmp_path))
            assert reading.driver.message == "a.fits: expected room in the frame pool, got none"
            reading.published.clear()
            reading.driver.port.last = None
            await reading.read(file(tmp_path))
            assert reading.driver.array_counter == 2

    run(work())


def test_frame_larger_than_the_pool_is_refused_at_once(tmp_path):
    async def work():
        async with Reading(budget=1000) as reading:
            await reading.read(file(tmp_path))
            assert reading.driver.failed_files == 1
            assert "a.fits: expected" in reading.driver.message

    run(work())


def test_stopped_driver_leaves_its_files_where_they_are(tmp_path):
    async def work():
        reading = Reading()
        path = file(tmp_path)
        reading.driver.submit(path)
        await reading.driver.stop()
        assert reading.published == []
        async with reading:
            reading.driver.submit(path)
            await reading.driver.stop()
        assert path.exists()

    run(work())


def test_loading_gives_its_memory_back_when_the_file_is_cut(tmp_path):
    path = file(tmp_path)
    path.write_bytes(path.read_bytes()[:3000])

    async def work():
        pool = Pool()
        loop = asyncio.get_running_loop()
        with pytest.raises(FrameError, match=r"a\.fits: expected"):
            await asyncio.to_thread(next, load_images(path, pool, loop, 0.0))
        figures = pool.figures()
        assert figures.buffers == figures.free_buffers

    run(work())


def test_busy_until_plugins_are_done_if_a_client_waits_for_them(tmp_path):
    async def work():
        async with Reading() as reading:
            kept: list[NDArray] = []

            def take(array: NDArray) -> None:  # as a plugin does
                array.origin.taken()
                kept.append(array.with_attributes({"MORE": 1}))

            reading.driver.port.listen(take)
            await reading.read(file(tmp_path))
            driver = reading.driver
            assert (driver.busy, driver.origin.queued) == (False, 1)
            driver.wait_for_plugins = True
            assert driver.busy
            idle = asyncio.Event()
            driver.on_change.connect(idle.set)
            kept.pop().origin.done()
            await idle.wait()
            assert not driver.busy

    run(work())


def test_file_waits_for_a_plugin_that_must_not_lose_any(tmp_path):
    async def work():
        async with Reading() as reading:
            queue = FrameQueue(1, Policy.BLOCK)

            def take(array: NDArray) -> None:
                queue.put(array)

            reading.driver.port.listen(take, queue)
            await reading.read(file(tmp_path))
            done = asyncio.Event()
            reading.driver.submit(file(tmp_path), done=done.set)
            await asyncio.sleep(0)
            assert len(reading.published) == 1
            queue.take()
            await done.wait()
            assert len(reading.published) == 2

    run(work())


def images(folder: Path, count: int, size: int = 20) -> Path:
    path = folder / "many.fits"
    units = [fits.ImageHDU(np.full((size, size), n, "u2"), name=f"IM{n}") for n in range(count)]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path)
    return path


def test_all_images_of_a_file_become_frames_in_order_with_numbers_of_their_own(tmp_path):
    async def work():
        async with Reading(hdu="all") as reading:
            finished: list[int] = []
            done = asyncio.Event()

            def finish() -> None:
                finished.append(len(reading.published))
                done.set()

            reading.driver.submit(images(tmp_path, 3), done=finish)
            await done.wait()
            await reading.read(file(tmp_path))
            found = [(a.unique_id, a.attributes.get("EXTNAME")) for a in reading.published]
            assert found == [(1, "IM0"), (2, "IM1"), (3, "IM2"), (4, None)]
            assert [int(a.pixels[0, 0]) for a in reading.published[:3]] == [0, 1, 2]
            assert (finished, reading.driver.array_counter) == ([3], 4)

    run(work())


def test_a_pool_smaller_than_all_images_of_a_file_serves_them_one_by_one(tmp_path):
    async def work():
        async with Reading(3 * 400 * 400 * 2, hdu="all") as reading:
            seen: list[int] = []
            reading.driver.port.listen(lambda array: seen.append(array.unique_id))
            reading.driver.port.listen(lambda array: reading.published.clear())
            await reading.read(images(tmp_path, 9, 400))
            assert seen == list(range(1, 10))

    run(work())


def test_which_image_of_several_is_read_is_logged_once(tmp_path, caplog):
    async def work():
        async with Reading() as reading:
            path = images(tmp_path, 2)
            with caplog.at_level("INFO"):
                await reading.read(path)
                await reading.read(path)
            assert [a.attributes["ImagesInFile"] for a in reading.published] == [2, 2]

    run(work())
    said = [record.message for record in caplog.records if "reads" in record.message]
    assert said == [
        "CAM01: many.fits: reads HDU 1 IM0 (20x20) of 2 images; not read: HDU 2 IM1 (20x20)"
    ]


def test_a_wrong_checksum_is_a_warning_or_a_failed_file(tmp_path, caplog):
    path = tmp_path / "sum.fits"
    fits.PrimaryHDU(ramp()).writeto(path, checksum=True)
    data = bytearray(path.read_bytes())
    data[3000] ^= 1
    path.write_bytes(data)

    async def work():
        async with Reading(checksum="warn") as reading:
            await reading.read(path)
            assert "wrong DATASUM of HDU 0" in str(reading.published[0].attributes["Checksum"])
        async with Reading(checksum="refuse") as reading:
            await reading.read(path)
            assert (reading.published, reading.driver.failed_files) == ([], 1)
            assert "sum.fits: expected right checksums, got a wrong DATASUM of HDU 0" in (
                reading.driver.message
            )

    run(work())
    assert "expected right checksums, got a wrong DATASUM" in caplog.text
