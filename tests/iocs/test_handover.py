"""A frame's way through the IOC: decoded from memory, and its copy goes when all are done."""

from __future__ import annotations

import asyncio
import ftplib
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tosip.drivers.driver import FitsDriver
from tosip.drivers.fits_source import MemorySource
from tosip.iocs.gateway_config import UploadsConfig
from tosip.iocs.ioc_file import IocFile
from tosip.iocs.neosted_config import CameraConfig, NeostedConfig, neosted_ioc
from tosip.iocs.system import running
from tosip.iocs.uploads import Uploads
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Ports
from tosip.testing.stars import star_frame

PATIENCE = 30.0
ONE_CAMERA = IocFile(
    neosted_ioc(
        NeostedConfig(
            cameras=(CameraConfig(number=1, user="cam01"),),
            gateway=UploadsConfig.model_validate(
                {"port": 0, "limits": {"least_free_gib": 0.001}, "camera": {"by": "folder"}}
            ),
        )
    )
)


async def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def upload(uploads: Uploads, name: str, data: bytes) -> None:
    def store() -> None:
        with ftplib.FTP(timeout=PATIENCE) as ftp:
            ftp.connect("127.0.0.1", uploads.gateway.port)
            ftp.login("cam01", uploads.passwords["cam01"])
            ftp.storbinary(f"STOR {name}", io.BytesIO(data))

    await asyncio.to_thread(store)


def copies(var: Path) -> list[Path]:
    return [path for path in (var / "spool" / "files").iterdir() if not path.suffix]


def test_a_driver_decodes_from_memory_what_has_no_file(tmp_path):
    frame = star_frame()
    published: list[NDArray] = []

    async def work():
        driver = FitsDriver("CAM01", Pool(10_000_000), Ports())
        driver.port.listen(published.append)
        driver.start()
        done = asyncio.Event()
        driver.submit(tmp_path / "gone", memory=MemorySource(frame.fits()), done=done.set)
        await done.wait()
        await driver.stop()
        assert driver.failed_files == 0

    asyncio.run(asyncio.wait_for(work(), PATIENCE))
    assert np.array_equal(published[0].pixels, frame.pixels)


def test_the_system_decodes_from_memory_though_the_copy_is_away(tmp_path):
    frame = star_frame()

    async def work():
        async with running(ONE_CAMERA, tmp_path, simulate=True) as system:
            driver, focus = system.drivers["CAM01"], system.plugins["FOCUS01"]
            uploads = system.uploads
            assert uploads
            assert isinstance(driver, FitsDriver)
            await uploads.gateway.start()
            uploads.gateway.pause(True)
            await upload(uploads, "cam01/x.fits", frame.fits())
            await until(lambda: driver.queued)
            (copy,) = copies(tmp_path)
            away = copy.rename(tmp_path / "away")
            system.serving()
            await until(lambda: focus.last_outcome or driver.failed_files)
            assert focus.last_outcome, driver.message
            assert np.array_equal(focus.last_outcome.array.pixels, frame.pixels)
            away.rename(copy)

    asyncio.run(work())


def test_what_the_pipeline_and_the_archive_have_is_let_go(tmp_path):
    names = ("cam01/x.fits", "nobody/y.fits")

    async def work():
        async with running(ONE_CAMERA, tmp_path, simulate=True) as system:
            uploads, driver = system.uploads, system.drivers["CAM01"]
            assert uploads
            assert isinstance(driver, FitsDriver)
            await uploads.gateway.start()
            system.serving()
            for name in names:
                await upload(uploads, name, star_frame().fits())
            await until(lambda: uploads.gateway.counters.delivered == len(names))
            await until(lambda: not copies(tmp_path))
            assert driver.array_counter == 1

    asyncio.run(work())
