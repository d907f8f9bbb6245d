"""SIGKILL at each step of what the spool does: a restart finds what was acknowledged."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gateway.spool.disks import KillingDisk
from tests.gateway.spool.helpers import bytes_of, deliver, described, interrupt, listed, put
from tosip.gateway.settings import Keeping
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import State

KEEPING = Keeping(delivered_age=100.0)
BYTES = bytes(range(256)) * 40

Life = Callable[[Spool, Callable[[str], None]], None]


def _commits(spool: Spool, tell: Callable[[str], None]) -> None:
    put(spool, "a.fits", BYTES)
    tell("a.fits")
    put(spool, "b.fits", BYTES)
    tell("b.fits")
    put(spool, "a.fits", BYTES)
    tell("a.fits")


def _renames(spool: Spool, tell: Callable[[str], None]) -> None:
    put(spool, "a.tmp", BYTES, held=True)
    tell("a.tmp")
    spool.rename("cam01", "a.tmp", "a.fits", False)
    tell("a.fits")


def _resumes(spool: Spool, tell: Callable[[str], None]) -> None:
    interrupt(spool, "a.fits", BYTES[:5000])
    partial = spool.resume("cam01", "a.fits", 5000)
    partial.write(BYTES[5000:])
    spool.commit(partial, described("a.fits", BYTES))
    tell("a.fits")


def _delivers(spool: Spool, tell: Callable[[str], None]) -> None:
    entry = put(spool, "a.fits", BYTES)
    tell("a.fits")
    put(spool, "b.fits", BYTES)
    tell("b.fits")
    deliver(spool, entry)
    tell("delivered a.fits")
    spool.quarantine(spool.begin(), described("c.fits", b""), "short")
    spool.sweep()


LIVES: dict[str, Life] = {
    "commits": _commits,
    "renames": _renames,
    "resumes": _resumes,
    "delivers": _delivers,
}


def killed_at(folder: Path, life: Life, step: int) -> tuple[bool, list[str]]:
    """Live in a process of its own, killed at this step; return whether, and what it had told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            disk = KillingDisk()
            spool = Spool(folder, KEEPING, disk)
            disk.arm(step)

            def tell(what: str) -> None:
                os.write(writing, f"{what}\n".encode())

            life(spool, tell)
            spool.close()
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as told:
        words = told.read().split("\n")[:-1]
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0, words


@pytest.mark.parametrize("name", LIVES)
def test_killed_at_each_step(tmp_path, name):
    step, killed = 0, True
    while killed:
        folder = tmp_path / str(step)
        killed, told = killed_at(folder, LIVES[name], step)
        spool = Spool(folder, KEEPING)
        check(spool, told)
        assert put(spool, "later.fits", b"later").state == State.PENDING
        spool.close()
        step += 1
    assert step > 10


def check(spool: Spool, told: list[str]) -> None:
    found = bytes_of(spool)
    assert set(found.values()) <= {BYTES}
    assert spool.dead() == []
    assert spool.totals.balanced
    known = set(found) | {"a.fits"} if spool.totals.delivered else set(found)
    expected = set(told) - {"delivered a.fits"}
    if "a.tmp" in expected and "a.fits" in known:
        expected.discard("a.tmp")
    assert expected <= known
    if "delivered a.fits" in told:
        assert "a.fits" not in found
        assert spool.totals.delivered == 1
    kept = {name for name in listed(spool.folder / "partial") if not name.endswith(".kept")}
    assert len(kept) == len([facts for facts in spool.names("cam01") if facts.partial])
