"""The frame: areaDetector's NDArray, its pixels in shared memory."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tosip.names import UNDEFINED_PIXELS, UNDEFINED_VALUE
from tosip.pipeline.attributes import Attributes, carried
from tosip.pipeline.origin import Origin
from tosip.pipeline.pool import Lease
from tosip.pipeline.protocol import PIXEL_TYPES

AttributeValue = bool | int | float | str | np.ndarray[Any, Any]
"""What an attribute holds: an int fits into 64 bits, an array is 1-D, of numbers, read-only."""


def attribute_type(value: AttributeValue) -> str:
    """Return areaDetector's name of an attribute's type (NDAttrDataType_t without its NDAttr).

    Python's int is Int64, or UInt64 where only that holds it; float is Float64; bool is Int8. An
    array, which areaDetector does not have, has the name of its elements' type.
    """
    if isinstance(value, np.ndarray):
        return PIXEL_TYPES[value.dtype.name][0]
    if isinstance(value, bool):
        return "Int8"
    if isinstance(value, int):
        return "Int64" if value < 2**63 else "UInt64"
    return "Float64" if isinstance(value, float) else "String"


# Which of the dimensions, fastest first, are X, Y and Z.
_AXES = {"RGB1": (1, 2, 0), "RGB2": (0, 2, 1), "RGB3": (0, 1, 2)}


@dataclass(frozen=True, eq=False)
class NDArray:
    """One frame. Whoever holds it may read `pixels`; nobody may write them.

    `shape` is NumPy's (rows first), `dtype` NumPy's name, `timestamp` Unix seconds (UTC).
    `color_mode` is areaDetector's; colours are (rows, columns, 3) in RGB1, (rows, 3, columns) in
    RGB2, (3, rows, columns) in RGB3. Attributes that cannot be carried are changed or left out when
    it is made, whatever their source (see `tosip.pipeline.attributes`).
    """

    unique_id: int
    timestamp: float
    shape: tuple[int, ...]
    dtype: str
    lease: Lease
    attributes: Mapping[str, AttributeValue]
    color_mode: str = "Mono"
    origin: Origin = field(default_factory=Origin)

    def __post_init__(self) -> None:
        if type(self.attributes) is not Attributes:
            object.__setattr__(self, "attributes", carried(self.attributes))

    @property
    def changed_attributes(self) -> Mapping[str, str]:
        """Attributes that could not be carried as they were: what became of each, in words."""
        return self.attributes.changed if isinstance(self.attributes, Attributes) else {}

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
        return math.prod(self.shape) * PIXEL_TYPES[self.dtype][1]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """areaDetector's ArraySizeX, Y and Z: columns, rows, and what is left; 0 for none."""
        fastest_first = (*self.shape[::-1], 0, 0)
        if len(self.shape) < 3:
            return fastest_first[0], fastest_first[1], 0
        x, y, z = _AXES.get(self.color_mode, (0, 1, 2))
        return fastest_first[x], fastest_first[y], fastest_first[z]

    @property
    def bayer_pattern(self) -> int:
        """areaDetector's number of the colour mosaic's pattern (NDBayerPattern_t), 0 if unknown."""
        value = self.attributes.get("BayerPattern")
        return value if type(value) is int and 0 <= value <= 3 else 0

    def with_image(self, shape: tuple[int, ...], dtype: str, lease: Lease) -> "NDArray":
        """Return the frame with an image that an algorithm has made of it.

        An algorithm sees colours last, whatever the colour mode, and returns them so: RGB1. What is
        known about undefined pixels belongs to the image that was.
        """
        mode = self.color_mode
        if mode in _AXES or len(shape) != len(self.shape):
            mode = "RGB1" if len(shape) == 3 and shape[2] == 3 else "Mono"
        attributes = self.attributes
        if UNDEFINED_PIXELS in attributes:
            undefined = (UNDEFINED_PIXELS, UNDEFINED_VALUE)
            attributes = {k: v for k, v in attributes.items() if k not in undefined}
        return replace(
            self, shape=shape, dtype=dtype, lease=lease, color_mode=mode, attributes=attributes
        )

    def with_attributes(self, attributes: Mapping[str, AttributeValue]) -> "NDArray":
        """Return the same frame, same memory, with `attributes` added or changed, as carried."""
        return NDArray(  # dataclasses.replace takes three times as long
            self.unique_id,
            self.timestamp,
            self.shape,
            self.dtype,
            self.lease,
            carried(attributes, self.attributes),
            self.color_mode,
            self.origin,
        )
