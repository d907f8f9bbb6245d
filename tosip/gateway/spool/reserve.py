"""Some space set aside, so that a full disk can be drained.

To let go of a delivered file the journal must first record that it is delivered, and on a full disk
it could not: uploads would have to be refused for ever. Nor could it be opened at a start.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from typing import TypeVar

from tosip.gateway.spool.disk import Disk, remove
from tosip.gateway.spool.layout import Layout

SIZE = 1 << 20
PLENTY = 16 * SIZE
# What SQLite takes at once: 32 KiB for its index, and some pages.
LITTLE = 64 << 10

T = TypeVar("T")


class Reserve:
    """The file that holds the space."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self._path, self._disk = layout.reserve, disk

    def fill(self) -> None:
        """Take the space, if it is not held and there is plenty; without it we go on as well."""
        with contextlib.suppress(OSError):
            if self._path.exists() or self._disk.free_space(self._path.parent) < PLENTY:
                return
            fd = self._disk.create(self._path)
            try:
                self._disk.allocate(fd, SIZE)
            except OSError:
                remove(self._disk, self._path)
            finally:
                self._disk.close(fd)

    def spend(self, work: Callable[[], T]) -> T:
        """Do what makes room in the end; if the disk is full, give up the space and try again."""
        try:
            return work()
        except OSError as error:
            if not self._path.exists() or not self.is_wanted(error):
                raise
        remove(self._disk, self._path)
        return work()

    def is_wanted(self, error: OSError) -> bool:
        """Tell whether an error comes from a full disk; SQLite may call that an I/O error."""
        return error.errno == errno.ENOSPC or (error.errno == errno.EIO and self._is_full())

    def yield_to_others(self) -> None:
        """Give up the space if there is none else: a command writes its request by itself."""
        with contextlib.suppress(OSError):
            if self._path.exists() and self._is_full():
                remove(self._disk, self._path)

    def _is_full(self) -> bool:
        with contextlib.suppress(OSError):
            return self._disk.free_space(self._path.parent) < LITTLE
        return False
