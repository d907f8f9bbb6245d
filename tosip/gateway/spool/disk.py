"""The boundary to the disk: whatever the spool asks of the operating system goes through a `Disk`.

Every method does one thing, and raises OSError when it is refused. A name (of a file that was made,
renamed or removed) is sure to survive a power failure only after `sync_folder` of its folder, bytes
only after `sync` of their file. Tests put another `Disk` in its place, which fails, kills or
forgets.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tosip.gateway.digest import new_digest

logger = logging.getLogger(__name__)

START_WRITING = 2  # SYNC_FILE_RANGE_WRITE: begin to write dirty pages, wait for nothing
BLOCK = 1 << 20
NOT_OFFERED = (errno.ENOSYS, errno.EINVAL, errno.ESPIPE, errno.EOPNOTSUPP)


def _find_sync_file_range() -> Callable[[int, int, int, int], int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).sync_file_range
    except (OSError, AttributeError):  # not Linux
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function


SYNC_FILE_RANGE = _find_sync_file_range()


class Disk:
    """The real disk; its methods block, and may be called from any thread."""

    def now(self) -> float:
        """Return Unix time, by which ages are counted."""
        return time.time()

    def free_space(self, folder: Path) -> int:
        """Return the bytes that are left for us."""
        return shutil.disk_usage(folder).free

    def make_folder(self, path: Path) -> None:
        """Make a folder in an existing one."""
        path.mkdir()

    def create(self, path: Path) -> int:
        """Make a file that is not there yet; return a descriptor to write and read it."""
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o640)

    def open(self, path: Path) -> int:
        """Open a file that is there; return a descriptor to write and read it."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        """Give a descriptor back."""
        os.close(fd)

    def write(self, fd: int, block: memoryview, offset: int) -> int:
        """Write at an offset; return how many bytes were taken, which may be fewer."""
        return os.pwrite(fd, block, offset)

    def read_into(self, fd: int, buffer: memoryview, offset: int) -> int:
        """Read from an offset; return how many bytes came, 0 at the end."""
        return os.preadv(fd, [buffer], offset)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file off."""
        os.ftruncate(fd, size)

    def allocate(self, fd: int, size: int) -> None:
        """Take space for a file, so that it is there when it is written."""
        os.posix_fallocate(fd, 0, size)

    def start_writing(self, fd: int, offset: int, count: int) -> None:
        """Let the disk begin with bytes that were written, so that a later `sync` is short."""
        if SYNC_FILE_RANGE is not None and SYNC_FILE_RANGE(fd, offset, count, START_WRITING) != 0:
            number = ctypes.get_errno()
            if number not in NOT_OFFERED:
                raise OSError(number, os.strerror(number))

    def sync(self, fd: int) -> None:
        """Return when bytes and size of a file are on the disk; never try again after an error."""
        os.fdatasync(fd)

    def sync_folder(self, path: Path) -> None:
        """Return when the names in a folder are on the disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, perhaps in another folder; replaces what has it."""
        os.rename(old, new)

    def unlink(self, path: Path) -> None:
        """Remove a file; none may be there."""
        path.unlink(missing_ok=True)

    def write_small(self, path: Path, content: bytes) -> None:
        """Make a file with this content and sync it; none is left if that fails."""
        fd = self.create(path)
        try:
            try:
                write_all(self, fd, memoryview(content), 0)
                self.sync(fd)
            finally:
                self.close(fd)
        except BaseException:
            self.unlink(path)
            raise


def write_all(disk: Disk, fd: int, block: memoryview, offset: int) -> None:
    """Write all bytes of a block."""
    while block:
        count = disk.write(fd, block, offset)
        block, offset = block[count:], offset + count


def digest_of(path: Path) -> str:
    """Return the hash of a file's bytes; this may take long."""
    digest = new_digest()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def remove(disk: Disk, *paths: Path) -> None:
    """Remove files that nobody needs; one that cannot be removed is logged and stays."""
    for path in paths:
        try:
            disk.unlink(path)
        except OSError as error:
            logger.warning("spool: %s is not needed, but cannot be removed (%s)", path, error)
