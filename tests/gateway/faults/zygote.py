"""A process that forks gateways and archives which can be killed: a fork is quick, imports are not.

Told on its standard input, a line of JSON each: `{"tag": 1, "kind": "gateway", ...}`. It says
`born:TAG PID`, the child says `is:TAG ready PORT`, and when that has ended it says `is:TAG ended
STATUS`, which is negative for a signal. Children die with it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import select
import signal
import sys
import traceback
from typing import Any

from tests.gateway.faults.victims import VICTIMS, say

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Fork until the end of standard input."""
    _die_with_parent()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    tags: dict[int, int] = {}
    rest = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 512)
            _reap(tags)
        if 0 in ready:
            more = os.read(0, 1 << 16)
            if not more:
                return
            *lines, rest = (rest + more).split(b"\n")
            for line in lines:
                _fork(json.loads(line), tags)


def _fork(facts: dict[str, Any], tags: dict[int, int]) -> None:
    pid = os.fork()
    if pid == 0:
        _run(facts)
    tags[pid] = facts["tag"]
    say(f"born:{facts['tag']} {pid}")


def _run(facts: dict[str, Any]) -> None:
    """Be the child; never return."""
    status = 1
    try:
        _die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        status = asyncio.run(VICTIMS[facts["kind"]](facts))
    except BaseException:  # noqa: BLE001, nothing may unwind into the zygote's own loop
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _reap(tags: dict[int, int]) -> None:
    while tags:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        say(f"is:{tags.pop(pid)} ended {os.waitstatus_to_exitcode(status)}")


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
