"""An upload on its way: an open file in the spool that nobody else knows of."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tosip.errors import TosipError
from tosip.gateway.spool.disk import Disk, write_all
from tosip.gateway.spool.stored import StoredFile

BLOCK = 1 << 20
WRITE_BEHIND = 2 << 20


class NoPartialError(TosipError):
    """An upload cannot be resumed as asked; the message names what there is to resume."""


@dataclass(frozen=True)
class Description:
    """What the receiver knows about an upload; `size` and `digest` are of the bytes written.

    `proven` and `camera` as in `StoredFile`; `held`: its name is a temporary one.
    """

    name: str
    user: str
    size: int
    digest: str
    proven: bool
    camera: str = ""
    held: bool = False

    def stored(self, path: Path, received: float) -> StoredFile:
        """Return the committed file that this describes; its copy at `path` is named by its id."""
        return StoredFile(
            id=path.name,
            name=self.name,
            user=self.user,
            path=path,
            size=self.size,
            digest=self.digest,
            received=received,
            proven=self.proven,
            camera=self.camera,
        )


class Partial:
    """A file that is appended to, by one thread at a time; `size` is how many bytes it has."""

    def __init__(self, disk: Disk, path: Path, fd: int, size: int = 0) -> None:
        self.id = path.name
        self.path = path
        self.fd = fd
        self.size = size
        self._disk = disk
        self._begun = size

    def write(self, block: memoryview | bytes | bytearray) -> None:
        """Append all of a block, or raise OSError; then the partial is of no use any more."""
        self._check_open()
        view = memoryview(block).cast("B")
        write_all(self._disk, self.fd, view, self.size)
        self.size += len(view)
        # A sync at the end of a file that the disk has not begun with would take long.
        if self.size - self._begun >= WRITE_BEHIND:
            self._disk.start_writing(self.fd, self._begun, self.size - self._begun)
            self._begun = self.size

    def blocks(self) -> Iterator[memoryview]:
        """Read back what is there; each block is valid until the next one."""
        buffer = memoryview(bytearray(min(BLOCK, max(self.size, 1))))
        offset = 0
        while offset < self.size and (count := self._disk.read_into(self.fd, buffer, offset)):
            yield buffer[:count]
            offset += count

    def sync(self) -> None:
        """Return when all that was written is on the disk."""
        self._check_open()
        self._disk.sync(self.fd)

    def _check_open(self) -> None:
        if self.fd < 0:
            raise OSError(errno.EBADF, "expected an upload on its way, got one that has ended")

    def close(self) -> None:
        """Give the descriptor back; may be repeated."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            # What close may complain about, `sync` has said before, or nobody wants to know.
            with contextlib.suppress(OSError):
                self._disk.close(fd)
