"""The worker's side of the shared memory: inputs mapped read-only, output images made here.

An input's buffer is mapped when its descriptor first arrives and stays mapped, so that a frame
costs no system call however large it is. The descriptor was opened read-only: a stray write ends
in this process, not in the frame.

An output image's buffer is a memfd that stays mapped too, and is used again when the IOC says that
nobody reads it any more: fresh memory costs several copies' time, for the kernel clears it page by
page. Who uses a buffer:

    the algorithm   it asked for the buffer, and some array of it is alive
    the IOC         the buffer was sent with a result, and has not been given back
    nobody          it is spare

An image that the algorithm lets go of when it returns it changes hands as it is. One that it keeps,
and so could write to while others read it, is copied; its buffer is spare when the last array of it
is gone.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import operator
import os
import sys
import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tosip.errors import ProtocolError
from tosip.pipeline import protocol, socketpair

MOST_UNKNOWN = 4
"""Spare buffers that the worker keeps and the IOC has never seen."""
LONGEST_UNUSED = 32
"""Frames for which it keeps them."""
MOST_KEPT = 64
"""Buffers, each with descriptors, that the algorithm keeps and the worker hopes to use again."""

_LARGEST = 1 << 40
_COUNTS_REFERENCES = hasattr(sys, "getrefcount")  # PyPy does not
_MOST_GARBAGE = 128 * 1024 * 1024
_MOST_MAPPINGS = 128
_MOST_TAKEN = 256 * 1024 * 1024
_NAMES = {np.dtype(name): name for name in protocol.PIXEL_TYPES}
_HINTS = {
    "bool": ".astype(np.uint8)",
    "float16": ".astype(np.float32)",
    "float128": ".astype(np.float64)",
    "complex64": "np.abs(...) or .real",
    "complex128": "np.abs(...) or .real",
}


class _Garbage:
    """Mappings that nobody holds any more, which PyPy keeps until it collects garbage.

    It knows neither how large a mapping is nor that each takes a descriptor, and would collect long
    after memory or descriptors have run out. CPython unmaps at once.
    """

    def __init__(self) -> None:
        self._bytes = 0

    def expect(self, size: int) -> None:
        """Count a mapping that will become garbage."""
        self._bytes += max(size, _MOST_GARBAGE // _MOST_MAPPINGS)

    def collect(self) -> None:
        """Collect what there is, if it has become much."""
        if self._bytes >= _MOST_GARBAGE and not _COUNTS_REFERENCES:
            self._bytes = 0
            _collect()


def _collect() -> None:
    # PyPy: the array, then the buffer that it held, then the mapping.
    for _ in range(1 if _COUNTS_REFERENCES else 3):
        gc.collect()


class InputBuffers:
    """The frame buffers that the IOC has shown to this worker."""

    def __init__(self) -> None:
        self._garbage = _Garbage()
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
            if number in self._maps:
                self._garbage.expect(len(self._maps.pop(number)))
        self._garbage.collect()

    def view(self, number: int, shape: Sequence[int], dtype: str) -> np.ndarray[Any, Any]:
        """Return the pixels in buffer `number`, read-only."""
        if number not in self._maps:
            raise ProtocolError(f"frame.buffer: expected a known buffer, got {number}")
        buffer = self._maps[number]
        count = protocol.check_layout(shape, dtype, len(buffer)) // np.dtype(dtype).itemsize
        return np.frombuffer(buffer, dtype, count).reshape(tuple(shape))


class Offered(NamedTuple):
    """An image that is to be handed over: its buffer and its layout, but no array of it."""

    buffer: _Buffer
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class OutputImages:
    """Shared memory for the images that the algorithm returns.

    A frame's way through it::

        images.give_back(spare)
        ...                                    # the algorithm may call images.allocate
        offered = images.offer(given, returned)
        del returned                           # and whatever else the algorithm has returned
        descriptors, layout = images.hand_over(offered)
        ...                                    # the result is sent
        images.sent()
        images.end_frame()
    """

    def __init__(self) -> None:
        self._buffers: dict[int, _Buffer] = {}
        self._last_number = 0
        self._unsent: list[_Buffer] = []
        self._frames = 0
        self._garbage = _Garbage()
        self._taken = 0
        self._patience = _MOST_TAKEN
        # Threads of the algorithm may ask for images, and so may what a collection of garbage runs.
        self._lock = threading.RLock()

    def allocate(self, shape: Iterable[int], dtype: Any) -> np.ndarray[Any, Any]:
        """Make an array whose memory can be handed to the IOC without a copy."""
        sizes = tuple(map(operator.index, shape))
        kind = np.dtype(dtype).newbyteorder("=")
        with self._lock:
            return self._take(_check(sizes, kind)).array_for_algorithm(sizes, kind)

    def give_back(self, numbers: Iterable[int]) -> None:
        """Take back buffers that nobody behind the IOC reads any more."""
        for number in numbers:
            if number in self._buffers:
                self._buffers[number].lent = False

    def forget(self, numbers: Iterable[int]) -> None:
        """Give up memory that the IOC has given up, unless the algorithm has it."""
        with self._lock:
            for number in numbers:
                buffer = self._buffers.get(number)
                if buffer is not None:
                    buffer.known = buffer.lent = False
                    if not buffer.kept:
                        self._close(buffer)

    def offer(self, given: np.ndarray[Any, Any], returned: Any) -> Offered | None:
        """Find shared memory that holds the image `returned`, or copy it there.

        None if the frame's own image, `given`, is to go on.
        """
        if returned is None or returned is given:
            return None
        if isinstance(returned, np.ma.MaskedArray):
            raise ProtocolError(
                "image: expected an array without a mask, got a masked array: use .filled(0)"
            )
        image = np.asarray(returned)
        if _is_same(image, given):
            return None
        kind = image.dtype.newbyteorder("=")
        size = _check_image(image.shape, kind)
        with self._lock:
            buffer = self._buffer_of(image) or self._copy(image, kind, size)
        return Offered(buffer, image.shape, kind)

    def hand_over(self, offered: Offered | None) -> tuple[list[int], dict[str, Any] | None]:
        """Return what to send: the descriptors (none or one) and the layout.

        To be called when nothing of ours refers to what the algorithm has returned. If its memory
        is in use nevertheless, the algorithm keeps it, and the image is copied.
        """
        if offered is None:
            return [], None
        buffer, shape, kind = offered
        with self._lock:
            if buffer.kept:
                image = buffer.array(shape, kind)
                buffer = self._copy(image, kind, image.nbytes)
            elif not buffer.lent:
                self._lend(buffer)
        layout = {"number": buffer.number, "shape": list(shape), "dtype": _NAMES[kind]}
        return [buffer.descriptor], layout

    def sent(self) -> None:
        """Note that the IOC has got what was handed over."""
        for buffer in self._unsent:
            buffer.known = True
        self._unsent.clear()

    def end_frame(self) -> None:
        """Tidy up; called after every frame, sent or failed."""
        with self._lock:
            for buffer in self._unsent:
                buffer.lent = False
            self._unsent.clear()
            self._frames += 1
            if self._buffers:
                self._trim()
            self._garbage.collect()

    def _take(self, size: int) -> _Buffer:
        buffer = self._find_spare(size)
        if buffer is None and self._collect_garbage():
            buffer = self._find_spare(size)
        if buffer is None:
            self._last_number += 1
            buffer = _Buffer(self._last_number, size)
            self._buffers[buffer.number] = buffer
        buffer.used = self._frames
        self._taken += buffer.weight
        return buffer

    def _find_spare(self, size: int) -> _Buffer | None:
        most = 2 * max(size, mmap.PAGESIZE)
        fitting = [b for b in self._buffers.values() if size <= b.size <= most and b.spare]
        return min(fitting, key=lambda b: b.size, default=None)

    def _copy(self, image: np.ndarray[Any, Any], kind: np.dtype[Any], size: int) -> _Buffer:
        buffer = self._take(size)
        np.copyto(buffer.array(image.shape, kind), image)
        self._lend(buffer)
        return buffer

    def _lend(self, buffer: _Buffer) -> None:
        buffer.lent = True
        self._unsent.append(buffer)

    def _buffer_of(self, image: np.ndarray[Any, Any]) -> _Buffer | None:
        # By address, for an array may have been to another library and back.
        address = image.__array_interface__["data"][0]
        if image.flags.c_contiguous and image.dtype.isnative:
            for buffer in self._buffers.values():
                if buffer.address == address and buffer.kept and image.nbytes <= buffer.size:
                    return buffer
        return None

    def _collect_garbage(self) -> bool:
        """Look, now and then, whether what seems to be kept is garbage that waits for a collection.

        It takes milliseconds, so it comes after much memory was taken: much more than it has left.
        """
        kept = [b for b in self._buffers.values() if b.kept]
        if self._taken < self._patience or not kept:
            return False
        _collect()
        self._taken = 0
        self._patience = max(_MOST_TAKEN, sum(b.weight for b in kept if b.kept))
        return True

    def _trim(self) -> None:
        buffers = sorted(self._buffers.values(), key=lambda b: b.used)
        unknown = [b for b in buffers if b.spare and not b.known]
        for place, buffer in enumerate(reversed(unknown)):
            if place >= MOST_UNKNOWN or self._frames - buffer.used > LONGEST_UNUSED:
                self._close(buffer)
        kept = [b for b in buffers if b.kept]
        for buffer in kept[:-MOST_KEPT]:
            self._close(buffer)  # the arrays of it stay

    def _close(self, buffer: _Buffer) -> None:
        del self._buffers[buffer.number]
        buffer.close()
        self._garbage.expect(buffer.size)


class _Buffer:
    """One piece of shared memory of whole pages.

    `lent`: the IOC has it. `known`: the IOC has seen it, and decides when it is given up. `used`:
    number of the frame that last took it.
    """

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self.weight = max(self.size, _MOST_TAKEN // MOST_KEPT)  # small ones use up descriptors
        self.lent = False
        self.known = False
        self.used = 0
        self._base: weakref.ref[np.ndarray[Any, Any]] | None = None
        self.descriptor = socketpair.memfd("tosip-image")
        try:
            os.ftruncate(self.descriptor, self.size)
            self._memory = mmap.mmap(self.descriptor, self.size)
        except BaseException:
            os.close(self.descriptor)
            raise
        first = np.frombuffer(self._memory, np.uint8, 1)
        self.address: int = first.__array_interface__["data"][0]

    @property
    def kept(self) -> bool:
        """Whether the algorithm has an array of it."""
        return self._base is not None and self._base() is not None

    @property
    def spare(self) -> bool:
        """Whether nobody uses it."""
        return not self.lent and not self.kept

    def array(self, shape: tuple[int, ...], kind: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """Return the memory as an array, for this module alone."""
        return self._flat(shape, kind).reshape(shape)

    def array_for_algorithm(
        self, shape: tuple[int, ...], kind: np.dtype[Any]
    ) -> np.ndarray[Any, Any]:
        """Return the memory as an array; `kept` tells from now on whether some view is alive.

        NumPy lets every view refer to the array that the first one was made of.
        """
        base = self._flat(shape, kind)
        self._base = weakref.ref(base)
        return base.reshape(shape)

    def _flat(self, shape: tuple[int, ...], kind: np.dtype[Any]) -> np.ndarray[Any, Any]:
        count = 1
        for n in shape:
            count *= n
        return np.frombuffer(self._memory, kind, count)

    def close(self) -> None:
        """Close the descriptor; the memory goes when the last array of it does."""
        os.close(self.descriptor)
        if not self.kept:
            with contextlib.suppress(BufferError):  # or PyPy would unmap it much later
                self._memory.close()


def _check(shape: tuple[int, ...], kind: np.dtype[Any]) -> int:
    return protocol.check_layout(list(shape), _NAMES.get(kind) or kind.name, _LARGEST)


def _check_image(shape: tuple[int, ...], kind: np.dtype[Any]) -> int:
    try:
        return _check(shape, kind)
    except ProtocolError as error:
        if kind.name not in _HINTS:
            raise
        raise ProtocolError(f"{error}: use {_HINTS[kind.name]}") from None


def _is_same(image: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> bool:
    one, other = image.__array_interface__, given.__array_interface__
    return (
        one["data"][0] == other["data"][0]
        and (image.shape, image.strides) == (given.shape, given.strides)
        and image.dtype == given.dtype
    )
