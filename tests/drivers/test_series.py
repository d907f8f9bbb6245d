"""Drivers that obey areaDetector's acquisition controls."""

import asyncio

import numpy as np
import pytest

from tosip.drivers.kinds import DriverContext, find_kind
from tosip.drivers.patterns import PATTERNS
from tosip.drivers.series import ABORTED, IDLE, MULTIPLE, SINGLE, SeriesDriver
from tosip.drivers.simulated import SimulatedConfig, make
from tosip.errors import ConfigurationError
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Ports
from tosip.pipeline.protocol import PIXEL_TYPES


def run(work):
    asyncio.run(asyncio.wait_for(work, 30.0))


def camera(tmp_path, published: list[NDArray], **settings: object) -> SeriesDriver:
    given = {"width": 32, "height": 16, "period": 0.0, "acquire_time": 0.0, "acquire": False}
    config = SimulatedConfig.model_validate({"kind": "simulated"} | given | settings)
    driver = make("CAM1", config, DriverContext(Pool(50_000_000), Ports(), tmp_path))
    driver.port.listen(published.append)
    return driver


def test_a_series_of_so_many_images_ends_with_its_last(tmp_path):
    published: list[NDArray] = []

    async def work():
        driver = camera(tmp_path, published)
        driver.start()
        driver.image_mode, driver.num_images = MULTIPLE, 3
        await driver.acquire(True)
        assert (driver.num_images_counter, driver.array_counter) == (3, 3)
        assert (driver.acquiring, driver.state) == (False, IDLE)
        driver.image_mode = SINGLE
        await driver.acquire(True)
        assert (driver.num_images_counter, driver.array_counter) == (1, 4)
        await driver.stop()

    run(work())
    assert [array.unique_id for array in published] == [1, 2, 3, 4]


def test_an_endless_series_can_be_aborted(tmp_path):
    published: list[NDArray] = []

    async def work():
        driver = camera(tmp_path, published, acquire=True)
        driver.start()
        while not published:
            await asyncio.sleep(0)
        await driver.acquire(False)
        assert (driver.acquiring, driver.state) == (False, ABORTED)
        await driver.stop()

    run(work())


def test_exposures_begin_a_period_apart(tmp_path):
    published: list[NDArray] = []

    async def work():
        driver = camera(tmp_path, published, period=0.05, images=3)
        driver.start()
        await driver.acquire(True)
        await driver.stop()

    run(work())
    starts = [array.timestamp for array in published]
    assert np.all(np.diff(starts) > 0.045)


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
@pytest.mark.parametrize(
    "data_type",
    sorted(PIXEL_TYPES),
)
def test_patterns_fill_every_data_type_and_move(tmp_path, pattern, data_type):
    published: list[NDArray] = []

    async def work():
        driver = camera(tmp_path, published, pattern=pattern, data_type=data_type, images=2)
        driver.start()
        await driver.acquire(True)
        await driver.stop()

    run(work())
    first, second = (array.pixels for array in published)
    assert first.shape == (16, 32)
    assert first.dtype == data_type
    assert np.ptp(first) > 10
    assert not np.array_equal(first, second)


def test_a_colour_pattern_is_rgb1(tmp_path):
    published: list[NDArray] = []

    async def work():
        driver = camera(tmp_path, published, color=True, images=1)
        driver.start()
        await driver.acquire(True)
        await driver.stop()

    run(work())
    assert published[0].color_mode == "RGB1"
    assert published[0].sizes == (32, 16, 3)


def test_the_sky_comes_with_the_telescopes_attributes(tmp_path):
    published: list[NDArray] = []

    async def work():
        driver = make(
            "CAM1",
            SimulatedConfig(kind="simulated", pattern="sky", width=64, acquire_time=0.0, images=1),
            DriverContext(Pool(50_000_000), Ports(), tmp_path),
        )
        driver.port.listen(published.append)
        await driver.acquire(True)
        await driver.stop()

    run(work())
    assert published[0].attributes["FOCUSPOS"] == 8020  # the night begins with a focus run
    assert published[0].data_type == "UInt16"


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"folder, ftp, replay, simulated.*got 'film'"):
        find_kind("film")
