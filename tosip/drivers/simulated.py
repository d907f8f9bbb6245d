"""The kind `simulated`: a camera that draws its own frames, test patterns or a sky of stars."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from tosip.drivers.kinds import DriverConfig, DriverContext, DriverKind
from tosip.drivers.patterns import PATTERNS, Pixels
from tosip.drivers.series import CONTINUOUS, MULTIPLE, SINGLE, SeriesDriver
from tosip.drivers.series_panel import SERIES_ITEMS
from tosip.drivers.sky_night import Camera, Night
from tosip.pipeline.ndarray import AttributeValue, NDArray
from tosip.pipeline.pool import Pool
from tosip.tasks import in_thread

_DATA_TYPES = Literal[
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"
]


class SimulatedConfig(DriverConfig):
    """A simulated camera. `pattern` "sky" draws stars in uint16; the others fill any data type.

    `width` and `height` in pixels; `acquire_time` and `period` in seconds. The sky is square, of
    `width`, that of camera number `camera` under the night that `seed` chooses.
    """

    pattern: Literal["ramp", "peaks", "noise", "beam", "sky"] = "peaks"
    width: int = Field(1024, ge=1, le=65536)
    height: int = Field(1024, ge=1, le=65536)
    data_type: _DATA_TYPES = "uint16"
    color: bool = False
    acquire: bool = True
    acquire_time: float = Field(0.1, ge=0)
    period: float = Field(1.0, ge=0)
    images: int = Field(0, ge=0)
    seed: int = Field(1, ge=0)
    camera: int = Field(1, ge=1, le=99)

    @model_validator(mode="after")
    def _sky_is_a_camera(self) -> SimulatedConfig:
        given = self.model_fields_set & {"height", "data_type", "color"}
        if self.pattern == "sky" and given:
            raise ValueError(f"expected no {' or '.join(sorted(given))} for the pattern 'sky'")
        if self.pattern != "sky" and self.model_fields_set & {"camera"}:
            raise ValueError("expected a camera only for the pattern 'sky'")
        return self


class PatternExposures:
    """Frames of a test pattern; see `Exposures`."""

    def __init__(self, config: SimulatedConfig, pool: Pool) -> None:
        self._pattern = PATTERNS[config.pattern]
        self._pool = pool
        self._dtype = np.dtype(config.data_type)
        self._shape = (config.height, config.width, *((3,) if config.color else ()))
        self._color_mode = "RGB1" if config.color else "Mono"
        self._attributes: dict[str, AttributeValue] = {"Pattern": config.pattern}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._shape[0], self._shape[1]

    async def take(self, unique_id: int, timestamp: float) -> NDArray:
        """Draw the next frame, in a thread."""
        lease = await self._pool.allocate_when_free(
            int(np.prod(self._shape)) * self._dtype.itemsize
        )
        pixels = lease.view(self._shape, self._dtype)
        await in_thread(self._pattern, pixels, unique_id)
        return NDArray(
            unique_id,
            timestamp,
            self._shape,
            self._dtype.name,
            lease,
            self._attributes,
            self._color_mode,
        )


class SkyExposures:
    """Frames of a night sky, with the attributes that a telescope's FITS header has."""

    def __init__(self, config: SimulatedConfig, pool: Pool) -> None:
        self._camera = Camera(config.camera, config.width, config.seed, Night(config.seed))
        self._pool = pool

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._camera.size, self._camera.size

    async def take(self, unique_id: int, timestamp: float) -> NDArray:
        """Draw exposure `unique_id` of the night, in a thread."""
        frame: Pixels = await in_thread(self._camera.frame, unique_id)
        lease = await self._pool.allocate_when_free(frame.nbytes)
        np.copyto(lease.view(frame.shape, frame.dtype), frame)
        attributes: dict[str, Any] = self._camera.keywords(unique_id)
        return NDArray(unique_id, timestamp, frame.shape, frame.dtype.name, lease, attributes)


def make(name: str, config: SimulatedConfig, context: DriverContext) -> SeriesDriver:
    """Make a simulated camera."""
    exposures = (SkyExposures if config.pattern == "sky" else PatternExposures)(
        config, context.pool
    )
    driver = SeriesDriver(name, context.pool, context.ports, exposures, autostart=config.acquire)
    driver.acquire_time = config.acquire_time
    driver.acquire_period = config.period
    modes = {0: CONTINUOUS, 1: SINGLE}
    driver.image_mode = modes.get(config.images, MULTIPLE)
    driver.num_images = max(1, config.images)
    return driver


KIND = DriverKind(SimulatedConfig, make, SERIES_ITEMS, "camera", "Camera", "Simulated camera")
