"""When the process or the machine runs out of descriptors, memory, threads or disk space.

Such an error says nothing about the frame, the file or the algorithm that it hit: the same step may
succeed later.
"""

import errno

from tosip.errors import TosipError

_RESOURCES = frozenset(
    {
        errno.EMFILE,  # descriptors of this process
        errno.ENFILE,  # descriptors of the machine
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.EAGAIN,  # threads and processes
        errno.ETOOMANYREFS,  # descriptors in flight between processes
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,  # RLIMIT_FSIZE, which holds for memfds too
    }
)
_NO_THREAD = "can't start new thread"  # Python's RuntimeError has no number


def is_shortage(error: BaseException | None) -> bool:
    """Whether `error`, or an error that it follows from, is a lack of resources."""
    while error is not None:
        if isinstance(error, MemoryError) and not isinstance(error, TosipError):
            return True  # TOSIP's own are of a budget
        if isinstance(error, OSError) and error.errno in _RESOURCES:
            return True
        if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def in_words(error: BaseException) -> str:
    """Return what is missing, in the system's words where it has some."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
