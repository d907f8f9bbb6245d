"""What an algorithm has saved, in sealed memory that the IOC passes on without reading it."""

import fcntl
import os
import stat
import weakref

from tosip.errors import ProtocolError
from tosip.pipeline import socketpair

LARGEST = 2048  # MiB, where the configuration sets no limit for the worker's memory


class State:
    """`size` bytes of sealed memory behind `descriptor`, which is closed with the last reference.

    `seconds` is how long the algorithm took to save it.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        self.seconds = 0.0
        weakref.finalize(self, os.close, descriptor)


def received(descriptors: list[int], size: int, most_mib: int | None) -> State | None:
    """Take the memory that a worker has sent beside `saved`; None if it has saved nothing.

    ProtocolError unless it is sealed memory of `size` bytes, or if it is more than `most_mib`.
    """
    if not size and not descriptors:
        return None
    if len(descriptors) != 1:
        raise ProtocolError(f"saved: expected one descriptor, got {len(descriptors)}")
    most = (most_mib or LARGEST) * 1024**2
    if not 0 < size <= most:
        raise ProtocolError(f"saved: expected at most {most} bytes, got {size}")
    try:
        seals = fcntl.fcntl(descriptors[0], socketpair.F_GET_SEALS)
    except OSError:
        seals = 0
    given = os.fstat(descriptors[0])
    if seals & socketpair.SEALS != socketpair.SEALS or not stat.S_ISREG(given.st_mode):
        raise ProtocolError("saved: expected sealed memory, got something else")
    if given.st_size != size:
        raise ProtocolError(f"saved: expected {size} bytes, got {given.st_size}")
    return State(descriptors.pop(), size)
