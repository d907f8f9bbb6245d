"""The frame: areaDetector's NDArray, its pixels in shared memory."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tosip.pipeline.pool import Lease
from tosip.pipeline.protocol import PIXEL_TYPES

AttributeValue = bool | int | float | str


@dataclass(frozen=True, eq=False)
class NDArray:
    """One frame. Whoever holds it may read `pixels`; nobody may write them.

    `shape` is NumPy's (rows first), `dtype` NumPy's name, `timestamp` Unix seconds (UTC).
    """

    unique_id: int
    timestamp: float
    shape: tuple[int, ...]
    dtype: str
    lease: Lease
    attributes: Mapping[str, AttributeValue]
    color_mode: str = "Mono"

    @property
    def pixels(self) -> np.ndarray[Any, Any]:
        """The pixels, read-only; valid while this NDArray is held."""
        return self.lease.reading_view(self.shape, self.dtype)

    @property
    def data_type(self) -> str:
        """areaDetector's name of the pixels' type."""
        return PIXEL_TYPES[self.dtype][0]

    @property
    def size(self) -> int:
        """Bytes of the pixels."""
        return int(np.prod(self.shape)) * PIXEL_TYPES[self.dtype][1]

    def with_attributes(self, attributes: Mapping[str, AttributeValue]) -> "NDArray":
        """Return the same frame, same memory, with `attributes` added or changed."""
        return replace(self, attributes={**self.attributes, **attributes})
