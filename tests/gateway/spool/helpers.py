"""What the tests of the spool do again and again."""

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.gateway.spool.lossy_disk import PowerFailure
from tosip.gateway.digest import new_digest
from tosip.gateway.spool.partial import Description, Partial
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import Entry, State

WAITING = (State.HELD, State.PENDING, State.RENAMING)


def described(name: str, data: bytes, user: str = "cam01", **facts: Any) -> Description:
    """Describe an upload of these bytes."""
    digest = new_digest()
    digest.update(data)
    return Description(name, user, len(data), digest.hexdigest(), True, **facts)


def begun(spool: Spool, data: bytes) -> Partial:
    """Return an upload on its way, with these bytes."""
    partial = spool.begin()
    try:
        partial.write(data)
    except BaseException:
        spool.discard(partial)
        raise
    return partial


def put(spool: Spool, name: str, data: bytes, user: str = "cam01", **facts: Any) -> Entry:
    """Upload and commit."""
    return spool.commit(begun(spool, data), described(name, data, user, **facts))


def interrupt(spool: Spool, name: str, data: bytes, user: str = "cam01") -> None:
    """Upload some bytes and lose the connection."""
    spool.keep(begun(spool, data), described(name, data, user))


def deliver(spool: Spool, entry: Entry) -> None:
    """Have it on the archive and through the pipeline."""
    spool.mark(entry.file.id, State.DELIVERED)
    spool.release(entry.file.id)


def bytes_of(spool: Spool) -> dict[str, bytes]:
    """Return what waits to be delivered, by name."""
    return {
        entry.file.name: entry.file.path.read_bytes()
        for entry in spool.reconcile()
        if entry.state in WAITING
    }


def listed(folder: Path) -> set[str]:
    """Return the names of the files in a folder."""
    return {path.name for path in folder.iterdir()}


def descriptors() -> int:
    """Return how many descriptors are open."""
    return len(os.listdir("/proc/self/fd"))


def abandon(spool: Spool) -> None:
    """Let go of a spool as a crash would, without asking its disk."""
    with contextlib.suppress(PowerFailure, OSError):
        spool.close()
        return
    with contextlib.suppress(OSError):
        crash(spool)


def crash(spool: Spool) -> None:
    """End it in the midst of all, as SIGKILL does."""
    spool._journal.close()
    os.close(spool._lock)


def killed_after(life: Callable[[], object]) -> None:
    """Live in a process of its own, which is killed at the end."""
    child = os.fork()
    if child == 0:
        try:
            life()
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def memory_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder in memory, or on the disk where there is none."""
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="tosip-spool-", dir=where)
