"""The process that decodes the tiles of one image: `python -m tosip.drivers.hcompress_process`.

Its arguments are two descriptors (the FITS file; where the values go), the parent's process id, and
the seconds of CPU time that it may take. What is wrong it says on standard output, in one line.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_SPARE_MEMORY = 256 << 20
_TIMES_THE_SIZE = 8  # of the values and the tiles, for astropy's copies


def main() -> int:
    """Decode; return the exit status."""
    given, made, parent, seconds = map(int, sys.argv[1:])
    # The thread that started this process waits for it: its end is the parent's.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        return 1
    try:
        _decode(given, made, seconds)
    except Exception as error:  # noqa: BLE001 (astropy raises what it likes on odd files)
        sys.stdout.write(f"{type(error).__name__}: {error}"[:400])
        return 1
    return 0


def _decode(given: int, made: int, seconds: int) -> None:
    # Imports cost address space, which must not count against the limit.
    import mmap
    import resource

    import numpy as np
    from astropy.io import fits

    from tosip.drivers.hcompress import limit_memory

    size = os.fstat(made).st_size
    limit_memory(_TIMES_THE_SIZE * (size + os.fstat(given).st_size) + _SPARE_MEMORY)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    os.lseek(given, 0, os.SEEK_SET)  # the parent has written up to the end
    with open(given, "rb", closefd=False) as file, fits.open(file, memmap=False) as units:
        values = units[1].data
    if values.nbytes != size:
        raise ValueError(f"expected {size} bytes of values, got {values.nbytes}")
    memory = mmap.mmap(made, size)
    target = np.frombuffer(memory, values.dtype.newbyteorder("="))
    np.copyto(target, values.reshape(-1))


if __name__ == "__main__":
    sys.exit(main())
