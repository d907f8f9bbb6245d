"""The kind `replay`: stored FITS files as a live source, at a rate, once or in a loop."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from tosip.configuration import FilePath
from tosip.drivers.driver import Loaded, load_images
from tosip.drivers.fits_config import FitsConfig
from tosip.drivers.fits_options import FitsOptions
from tosip.drivers.folder import PATTERNS
from tosip.drivers.folder_watch import Watched
from tosip.drivers.kinds import DriverConfig, DriverContext, DriverKind
from tosip.drivers.series import CONTINUOUS, NoMoreFrames, SeriesDriver
from tosip.drivers.series_panel import SERIES_ITEMS
from tosip.errors import ConfigurationError
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool
from tosip.tasks import in_thread


class ReplayConfig(DriverConfig, FitsConfig):
    """FITS files, or folders of them (sorted by name), one every `period` seconds."""

    images: tuple[FilePath, ...] = Field(min_length=1)
    period: float = Field(1.0, ge=0)
    loop: bool = False
    acquire: bool = True


class StoredExposures:
    """The images of a list of files; see `Exposures`. The time stamps are those of the files."""

    def __init__(self, files: list[Path], pool: Pool, options: FitsOptions, *, loop: bool) -> None:
        self.shape = (0, 0)
        self._files: Iterator[Path] = itertools.cycle(files) if loop else iter(files)
        self._pool = pool
        self._options = options
        self._images: Iterator[Loaded] = iter(())

    async def take(self, unique_id: int, timestamp: float) -> NDArray:
        """Read the next image, in a thread."""
        loaded = await in_thread(next, self._images, None)
        while loaded is None:
            path = next(self._files, None)
            if path is None:
                raise NoMoreFrames
            loop = asyncio.get_running_loop()
            self._images = load_images(path, self._pool, loop, timestamp, options=self._options)
            loaded = await in_thread(next, self._images, None)
        columns, rows, _ = loaded.array.sizes
        self.shape = (rows, columns)
        return replace(loaded.array, unique_id=unique_id)


def make(name: str, config: ReplayConfig, context: DriverContext) -> SeriesDriver:
    """Make the driver; ConfigurationError names images that are not there."""
    exposures = StoredExposures(
        _files(name, config), context.pool, config.options, loop=config.loop
    )
    driver = SeriesDriver(name, context.pool, context.ports, exposures, autostart=config.acquire)
    driver.image_mode = CONTINUOUS
    driver.acquire_time = 0.0
    driver.acquire_period = config.period
    return driver


def _files(name: str, config: ReplayConfig) -> list[Path]:
    files: list[Path] = []
    for path in config.images:
        if path.is_dir():
            scan = Watched(path, PATTERNS, False, 0.0, 0.0, "").scan()
            files += sorted(path / Path(file.decode(errors="surrogateescape")) for file in scan)
        elif path.is_file():
            files.append(path)
        else:
            raise ConfigurationError(f"drivers.{name}.images: expected a file, got none at {path}")
    if not files:
        raise ConfigurationError(f"drivers.{name}.images: expected FITS files, got empty folders")
    return files


def check(name: str, config: ReplayConfig) -> None:
    """Raise ConfigurationError if an image is not there."""
    _files(name, config)


KIND = DriverKind(ReplayConfig, make, SERIES_ITEMS, "camera", "Camera", "Stored images", check)
