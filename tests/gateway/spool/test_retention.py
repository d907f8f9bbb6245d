"""How long things are kept: by age and by bytes, a little at a time."""

import time

import pytest

from tests.gateway.spool.disks import RecordingDisk
from tests.gateway.spool.helpers import begun, crash, deliver, described, interrupt, listed, put
from tosip.gateway.settings import Keeping
from tosip.gateway.spool import spool as spools
from tosip.gateway.spool.retention import Item, too_much
from tosip.gateway.spool.stored import State

DAY = 86400.0


@pytest.fixture
def aged(opened, folder):
    """Open a spool whose clock can be set forward."""

    def open_it(**keeping: float) -> tuple[spools.Spool, RecordingDisk]:
        disk = RecordingDisk()
        return opened(folder, Keeping(**keeping), disk), disk  # type: ignore[arg-type]

    return open_it


def copies(folder) -> set[str]:
    return {name for name in listed(folder) if "." not in name}


def test_too_much_is_what_is_too_old_or_beyond_the_bytes():
    items = [Item(10.0, "b", 5), Item(0.0, "a", 5), Item(20.0, "c", 5)]
    assert too_much(items, 20.0, 100.0, 100) == []
    assert too_much(items, 20.0, 15.0, 100) == ["a"]
    assert too_much(items, 20.0, 100.0, 10) == ["a"]
    assert too_much(items, 20.0, 100.0, 4) == ["a", "b", "c"]
    assert too_much(items, 200.0, 100.0, 100) == ["a", "b", "c"]


def test_delivered_files_are_retained_for_their_time(aged, folder):
    spool, disk = aged(delivered_age=DAY)
    entry = put(spool, "x.fits", b"bytes")
    deliver(spool, entry)
    spool.settle()
    spool.sweep()
    retained = folder / "retained" / entry.file.id
    assert retained.read_bytes() == b"bytes"
    assert listed(folder / "files") == set()
    spool.close()
    spool, disk = aged(delivered_age=DAY)
    disk.clock = DAY / 2
    spool.sweep()
    assert retained.exists()
    disk.clock = DAY + 60
    spool.sweep()
    assert listed(folder / "retained") == set()


def test_oldest_delivered_files_go_when_there_are_too_many_bytes(aged, folder):
    spool, _ = aged(delivered_age=DAY, delivered_bytes=250)
    entries = [put(spool, f"{number}.fits", bytes([number]) * 100) for number in range(4)]
    for entry in entries:
        deliver(spool, entry)
    spool.settle()
    spool.sweep()
    assert copies(folder / "retained") == {entry.file.id for entry in entries[2:]}


def test_quarantine_is_emptied_by_age_and_bytes(aged, folder):
    spool, disk = aged(quarantine_age=DAY, quarantine_bytes=250)
    for number in range(4):
        data = bytes([number]) * 100
        spool.quarantine(begun(spool, data), described(f"{number}.fits", data), "short")
    spool.sweep()
    assert [one.name for one in spool.quarantined()] == ["2.fits", "3.fits"]
    spool.close()
    spool, disk = aged(quarantine_age=DAY, quarantine_bytes=250)
    disk.clock = 2 * DAY
    spool.sweep()
    assert listed(folder / "quarantine") == set()
    assert spool.totals.quarantined == 4


def test_partials_go_by_age_and_bytes_unless_they_are_being_resumed(aged, folder):
    spool, disk = aged(partial_age=DAY, partial_bytes=250)
    for number in range(4):
        interrupt(spool, f"{number}.fits", bytes([number]) * 100)
    spool.sweep()
    assert [facts.name for facts in spool.names("cam01")] == ["2.fits", "3.fits"]
    resumed = spool.resume("cam01", "2.fits", 100)
    disk.clock = 2 * DAY
    spool.sweep()
    assert copies(folder / "partial") == {resumed.id}
    resumed.write(b"more")
    spool.commit(resumed, described("2.fits", bytes([2]) * 100 + b"more"))


def test_history_is_forgotten_but_not_what_is_needed(aged):
    spool, disk = aged(history=DAY)
    delivered = put(spool, "delivered.fits", b"1")
    deliver(spool, delivered)
    put(spool, "delivered.fits", b"1")
    put(spool, "pending.fits", b"2")
    unreleased = put(spool, "unreleased.fits", b"3")
    spool.mark(unreleased.file.id, State.DELIVERED)
    spool.mark(put(spool, "dead.fits", b"4").file.id, State.DEAD)
    totals = spool.totals
    spool.settle()
    spool.sweep()
    assert len(spool.names("cam01")) == 4
    disk.clock = 2 * DAY
    spool.sweep()
    names = [facts.name for facts in spool.names("cam01")]
    assert names == ["dead.fits", "pending.fits", "unreleased.fits"]
    assert spool.totals == totals
    disk.clock = 0.0
    assert put(spool, "delivered.fits", b"1").state == State.PENDING


