"""The signals that stop our programs.

SIGHUP is one of them: a closed terminal sends it, to the IOC and to its foreground process group.
Workers import this module too: it runs on Python 3.9, and loads no asyncio.
"""

from __future__ import annotations

import signal

FROM_TERMINAL = (signal.SIGINT, signal.SIGHUP)
"""Sent to a whole process group; the IOC handles them, and its processes ignore them."""
STOPPING = (signal.SIGTERM, *FROM_TERMINAL)


def ignore_terminal() -> None:
    """Leave the terminal's signals to the process that has started this one."""
    for number in FROM_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
