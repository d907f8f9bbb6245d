"""Serves the images until the IOC's end of the socket closes; its descriptor is the argument.

Images are for people: results come first, so this process is nice, and when the machine runs out of
memory it goes before the others.
"""

import asyncio
import logging
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from tosip import signals
from tosip.images.process.serving import serve

NICENESS = 5
_OUT_OF_MEMORY = "500"  # of 1000


def main() -> int:
    """Return the exit status: 0 when the IOC has ended it, 1 if it cannot serve."""
    signals.ignore_terminal()
    os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    with socket.socket(fileno=descriptor) as ioc:
        return asyncio.run(serve(ioc))


if __name__ == "__main__":
    sys.exit(main())
