"""A disk that fails, fills or kills at a chosen call, and a log handler that kills at a step."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tosip.gateway.spool.disk import Disk

KILL_BEFORE, KILL_AFTER, KILL_HALFWAY = "kill before", "kill after", "kill halfway"
CALLS = (
    "create", "open", "close", "write", "start_writing", "sync", "sync_folder", "rename", "unlink",
    "write_small",
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """At the n-th call (from 1) of a method: one of KILL_..., or an errno as a number.

    `times` is how many calls in a row fail with the errno.
    """

    call: str
    number: int
    what: str | int
    times: int = 1


class FaultyDisk(Disk):
    """The real disk but for some faults; with a quota, what the spool may fill, in bytes."""

    def __init__(self, faults: Sequence[Fault] = (), quota: int | None = None) -> None:
        self._faults = faults
        self._quota = quota
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def free_space(self, folder: Path) -> int:
        """Return what the quota leaves."""
        if self._quota is None:
            return super().free_space(folder)
        used = 0
        for path in folder.rglob("*"):
            try:
                used += path.stat().st_size
            except FileNotFoundError:
                continue
        return max(0, self._quota - used)

    def __getattribute__(self, name: str) -> Any:
        attribute = super().__getattribute__(name)
        return partial(self._call, name, attribute) if name in CALLS else attribute

    def _call(self, name: str, method: Callable[..., Any], *arguments: Any) -> Any:
        with self._lock:
            self._counts[name] += 1
            count = self._counts[name]
        fault = next((fault for fault in self._faults if _is_due(fault, name, count)), None)
        if fault is None:
            return method(*arguments)
        if isinstance(fault.what, int):
            raise OSError(fault.what, os.strerror(fault.what))
        if fault.what == KILL_HALFWAY and name == "write":
            fd, block, offset = arguments
            method(fd, block[: len(block) // 2], offset)
        elif fault.what == KILL_AFTER:
            method(*arguments)
        die()
        return None


def kill_at_step(step: str, number: int) -> None:
    """Die when this step of a file's life is logged for the n-th time."""
    logging.getLogger("tosip.gateway.files").addHandler(_Killer(step, number))


class _Killer(logging.Handler):
    def __init__(self, step: str, number: int) -> None:
        super().__init__()
        self._step, self._left = step, number

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "step", "") == self._step:
            self._left -= 1
            if self._left == 0:
                die()


def die() -> None:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def _is_due(fault: Fault, name: str, count: int) -> bool:
    return fault.call == name and fault.number <= count < fault.number + fault.times
