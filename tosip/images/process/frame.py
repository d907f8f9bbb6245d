"""A frame as the process sees it: in the IOC's memory, which it can only read."""

import math
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tosip.pipeline.ndarray import AttributeValue
from tosip.pipeline.protocol import PIXEL_TYPES, Message


@dataclass(frozen=True, eq=False)
class Frame:
    """The memory is mapped while somebody holds `pixels`; they have at least one dimension."""

    unique_id: int
    timestamp: float
    pixels: np.ndarray[Any, Any]
    color_mode: str
    attributes: Mapping[str, AttributeValue]

    @property
    def data_type(self) -> str:
        """areaDetector's name of the pixels' type."""
        return PIXEL_TYPES[self.pixels.dtype.name][0]


def read_frame(message: Message, descriptor: int) -> Frame:
    """Map what the IOC has sent and close the descriptor; OSError if it cannot be mapped.

    It is mapped anew each time, which takes a tenth of the time of a copy: so no memory is kept
    that the IOC has given up.
    """
    shape = message["shape"] or [1]  # clients know no array without dimensions
    kind = np.dtype(message["dtype"])
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
    try:
        size = math.prod(shape) * kind.itemsize
        memory = mmap.mmap(descriptor, size, flags=flags, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)
    return Frame(
        message["unique_id"],
        message["timestamp"],
        np.frombuffer(memory, kind).reshape(shape),
        message["color_mode"],
        message["attributes"],
    )
