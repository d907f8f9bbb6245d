"""From pending to delivered, or to a dead letter and what a person decides."""

from pathlib import Path

import pytest

from tests.gateway.spool.disks import RecordingDisk
from tests.gateway.spool.helpers import deliver, listed, put
from tosip.gateway.settings import Keeping
from tosip.gateway.spool.stored import Entry, State, StoredFile, Totals
from tosip.gateway.spool.tally import SPARE, Waiting


def test_copy_goes_when_it_is_delivered_and_released(spool, folder):
    first, second = put(spool, "x.fits", b"1"), put(spool, "y.fits", b"2")
    spool.mark(first.file.id, State.DELIVERED)
    spool.release(second.file.id)
    assert first.file.path.exists()
    assert second.file.path.exists()
    spool.release(first.file.id)
    spool.mark(second.file.id, State.DELIVERED)
    spool.settle()
    assert listed(folder / "files") == set()
    assert spool.reconcile() == []
    assert spool.oldest_pending() is None
    assert spool.totals == Totals(2, delivered=2, bytes_acknowledged=2, bytes_delivered=2)


def test_mark_records_all_that_it_is_told(opened, folder):
    spool = opened(folder)
    file_id = put(spool, "x.fits", b"1").file.id
    entry = spool.mark(file_id, State.RENAMING, "a/x.fits", "550 no", 3)
    assert entry is not None
    assert (entry.state, entry.target, entry.reason, entry.refusals) == (
        State.RENAMING,
        "a/x.fits",
        "550 no",
        3,
    )
    spool.close()
    assert opened(folder).reconcile() == [entry]


@pytest.mark.parametrize("final", [State.DELIVERED, State.DISCARDED, State.DUPLICATE])
def test_what_is_settled_stays_so(spool, final):
    entry = put(spool, "x.fits", b"1")
    if final == State.DUPLICATE:
        entry = put(spool, "x.fits", b"1")
    spool.mark(entry.file.id, State.DEAD if final == State.DISCARDED else final)
    spool.give_up([entry.file.id])
    before = spool.totals
    for state in State:
        settled = spool.mark(entry.file.id, state)
        assert settled is not None
        assert settled.state == final
    assert spool.totals == before


def test_unknown_id_changes_nothing(spool):
    assert spool.mark("no such id", State.DELIVERED) is None
    spool.release("no such id")
    assert spool.retry(["no such id"]) == spool.give_up(["no such id"]) == []
    assert spool.totals == Totals()


def test_dead_letter_is_retried(opened, folder):
    spool = opened(folder)
    ids = [put(spool, f"{number}.fits", bytes([number])).file.id for number in range(4)]
    for file_id in ids[:3]:
        spool.mark(file_id, State.DEAD, reason="550 no", refusals=8)
    assert [entry.file.id for entry in spool.dead()] == ids[:3]
    (retried,) = spool.retry([ids[1], ids[1], ids[3]])
    assert (retried.file.id, retried.state, retried.refusals) == (ids[1], State.PENDING, 0)
    assert [entry.file.id for entry in spool.retry(None)] == [ids[0], ids[2]]
    assert spool.totals.pending == 4
    spool.close()
    assert opened(folder).dead() == []


def test_dead_letter_is_discarded(spool, folder):
    dead, pending = put(spool, "x.fits", b"1"), put(spool, "y.fits", b"2")
    spool.mark(dead.file.id, State.DEAD)
    (gone,) = spool.give_up([dead.file.id, pending.file.id])
    assert (gone.file.id, gone.state) == (dead.file.id, State.DISCARDED)
    spool.settle()
    assert listed(folder / "files") == {pending.file.id, f"{pending.file.id}.json"}
    assert spool.totals.discarded == spool.totals.pending == 1
    assert spool.facts("cam01", "x.fits") is None


def test_held_too_long_is_delivered_under_the_name_that_it_has(opened, folder):
    disk = RecordingDisk()
    spool = opened(folder, disk=disk)
    old = put(spool, "old.tmp", b"1", held=True)
    disk.clock = 100.0
    put(spool, "new.tmp", b"2", held=True)
    (entry,) = spool.overdue(60.0)
    assert (entry.file, entry.state) == (old.file, State.PENDING)
    assert spool.overdue(60.0) == []


def test_a_temporary_name_that_was_sent_twice_is_delivered_once(spool):
    first, second = (put(spool, "x.tmp", b"bytes", held=True) for _ in range(2))
    states = {entry.file.id: entry.state for entry in spool.overdue(0.0)}
    assert states == {first.file.id: State.PENDING, second.file.id: State.DUPLICATE}
    spool.settle()
    assert not second.file.path.exists()
    assert spool.totals.balanced


@pytest.mark.parametrize("step", [-61.0, -3600.0])
def test_held_file_is_overdue_though_the_clock_was_set_back(opened, folder, step):
    disk = RecordingDisk()
    spool = opened(folder, disk=disk)
    put(spool, "x.tmp", b"1", held=True)
    disk.clock = -0.1
    assert spool.overdue(60.0) == []
    disk.clock = step
    assert [entry.file.name for entry in spool.overdue(60.0)] == ["x.tmp"]


def test_newest_dead_letters_are_told_without_reading_all(spool):
    for number in range(5):
        spool.mark(put(spool, f"{number}.fits", b"%d" % number).file.id, State.DEAD)
    names = [f"{number}.fits" for number in range(5)]
    for most, expected in ((-1, names), (0, []), (2, names[3:]), (9, names)):
        assert [entry.file.name for entry in spool.dead(most)] == expected


def waiting_file(number: int, state: State) -> Entry:
    file = StoredFile(f"{number:06}", "x", "cam01", Path("x"), 1, "", float(number))
    return Entry(file, state)


def test_one_file_that_waits_for_ever_does_not_keep_what_came_later():
    waiting = Waiting()
    waiting.update([waiting_file(0, State.PENDING)])
    for number in range(1, 20000):
        waiting.update([waiting_file(number, State.PENDING)])
        waiting.update([waiting_file(number, State.DELIVERED)])
        assert waiting.oldest() == 0.0
    assert len(waiting._heap) < 2 * SPARE
    waiting.update([waiting_file(7, State.PENDING), waiting_file(0, State.DELIVERED)])
    assert waiting.oldest() == 7.0


def test_release_does_not_wait_for_the_disk_unless_it_must(opened, folder):
    disk = RecordingDisk()
    spool = opened(folder, Keeping(delivered_age=10.0), disk)
    entry = put(spool, "x.fits", b"1")
    disk.steps.clear()
    spool.release(entry.file.id)
    assert disk.steps == []


def test_oldest_pending_follows_what_is_delivered(opened, folder):
    spool = opened(folder)
    entries = [put(spool, f"{number}.fits", bytes([number])) for number in range(5)]
    for entry in (entries[1], entries[0]):
        deliver(spool, entry)
    assert spool.oldest_pending() == entries[2].file.received
    spool.mark(entries[2].file.id, State.DEAD)
    assert spool.oldest_pending() == entries[3].file.received
    spool.retry(None)
    assert spool.oldest_pending() == entries[2].file.received
