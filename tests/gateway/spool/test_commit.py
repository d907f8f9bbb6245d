"""Commit: when it returns the upload is on disk; many at once share their syncs."""

import errno
import logging
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.spool.disks import RecordingDisk
from tests.gateway.spool.helpers import begun, bytes_of, deliver, described, listed, put
from tosip.gateway.spool import commit, disk, journal, schema
from tosip.gateway.spool import partial as partials
from tosip.gateway.spool.ids import Ids
from tosip.gateway.spool.stored import Entry, State, Totals


class SlowDisk(RecordingDisk):
    """Once armed, waits in the first sync of a folder until it may `go`.

    Refuses the rename with the number `refused`, and the sync after that first one if `unsynced`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.armed, self.reached, self.go = False, threading.Event(), threading.Event()
        self.refused = self.unsynced = -1

    def step(self, name: str, path: Path) -> None:
        super().step(name, path)
        if name == "rename":
            self.refused -= 1
            if self.refused == 0:
                raise OSError(errno.EIO, "refused")

    def sync_folder(self, path: Path) -> None:
        self.unsynced -= not self.armed
        if self.armed:
            self.armed = False
            self.reached.set()
            assert self.go.wait(10)
        elif self.unsynced == 0:
            raise OSError(errno.EIO, "refused")
        super().sync_folder(path)


def test_steps_of_a_commit_in_their_order(opened, folder, recording):
    spool = opened(folder, disk=recording)
    spool._journal._db.set_trace_callback(lambda statement: recording.steps.append(statement[:6]))
    partial = begun(spool, b"bytes")
    recording.steps.clear()
    spool.commit(partial, described("x.fits", b"bytes"))
    steps = [step for step in recording.steps if step[:6] not in ("SELECT", "PRAGMA", "UPDATE")]
    assert steps == [
        "sync partial/*",
        "create partial/*.json",
        "write partial/*.json",
        "sync partial/*.json",
        "close partial/*.json",
        "BEGIN ",
        "rename files/*.json",
        "rename files/*",
        "INSERT",
        "sync_folder files",
        "COMMIT",
        "close partial/*",
        "unlink partial/*.kept",
    ]


@pytest.fixture
def system_calls(monkeypatch):
    """What is asked of the kernel from now on, as `fsync files`; it is done all the same."""
    calls: list[str] = []

    def record(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: Any) -> None:
            real(*arguments)
            what = arguments[-1]
            path = Path(os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else what)
            where = path.name if path.is_dir() else f"{path.parent.name}/*{path.suffix}"
            calls.append(f"{name} {where}")

        monkeypatch.setattr(os, name, call)

    for name in ("fdatasync", "fsync", "rename"):
        record(name)
    return calls


def test_kernel_is_asked_for_what_the_disk_is_asked_for(spool, system_calls):
    """Other tests put their disks above the calls that really sync."""
    put(spool, "x.fits", b"bytes")
    assert system_calls == [
        "fdatasync partial/*",
        "fdatasync partial/*.json",
        "rename files/*.json",
        "rename files/*",
        "fsync files",
    ]


def test_committed_file_is_what_was_sent(spool, folder):
    entry = put(spool, "dir/x.fits", b"bytes", user="cam02", camera="guider")
    file = entry.file
    assert entry.state == State.PENDING
    assert (file.name, file.user, file.camera, file.size) == ("dir/x.fits", "cam02", "guider", 5)
    assert file.path.read_bytes() == b"bytes"
    assert file.path.parent == folder / "files"
    assert spool.reconcile() == [entry]
    assert spool.oldest_pending() == file.received


def test_temporary_name_is_held(spool):
    assert put(spool, "x.tmp", b"bytes", held=True).state == State.HELD
    assert spool.totals.pending == 1


def test_size_that_is_not_what_was_written_is_refused(spool, folder):
    with pytest.raises(ValueError, match="expected a size of 4, got 5"):
        spool.commit(begun(spool, b"byte"), described("x.fits", b"bytes"))
    assert listed(folder / "files") == listed(folder / "partial") == set()


@pytest.fixture
def crowd(opened, folder):
    """Commit 17 uploads at once, 16 of which wait while the first is synced."""
    slow = SlowDisk()
    spool = opened(folder, disk=slow)

    def commit_all() -> list[Future[Entry]]:
        uploads = [begun(spool, bytes([number])) for number in range(17)]
        slow.armed = True
        slow.steps.clear()
        with ThreadPoolExecutor(17) as pool:
            results = [
                pool.submit(spool.commit, upload, described(f"{number}.fits", bytes([number])))
                for number, upload in enumerate(uploads)
            ]
            assert slow.reached.wait(10)
            end = time.monotonic() + 10
            while len(spool._committer._group._waiting) < 16:
                assert time.monotonic() < end
                time.sleep(0.001)
            slow.go.set()
        return results

    return spool, slow, commit_all


def test_commits_that_wait_share_one_sync_and_one_transaction(crowd):
    spool, slow, commit_all = crowd
    statements: list[str] = []
    spool._journal._db.set_trace_callback(statements.append)
    entries = [result.result() for result in commit_all()]
    assert slow.steps.count("sync_folder files") == 2
    assert statements.count("COMMIT") == 2
    assert [entry.file.name for entry in entries] == [f"{number}.fits" for number in range(17)]
    assert spool.totals.acknowledged == 17


def test_one_that_fails_in_a_group_fails_alone(crowd, folder):
    spool, slow, commit_all = crowd
    slow.refused = 12
    results = commit_all()
    failed = [result for result in results if result.exception()]
    assert [str(result.exception()) for result in failed] == ["[Errno 5] refused"]
    assert len(bytes_of(spool)) == spool.totals.acknowledged == 16
    assert len(listed(folder / "files")) == 32
    assert listed(folder / "partial") == set()


def test_group_whose_folder_cannot_be_synced_fails_as_a_whole(crowd, folder):
    spool, slow, commit_all = crowd
    slow.unsynced = 1
    results = commit_all()
    succeeded = [result.result().file for result in results if not result.exception()]
    assert len(succeeded) == 1
    assert listed(folder / "files") == {succeeded[0].id, f"{succeeded[0].id}.json"}
    assert spool.totals.acknowledged == 1
    put(spool, "later.fits", b"later")


def test_many_threads_at_once_lose_nothing(spool):
    def upload(number: int) -> None:
        for part in range(10):
            put(spool, f"{number}-{part}.fits", bytes([number, part]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(upload, range(8)))
    assert bytes_of(spool) == {
        f"{number}-{part}.fits": bytes([number, part]) for number in range(8) for part in range(10)
    }
    assert spool.totals == Totals(
        acknowledged=80, pending=80, bytes_acknowledged=160, bytes_pending=160
    )


def test_two_uploads_of_one_name_are_two_files(spool):
    first, second = put(spool, "x.fits", b"one"), put(spool, "x.fits", b"two")
    assert first.file.id < second.file.id
    assert [entry.file.path.read_bytes() for entry in spool.reconcile()] == [b"one", b"two"]


def test_ids_grow_when_the_clock_is_set_back(opened, folder, recording):
    spool = opened(folder, disk=recording)
    before = put(spool, "x.fits", b"1").file.id
    recording.clock = -1000.0
    middle = put(spool, "x.fits", b"2").file.id
    spool.close()
    after = put(opened(folder, disk=recording), "x.fits", b"3").file.id
    assert before < middle < after
    assert len({len(one) for one in (before, middle, after)}) == 1


def test_ids_are_not_confused_by_strange_names():
    assert Ids("lost+found").next(1.0).startswith(f"{10**9:016x}-")


def test_same_name_and_bytes_is_a_duplicate(spool, folder):
    first = put(spool, "x.fits", b"bytes")
    second = put(spool, "x.fits", b"bytes")
    assert second.state == State.DUPLICATE
    assert second.file.id != first.file.id
    assert listed(folder / "files") == {first.file.id, f"{first.file.id}.json"}
    assert listed(folder / "partial") == set()
    assert spool.totals.duplicates == 1
    assert spool.totals.pending == 1
    assert spool.reconcile() == [first]


@pytest.mark.parametrize(
    "other", [{"name": "y.fits"}, {"data": b"other"}, {"user": "cam02"}, {"camera": "guider"}]
)
def test_what_differs_in_one_of_these_is_no_duplicate(spool, other):
    upload: dict[str, Any] = {"name": "x.fits", "data": b"bytes"}
    put(spool, **upload)
    assert put(spool, **(upload | other)).state == State.PENDING
    assert put(spool, **upload).state == State.DUPLICATE


def test_files_under_temporary_names_are_no_duplicates_and_stand_for_none(spool):
    """Each of them may get a name of its own."""
    first, second = (put(spool, "x.tmp", b"bytes", held=True) for _ in range(2))
    assert first.state == second.state == State.HELD
    assert put(spool, "x.tmp", b"bytes").state == State.PENDING
    assert put(spool, "x.tmp", b"bytes", held=True).state == State.HELD
    spool.rename("cam01", "x.tmp", "1.fits", False)
    spool.rename("cam01", "x.tmp", "2.fits", False)
    assert spool.rename("cam01", "x.tmp", "2.fits", False).state == State.DUPLICATE
    assert sorted(bytes_of(spool)) == ["1.fits", "2.fits", "x.tmp"]
    assert (spool.totals.acknowledged, spool.totals.pending) == (4, 3)
    assert spool.totals.balanced


def test_a_commit_costs_the_same_however_many_files_have_the_same_bytes(spool, monkeypatch):
    looked_at: list[Entry] = []

    def look(row: tuple[Any, ...], files: Path) -> Entry:
        looked_at.append(schema.to_entry(row, files))
        return looked_at[-1]

    monkeypatch.setattr(journal, "to_entry", look)
    for number in range(20):
        put(spool, f"{number}.fits", b"bytes")

    assert put(spool, "0.fits", b"bytes").state == State.DUPLICATE
    assert len(looked_at) == 2  # the same one, before and after its copy was read


@pytest.mark.parametrize("state", [State.PENDING, State.RENAMING, State.DELIVERED])
def test_duplicate_is_known_after_a_restart(opened, folder, state):
    spool = opened(folder)
    entry = put(spool, "x.fits", b"bytes")
    if state == State.DELIVERED:
        deliver(spool, entry)
    else:
        spool.mark(entry.file.id, state)
    spool.close()
    assert put(opened(folder), "x.fits", b"bytes").state == State.DUPLICATE


@pytest.mark.parametrize("state", [State.DEAD, State.DISCARDED])
def test_dead_or_discarded_file_stands_for_no_other(spool, state):
    entry = put(spool, "x.fits", b"bytes")
    spool.mark(entry.file.id, State.DEAD)
    if state == State.DISCARDED:
        spool.give_up([entry.file.id])
    assert put(spool, "x.fits", b"bytes").state == State.PENDING


def test_file_whose_copy_is_gone_stands_for_no_other(spool):
    put(spool, "x.fits", b"bytes").file.path.unlink()
    again = put(spool, "x.fits", b"bytes")
    assert again.state == State.PENDING
    assert again.file.path.read_bytes() == b"bytes"


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1] ^= 1
    path.write_bytes(content)


def test_file_whose_copy_is_damaged_stands_for_no_other(spool, caplog):
    flip_a_bit(put(spool, "x.fits", b"bytes").file.path)
    again = put(spool, "x.fits", b"bytes")
    assert again.state == State.PENDING
    assert again.file.path.read_bytes() == b"bytes"
    assert "(x.fits) stands for no other: it is damaged" in caplog.text
    held = put(spool, "x.tmp", b"bytes", held=True)
    flip_a_bit(again.file.path)
    assert spool.rename("cam01", "x.tmp", "x.fits", False).state == State.PENDING
    assert held.file.path.read_bytes() == b"bytes"


def test_delivered_file_stands_for_others_though_its_copy_is_damaged(spool):
    entry = put(spool, "x.fits", b"bytes")
    spool.mark(entry.file.id, State.DELIVERED)
    flip_a_bit(entry.file.path)
    assert put(spool, "x.fits", b"bytes").state == State.DUPLICATE


def test_nobody_waits_while_the_copy_of_an_equal_file_is_read(spool, monkeypatch):
    busy: list[bool] = []

    def read(path: Path) -> str:
        busy.append(spool._journal._lock.locked())
        return disk.digest_of(path)

    monkeypatch.setattr(commit, "digest_of", read)
    put(spool, "x.fits", b"bytes")
    assert put(spool, "x.fits", b"bytes").state == State.DUPLICATE
    assert busy == [False]


def test_equal_uploads_in_one_group_are_duplicates(spool):
    """None of them was there to be looked at before."""
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda _: put(spool, "x.fits", b"bytes"), range(16)))
    states = [entry.state for entry in entries]
    assert states.count(State.PENDING) == 1
    assert states.count(State.DUPLICATE) == 15


def test_log_tells_of_each_file_once(spool, caplog):
    with caplog.at_level(logging.INFO, "tosip.gateway.files"):
        entry = put(spool, "x.fits", b"bytes", camera="guider")
        put(spool, "x.fits", b"bytes", camera="guider")
        put(spool, "x.tmp", b"bytes", held=True)
        spool.rename("cam01", "x.tmp", "y.fits", False)
    steps = [record.__dict__["step"] for record in caplog.records]
    assert steps == ["committed", "duplicate", "held", "renamed"]
    facts = caplog.records[0].__dict__["facts"]
    assert facts.pop("seconds") >= 0
    assert facts == {
        "id": entry.file.id,
        "camera": "guider",
        "name": "x.fits",
        "size": 5,
        "hash": entry.file.digest,
    }


def test_writing_to_the_disk_begins_while_bytes_come(opened, folder, recording, monkeypatch):
    monkeypatch.setattr(partials, "WRITE_BEHIND", 2000)
    spool = opened(folder, disk=recording)
    partial = spool.begin()
    for _ in range(10):
        partial.write(bytes(1000))
    assert recording.count("start_writing") == 5
    spool.discard(partial)


def test_disk_without_write_behind_takes_uploads_too(spool, monkeypatch):
    monkeypatch.setattr(disk, "SYNC_FILE_RANGE", None)
    monkeypatch.setattr(partials, "WRITE_BEHIND", 2)
    put(spool, "x.fits", b"bytes")
    assert bytes_of(spool) == {"x.fits": b"bytes"}


def test_names_of_any_bytes_survive_a_restart(opened, folder):
    name = b"caf\xe9/\xff.fits".decode("utf-8", "surrogateescape")
    spool = opened(folder)
    put(spool, name, b"bytes")
    assert put(spool, name, b"bytes").state == State.DUPLICATE
    spool.close()
    for path in folder.glob("journal*"):
        path.unlink()
    again = opened(folder)
    assert bytes_of(again) == {name: b"bytes"}
    assert [facts.name for facts in again.names("cam01")] == [name]
