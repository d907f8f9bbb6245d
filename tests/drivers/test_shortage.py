"""A driver without descriptors, threads or memory: files wait, and are read when there is some."""

import asyncio
import contextlib
from pathlib import Path

import numpy as np
import pytest

from tests.drivers.fits_files import ramp, stored
from tests.drivers.test_driver import Reading, file, run
from tests.shortages import no_descriptors, no_file_space, no_threads
from tosip.drivers import driver as driver_module
from tosip.drivers.panel import DRIVER_ITEMS
from tosip.health import HEALTH


def status(reading: Reading) -> tuple[str, str]:
    items = {item.pv: item.read for item in DRIVER_ITEMS if item.read}
    return items["Status"](reading.driver), items["Message"](reading.driver)


async def until_waiting(reading: Reading) -> None:
    async with asyncio.timeout(10):
        while not reading.driver.fault:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("shortage", [no_descriptors, no_file_space, no_threads])
def test_file_waits_and_the_records_say_so_until_it_can_be_read(
    tmp_path: Path, shortage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(driver_module, "TRY_AGAIN", 1000 * (0.01,))
    path = file(tmp_path)

    async def work():
        async with Reading() as reading:
            driver = reading.driver
            with shortage():
                reading_it = asyncio.create_task(reading.read(path))
                await until_waiting(reading)
                said, why = status(reading)
                assert (said, str(why)[:13]) == ("not reading", "a.fits waits:")
                assert (driver.failed_files, driver.busy) == (0, True)
            await reading_it
            assert np.array_equal(reading.published[0].pixels, ramp())
            assert status(reading) == ("ok", "")

    run(work())


def test_file_that_waits_too_long_is_counted_and_the_next_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(driver_module, "TRY_AGAIN", (0.001, 0.001))
    path = file(tmp_path)

    async def work():
        async with Reading() as reading:
            with no_descriptors():
                await reading.read(path)
            assert "Too many open files" in reading.driver.message
            await reading.read(path)
            assert (reading.driver.failed_files, reading.driver.array_counter) == (1, 1)

    run(work())


def test_driver_stops_while_a_file_waits_which_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(driver_module, "TRY_AGAIN", 1000 * (0.01,))
    done: list[str] = []

    async def work():
        async with Reading() as reading:
            path = file(tmp_path)
            with no_descriptors():
                reading.driver.submit(path, done=lambda: done.append("done"))
                await until_waiting(reading)
                await reading.driver.stop()

    run(work())
    assert not done


def test_listener_of_the_port_that_raises_ends_no_driver(tmp_path: Path):
    async def work():
        async with Reading() as reading:
            reading.driver.port.listen(_raise)
            before = HEALTH.listener_faults
            for _ in range(2):
                await reading.read(file(tmp_path))
            assert len(reading.published) == 2
            assert HEALTH.listener_faults - before == 2
            assert not reading.driver.busy

    run(work())


def test_driver_that_dies_is_shown_started_again_and_stops(tmp_path: Path, caplog):
    async def work():
        async with Reading() as reading:
            driver = reading.driver
            with contextlib.suppress(AttributeError):
                driver.port.room = None  # type: ignore[assignment, method-assign]
            driver.submit(file(tmp_path))
            await until_waiting(reading)
            assert status(reading)[0] == "not reading"
            assert any("driver CAM01" in line for line in HEALTH.failing.values())
            del driver.port.room
            await reading.read(file(tmp_path))
            assert len(reading.published) == 1
        assert not HEALTH.failing

    run(work())
    assert "Traceback" in caplog.text


def test_integer_above_64_bits_in_a_header_is_kept_as_text(tmp_path: Path, caplog):
    """As in case 01: QSEQID of MegaCam, which every plugin and the image were lost for."""
    card = b"QSEQID  = 20050718150830131501234567890".ljust(80)
    text = stored(ramp(), header={"QSEQID": 1})
    (path := tmp_path / "big.fits").write_bytes(
        text.replace(text[(at := text.index(b"QSEQID")) : at + 80], card)
    )

    async def work():
        async with Reading() as reading:
            await reading.read(path)
            (array,) = reading.published
            assert array.attributes["QSEQID"] == "20050718150830131501234567890"
            assert "QSEQID" in array.changed_attributes
            items = {item.pv: item.read for item in DRIVER_ITEMS if item.read}
            said = items["NDAttributesMessage"](reading.driver)
            assert str(said).startswith("QSEQID: kept as text")

    run(work())
    assert "CAM01: attribute QSEQID" in caplog.text


def _raise(_: object) -> None:
    raise OSError(24, "Too many open files")
