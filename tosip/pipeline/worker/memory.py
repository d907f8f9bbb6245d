"""The worker's side of the shared memory: inputs mapped read-only, output images made here.

An input's buffer is mapped when its descriptor first arrives and stays mapped, so that a frame
costs no system call however large it is. The descriptor was opened read-only: a stray write ends
in this process, not in the frame.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tosip.errors import ProtocolError
from tosip.pipeline import protocol, socketpair


class InputBuffers:
    """The frame buffers that the IOC has shown to this worker."""

    def __init__(self) -> None:
        self._maps: dict[int, mmap.mmap] = {}

    def add(self, number: int, descriptor: int) -> None:
        """Map a new buffer; the descriptor is closed."""
        try:
            size = os.fstat(descriptor).st_size
            self._maps[number] = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)

    def forget(self, numbers: Sequence[int]) -> None:
        """Give up buffers that the IOC has dropped. What the algorithm still holds stays mapped."""
        for number in numbers:
            self._maps.pop(number, None)

    def view(self, number: int, shape: Sequence[int], dtype: str) -> np.ndarray[Any, Any]:
        """Return the pixels in buffer `number`, read-only."""
        if number not in self._maps:
            raise ProtocolError(f"frame.buffer: expected a known buffer, got {number}")
        buffer = self._maps[number]
        count = protocol.check_layout(shape, dtype, len(buffer)) // np.dtype(dtype).itemsize
        return np.frombuffer(buffer, dtype, count).reshape(tuple(shape))


class OutputImages:
    """Shared memory for the images that the algorithm returns."""

    def __init__(self) -> None:
        self._asked: list[tuple[np.ndarray[Any, Any], int]] = []

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
        """Make an array whose memory can be handed to the IOC without a copy."""
        kind = np.dtype(dtype).newbyteorder("=")
        size = protocol.check_layout(list(shape), kind.name, 1 << 40)
        descriptor = socketpair.memfd("tosip-image")
        try:
            os.ftruncate(descriptor, size)
            array = np.frombuffer(mmap.mmap(descriptor, size), kind).reshape(shape)
        except BaseException:
            os.close(descriptor)
            raise
        self._asked.append((array, descriptor))
        return array

    def take(self, image: np.ndarray[Any, Any]) -> int:
        """Return a descriptor of shared memory that holds `image`, copying it only if it must."""
        descriptor = self._find(image)
        if descriptor is None:
            copy = self.allocate(image.shape, image.dtype)
            np.copyto(copy, image)
            descriptor = self._find(copy)
        if descriptor is None:
            raise ProtocolError("image: expected memory that was just allocated")
        return os.dup(descriptor)

    def clear(self) -> None:
        """Close the descriptors of the frame that is done; called after every frame."""
        for _, descriptor in self._asked:
            os.close(descriptor)
        self._asked.clear()

    def _find(self, image: np.ndarray[Any, Any]) -> int | None:
        for array, descriptor in self._asked:
            if array is image:
                return descriptor
        return None