def test_file_is_not_forgotten_before_its_copy_has_gone(aged):
    """Else a start would find a copy that nobody knows of, and count it as another file."""
    spool, disk = aged(history=DAY)
    deliver(spool, put(spool, "x.fits", b"bytes"))
    totals = spool.totals
    disk.clock = 2 * DAY
    spool.sweep()
    crash(spool)
    spool, disk = aged(history=DAY)
    assert spool.reconcile() == []
    assert spool.totals == totals
    disk.clock = 2 * DAY
    spool.sweep()
    assert spool.names("cam01") == []


def test_retained_files_are_remembered_as_long_as_they_are_there(aged):
    spool, disk = aged(history=DAY, delivered_age=5 * DAY)
    for number in range(3):
        deliver(spool, put(spool, f"{number}.fits", b"bytes"))
    spool.settle()
    totals = spool.totals
    for day in (2, 3):
        disk.clock = day * DAY
        spool.sweep()
        spool.close()
        spool, disk = aged(history=DAY, delivered_age=5 * DAY)
        assert spool.totals == totals
        assert len(spool.names("cam01")) == 3
    disk.clock = 6 * DAY
    spool.sweep()
    assert spool.names("cam01") == []
    assert spool.totals == totals


def test_retained_copy_is_gone_for_good_before_its_file_is_forgotten(aged, folder):
    spool, disk = aged(history=DAY, delivered_age=DAY)
    deliver(spool, put(spool, "x.fits", b"bytes"))
    spool.settle()
    spool._journal._db.set_trace_callback(lambda statement: disk.steps.append(statement[:6]))
    disk.clock = 2 * DAY
    disk.steps.clear()
    spool.sweep()
    steps = [step for step in disk.steps if step.startswith(("unlink", "sync_folder", "DELETE"))]
    assert steps == [
        "unlink retained/*",
        "unlink retained/*.json",
        "sync_folder retained",
        "DELETE",
    ]


def test_sweep_of_a_long_history_is_done_bit_by_bit(aged, monkeypatch):
    monkeypatch.setattr(spools, "SWEEP_TIME", 0.0)
    spool, disk = aged(history=DAY)
    fill(spool, 20000)
    disk.clock = 2 * DAY
    waiting = []
    spool._journal._db.set_trace_callback(
        lambda sql: waiting.append(time.monotonic()) if sql in ("BEGIN IMMEDIATE", "COMMIT") else 0
    )
    (before,) = spool._journal.read("SELECT count(*) FROM files")[0]
    spool.sweep()
    (after,) = spool._journal.read("SELECT count(*) FROM files")[0]
    assert before - after == 500
    assert len(waiting) == 2
    spool.sweep()
    (rest,) = spool._journal.read("SELECT count(*) FROM files")[0]
    assert after - rest == 500


def fill(spool: spools.Spool, count: int) -> None:
    """Record many delivered files at once."""
    with spool._journal.change() as change:
        change.run(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<?)"
            " INSERT INTO files (id, name, user, camera, size, digest, received, proven, state,"
            " released) SELECT 'x' || i, 'n' || i, 'cam01', '', 1, 'd' || i, 1e9 + i, 1,"
            " 'delivered', 1 FROM n",
            count,
        )


def test_statements_use_an_index(opened, folder):
    """Else each of them would take longer with every file that is remembered."""
    opened(folder).close()
    spool = opened(folder)
    statements: set[str] = set()
    for db in (spool._journal._db, spool._journal._reader):
        db.set_trace_callback(statements.add)
    dead, delivered = put(spool, "x.fits", b"1"), put(spool, "y.fits", b"2")
    put(spool, "z.tmp", b"3", held=True)
    spool.rename("cam01", "z.tmp", "z.fits", False)
    spool.mark(dead.file.id, State.DEAD)
    spool.retry(None)
    spool.give_up([dead.file.id])
    deliver(spool, delivered)
    spool.overdue(0.0)
    spool.names("cam01")
    spool.hide("cam01", "x.fits")
    spool.reconcile()
    spool.sweep()
    about_files = [one for one in statements if " files" in one and not one.startswith("INSERT")]
    assert len(about_files) > 10
    for statement in about_files:
        plan = [row[3] for row in spool._journal.read(f"EXPLAIN QUERY PLAN {statement}")]
        assert not [step for step in plan if step == "SCAN files"], statement
