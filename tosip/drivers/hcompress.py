"""Decoding tiles of HCOMPRESS_1 in a process of its own, which damaged data may abort.

Astropy's C code for this method writes outside its buffers on some damaged tiles, and the C library
then aborts the process. So a child does it, started by
exec: it gets the packed unit in one memory file and writes the stored values into another, with a
limit on its memory and its time. It knows no other descriptor of the IOC, and ends with the thread
that waits for it.

The thread that calls `decode_apart` waits: about half a second for the start of the child, beside
the time for the tiles.
"""

from __future__ import annotations

import mmap
import os
import resource
import subprocess
import sys
import threading
from contextlib import ExitStack
from math import prod

import numpy as np

from tosip.drivers.fits_scaling import Pixels
from tosip.errors import FrameError
from tosip.pipeline.child import words_of
from tosip.pipeline.environment import environment

_MODULE = "tosip.drivers.hcompress_process"
_SECONDS = 60.0  # and one more for each MiB of pixels
_MEBIBYTE = 1 << 20
_LONGEST_WORDS = 400
_AT_ONCE = threading.BoundedSemaphore(max(1, (os.cpu_count() or 1) // 2))


def decode_apart(packed: bytes, shape: tuple[int, ...], stored: np.dtype[np.generic]) -> Pixels:
    """Return the stored values of the first extension of a FITS file, in native byte order.

    Raises `FrameError` if the child fails or dies, for whatever reason, or takes too long.
    """
    native = stored.newbyteorder("=")
    size = prod(shape) * native.itemsize
    with ExitStack() as stack, _AT_ONCE:
        given, made = (_memory(stack, name) for name in ("tosip-tiles", "tosip-values"))
        with open(given, "wb", closefd=False) as file:
            file.write(packed)
        os.ftruncate(made, size)
        _run(given, made, _SECONDS + size / _MEBIBYTE)
        values = mmap.mmap(made, size, prot=mmap.PROT_READ)
    return np.frombuffer(values, native).reshape(shape)


def _memory(stack: ExitStack, name: str) -> int:
    descriptor = os.memfd_create(name)
    stack.callback(os.close, descriptor)
    return descriptor


def _run(given: int, made: int, seconds: float) -> None:
    command = [sys.executable, "-m", _MODULE, str(given), str(made), str(os.getpid())]
    try:
        process = subprocess.Popen(
            [*command, str(int(seconds))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(given, made),
            start_new_session=True,
            env=environment(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1"),
        )
    except OSError as error:
        fault = f"expected a process to decode HCOMPRESS_1, got {error.strerror}"
        raise FrameError(fault) from error
    with process:  # closes the pipe
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise FrameError(f"expected decoded tiles in {seconds:.0f} s, got none") from None
        except BaseException:
            process.kill()
            raise
        if status != 0:
            # A pipe holds more than this, so the child has not waited for a reader.
            said = os.read(process.stdout.fileno(), _LONGEST_WORDS) if process.stdout else b""
            words = said.decode(errors="replace") or f"decoder ended: {words_of(status)}"
            raise FrameError(f"expected tiles of HCOMPRESS_1, got {words}")


def limit_memory(size: int) -> None:
    """Let this process take `size` bytes more than it has now, and leave no core dump."""
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (taken + size, taken + size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
