"""Lacks of resources that this process brings upon itself, for a while."""

import contextlib
import os
import resource
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Let nothing be opened: EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    filling: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                filling.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in filling:
            os.close(descriptor)


@contextlib.contextmanager
def no_file_space() -> Iterator[None]:
    """Let no file and no shared memory grow: EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def no_threads() -> Iterator[None]:
    """Let no thread start: the stack of each would be larger than the address space may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    stack = threading.stack_size(1 << 40)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 39, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        threading.stack_size(stack)
