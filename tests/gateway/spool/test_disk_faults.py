"""A disk that fails at any step: an OSError, nothing lost, nothing made up, and it goes on."""

import contextlib
import dataclasses
import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateway.spool.disks import FailingDisk
from tests.gateway.spool.helpers import (
    abandon,
    begun,
    bytes_of,
    deliver,
    described,
    descriptors,
    interrupt,
    killed_after,
    listed,
    put,
)
from tosip.errors import ConfigurationError
from tosip.gateway.settings import Keeping
from tosip.gateway.spool import partial as partials
from tosip.gateway.spool import reserve
from tosip.gateway.spool.journal import JournalError
from tosip.gateway.spool.layout import Layout
from tosip.gateway.spool.partial import Partial
from tosip.gateway.spool.reserve import Reserve
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import State
from tosip.gateway.spool.view import SpoolView

BYTES = bytes(range(256)) * 40
KEPT = {"kept.fits": b"kept for ever", "held.tmp": b"held"}
Action = Callable[[Spool], object]


def _resume(spool: Spool) -> None:
    data = b"interrupted" + BYTES
    partial = spool.resume("cam01", "cut.fits", len(b"interrupted"))
    try:
        partial.write(BYTES)
        spool.commit(partial, described("new.fits", data))
    finally:
        spool.discard(partial)


def _quarantine(spool: Spool) -> None:
    spool.quarantine(begun(spool, BYTES), described("new.fits", BYTES), "expected 5, got 4")


def _sweep(spool: Spool) -> None:
    deliver(spool, put(spool, "new.fits", BYTES))
    spool.sweep()


# What is uploaded anew is called new.fits; the file that is held may become moved.fits.
ACTIONS: dict[str, Action] = {
    "commit": lambda spool: put(spool, "new.fits", BYTES),
    "duplicate": lambda spool: put(spool, "kept.fits", KEPT["kept.fits"]),
    "keep": lambda spool: interrupt(spool, "new.fits", BYTES),
    "resume": _resume,
    "quarantine": _quarantine,
    "rename": lambda spool: spool.rename("cam01", "held.tmp", "moved.fits", False),
    "hide": lambda spool: spool.hide("cam01", "cut.fits"),
    "sweep": _sweep,
}


class Trial:
    """An action on a spool whose disk fails once; what was there before must stay."""

    def __init__(self, folder: Path, action: Action) -> None:
        self.folder, self.action = folder, action
        self.disk = FailingDisk()
        self.keeping = Keeping(delivered_age=100.0)
        self.spool = Spool(folder, self.keeping, self.disk)
        for name, data in KEPT.items():
            put(self.spool, name, data, held=name.endswith(".tmp"))
        interrupt(self.spool, "cut.fits", b"interrupted")
        self.descriptors = descriptors()
        self.acknowledged = False

    def fail(self, number: int, code: int, *, broken: bool) -> str:
        """Do it with a failure at this step; return which step failed, if there was one."""
        self.disk.fail(number, code, broken=broken)
        try:
            self.action(self.spool)
        except OSError:
            assert self.disk.failed
        except partials.NoPartialError:
            assert self.disk.failed in ("open", "truncate")
        else:
            self.acknowledged = True
        failed = self.disk.failed
        self.disk.heal()
        return failed

    def check(self) -> None:
        assert descriptors() == self.descriptors
        self._check_files(self.spool)
        put(self.spool, "later.fits", BYTES[1:])
        before = self.spool.totals
        self.spool.close()
        again = Spool(self.folder)
        try:
            assert bytes_of(again)["later.fits"] == BYTES[1:]
            assert again.dead() == []
            self._check_files(again)
            assert again.totals == before
        finally:
            again.close()

    def _check_files(self, spool: Spool) -> None:
        found = bytes_of(spool)
        found.pop("later.fits", None)
        new = found.pop("new.fits", None)
        assert new is None or self.acknowledged
        assert new in (None, BYTES, b"interrupted" + BYTES)
        if "moved.fits" in found:
            found["held.tmp"] = found.pop("moved.fits")
        assert found == KEPT
        assert spool.totals.balanced
        assert spool.totals.pending == len(bytes_of(spool))


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
def test_each_step_that_fails_once(tmp_path, name, code):
    failed: list[str] = []
    while len(failed) < 60:
        trial = Trial(tmp_path / str(len(failed)), ACTIONS[name])
        failed.append(trial.fail(len(failed), code, broken=False))
        trial.check()
        if not failed[-1]:
            break
    assert failed[-1] == ""
    assert len(failed) > 1


@pytest.mark.parametrize("name", ["commit", "keep", "quarantine", "rename"])
def test_disk_that_fails_from_some_step_on(tmp_path, name):
    """What cannot be undone either may be found again later: whole, and under its name."""
    number, failed = 0, "not yet"
    while failed:
        trial = Trial(tmp_path / str(number), ACTIONS[name])
        failed = trial.fail(number, errno.EIO, broken=True)
        abandon(trial.spool)
        again = Spool(trial.folder)
        found = bytes_of(again)
        assert found.get("new.fits", BYTES) == BYTES
        assert KEPT["held.tmp"] in (found.get("held.tmp"), found.get("moved.fits"))
        assert found["kept.fits"] == KEPT["kept.fits"]
        assert again.totals.balanced
        assert again.dead() == []
        again.close()
        number += 1
    assert number > 4


def test_failed_sync_is_not_tried_again(opened, folder, failing):
    spool = opened(folder, disk=failing)
    partial = begun(spool, BYTES)
    failing.fail(0, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        spool.commit(partial, described("x.fits", BYTES))
    assert failing.failed == "sync"
    with pytest.raises(OSError, match="got one that has ended"):
        spool.commit(partial, described("x.fits", BYTES))
    assert listed(folder / "partial") == set()
    spool.discard(partial)


def test_short_writes_are_completed(opened, folder, failing, monkeypatch):
    whole = failing.write
    monkeypatch.setattr(failing, "write", lambda fd, block, at: whole(fd, block[:1000], at))
    spool = opened(folder, disk=failing)
    put(spool, "x.fits", BYTES)
    assert bytes_of(spool) == {"x.fits": BYTES}


def test_write_behind_that_fails_is_an_error(opened, folder, failing, monkeypatch):
    monkeypatch.setattr(partials, "WRITE_BEHIND", 1000)
    spool = opened(folder, disk=failing)
    partial = spool.begin()
    failing.fail(1, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        partial.write(BYTES)
    assert failing.failed == "start_writing"
    spool.discard(partial)


def limit_pages(spool: Spool, more: int) -> None:
    """Let the journal grow by so many pages and no further, as on a full disk."""
    db = spool._journal._db
    (count,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count={count + more}")


def fill(spool: Spool, patience: int) -> dict[str, bytes]:
    """Upload until that many were refused because of a full disk; return what was accepted."""
    accepted: dict[str, bytes] = {}
    refused = []
    for number in range(1000):
        name, data = f"{number}-{'x' * 200}.fits", bytes([number % 251, number // 251]) * 4000
        try:
            put(spool, name, data)
        except OSError as error:
            refused.append(error.errno)
            if len(refused) == patience:
                break
        else:
            accepted[name] = data
    assert refused == [errno.ENOSPC] * patience
    return accepted


def test_full_journal_refuses_and_goes_on_when_there_is_room_again(opened, folder):
    spool = opened(folder)
    limit_pages(spool, 2)
    accepted = fill(spool, 1)
    assert bytes_of(spool) == accepted
    assert len(listed(folder / "files")) == 2 * len(accepted)
    assert listed(folder / "partial") == set()
    assert spool.totals.balanced
    limit_pages(spool, 10000)
    put(spool, "later.fits", BYTES)
    spool.close()
    assert bytes_of(opened(folder)) == accepted | {"later.fits": BYTES}


def test_full_journal_and_everything_else(opened, folder):
    spool = opened(folder)
    held = put(spool, "x.tmp", b"x", held=True)
    limit_pages(spool, 0)
    name = "x" * 5000
    with pytest.raises(OSError, match="full"):
        spool.rename("cam01", "x.tmp", name, False)
    with pytest.raises(OSError, match="full"):
        spool.mark(held.file.id, State.DEAD, reason=name)
    with pytest.raises(OSError, match="full"):
        spool.note(error=name)
    fill(spool, 1)
    assert spool.facts("cam01", "x.tmp") is not None
    for path in folder.glob("journal*"):
        path.unlink()
    spool.close()
    assert bytes_of(opened(folder))["x.tmp"] == b"x"


@contextlib.contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond this size: SQLite takes that for a broken disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_log_that_could_not_be_written_is_begun_anew(opened, folder, tmp_path):
    """Bytes of it may be gone unnoticed after an error; nothing may be written behind them."""
    spool = opened(folder)
    accepted = {f"{number}.fits": BYTES[number:] for number in range(5)}
    for name, data in accepted.items():
        put(spool, name, data)
    log = folder / "journal.sqlite-wal"
    size = log.stat().st_size
    with no_file_beyond(size + 1000), pytest.raises(JournalError, match="disk I/O error"):
        put(spool, "refused.fits", BYTES)
    assert log.stat().st_size > size
    assert bytes_of(spool) == accepted

    sizes = []
    for name in ("y.fits", "z.fits"):
        accepted[name] = name.encode()
        put(spool, name, accepted[name])
        sizes.append(log.stat().st_size)
    assert 0 < sizes[0] < sizes[1] < size
    assert spool.totals.acknowledged == len(accepted)

    # As a gateway finds it that was killed now.
    shutil.copytree(folder, tmp_path / "left")
    again = opened(tmp_path / "left")
    assert bytes_of(again) == accepted
    assert again.dead() == []
    assert again.totals == spool.totals


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("expected to run as root to mount a small disk")
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("expected to be allowed to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_disk_that_is_really_full_is_drained(small_disk, monkeypatch):
    monkeypatch.setattr(reserve, "PLENTY", reserve.SIZE)
    spool = Spool(small_disk / "spool")
    assert (small_disk / "spool" / "reserve").stat().st_size == reserve.SIZE
    try:
        accepted = fill(spool, 20)
        assert len(accepted) > 20
        assert bytes_of(spool) == accepted
        assert spool.totals.balanced
        (small_disk / "others").write_bytes(bytes(spool.free_space()))
        for gone in spool.reconcile()[:10]:
            deliver(spool, gone)
            del accepted[gone.file.name]
        spool.sweep()
        put(spool, "later.fits", b"later")
    finally:
        spool.close()
    again = Spool(small_disk / "spool")
    try:
        assert bytes_of(again) == accepted | {"later.fits": b"later"}
        assert again.totals.delivered == 10
        assert again.dead() == []
    finally:
        again.close()


def write_all_there_is_room_for(write: Callable[[bytes], object]) -> None:
    size = 1 << 20
    while size:
        try:
            write(bytes(size))
        except OSError:
            size //= 2


def fill_up(disk: Path) -> None:
    """Leave no room at all, as other programs may."""
    with (disk / "others").open("ab", buffering=0) as file:
        write_all_there_is_room_for(file.write)
    assert shutil.disk_usage(disk).free == 0


def _new_upload(spool: Spool) -> Partial:
    return spool.begin()


def _resumed_upload(spool: Spool) -> Partial:
    interrupt(spool, "cut.fits", b"interrupted")
    return spool.resume("cam01", "cut.fits", len(b"interrupted"))


@pytest.mark.parametrize("begin", [_new_upload, _resumed_upload])
def test_uploads_that_fill_the_disk_do_not_keep_a_gateway_from_starting(
    small_disk, monkeypatch, begin
):
    monkeypatch.setattr(reserve, "PLENTY", reserve.SIZE)
    folder = small_disk / "spool"

    def upload() -> None:
        spool = Spool(folder)
        put(spool, "x.fits", BYTES)
        write_all_there_is_room_for(begin(spool).write)

    killed_after(upload)
    assert shutil.disk_usage(small_disk).free == 0
    again = Spool(folder)
    try:
        assert bytes_of(again) == {"x.fits": BYTES}
        put(again, "y.fits", BYTES)
        assert (folder / "reserve").exists()
    finally:
        again.close()


@pytest.fixture(params=["killed", "closed"])
def filled(small_disk: Path, monkeypatch: pytest.MonkeyPatch, request) -> Path:
    """The folder of a spool whose gateway has ended, and whose disk others have filled since."""
    monkeypatch.setattr(reserve, "PLENTY", reserve.SIZE)

    def upload() -> None:
        spool = Spool(small_disk / "spool")
        put(spool, "x.fits", BYTES)
        if request.param == "closed":
            spool.close()

    killed_after(upload)
    fill_up(small_disk)
    return small_disk / "spool"


def test_gateway_starts_on_a_full_disk_by_its_reserve(filled):
    spool = Spool(filled)
    try:
        assert bytes_of(spool) == {"x.fits": BYTES}
        assert not (filled / "reserve").exists()
        (entry,) = spool.reconcile()
        deliver(spool, entry)
        spool.settle()
        assert listed(filled / "files") == set()
    finally:
        spool.close()


def test_start_that_fails_on_a_full_disk_says_so(filled):
    (filled / "reserve").unlink()
    fill_up(filled.parent)
    with pytest.raises(ConfigurationError, match=f"expected room on its disk, got {filled} "):
        Spool(filled)
    (filled.parent / "others").unlink()
    again = Spool(filled)
    assert bytes_of(again) == {"x.fits": BYTES}
    again.close()


def dead_letters(folder: Path, count: int) -> Spool:
    spool = Spool(folder)
    for number in range(count):
        entry = put(spool, f"{number}.fits", b"%d" % number)
        spool.mark(entry.file.id, State.DEAD, reason="553 no")
        spool.release(entry.file.id)
    put(spool, "held.tmp", b"held", held=True)
    return spool


@pytest.mark.parametrize(
    "action", [lambda spool: spool.retry(None), lambda spool: spool.overdue(0.0)]
)
def test_reserve_is_there_for_what_people_and_rounds_do(small_disk, monkeypatch, action):
    monkeypatch.setattr(reserve, "PLENTY", reserve.SIZE)
    spool = dead_letters(small_disk / "spool", 20)
    try:
        fill_up(small_disk)
        while (small_disk / "spool" / "reserve").exists():
            assert action(spool)
            put_back(spool)
        assert spool.totals.balanced
    finally:
        spool.close()


def put_back(spool: Spool) -> None:
    """Make dead letters and held files again of what was retried or overdue."""
    with spool._journal.change() as change:
        for entry in change.entries("state=?", State.PENDING):
            state = State.HELD if entry.file.name == "held.tmp" else State.DEAD
            change.replace(entry, dataclasses.replace(entry, state=state, reason="553 no"))


def test_command_can_write_its_request_on_a_full_disk(small_disk, monkeypatch):
    monkeypatch.setattr(reserve, "PLENTY", reserve.SIZE)
    folder = small_disk / "spool"
    spool = dead_letters(folder, 1)
    try:
        fill_up(small_disk)
        ids = [f"{number:060}" for number in range(3000)]
        with pytest.raises(OSError, match="full"):
            SpoolView(folder).ask("discard", ids)
        spool.settle()
        SpoolView(folder).ask("discard", ids)
        assert len(spool.take_requests()) == 1
    finally:
        spool.close()


def test_reserve_is_kept_while_no_person_is_needed(small_disk, monkeypatch):
    monkeypatch.setattr(reserve, "PLENTY", reserve.SIZE)
    folder = small_disk / "spool"
    spool = dead_letters(folder, 0)
    try:
        fill_up(small_disk)
        spool.settle()
        assert (folder / "reserve").exists()
    finally:
        spool.close()


class CrampedDisk(FailingDisk):
    """Has as much room as it is told."""

    room = 1 << 30

    def free_space(self, folder: Path) -> int:
        return self.room


@pytest.mark.parametrize(
    ("code", "room", "spent"),
    [
        (errno.ENOSPC, 1 << 30, True),
        (errno.EIO, 0, True),
        (errno.EIO, 1 << 30, False),
        (errno.EACCES, 0, False),
    ],
)
def test_reserve_is_spent_on_errors_of_a_full_disk_only(tmp_path, code, room, spent):
    disk, layout = CrampedDisk(), Layout(tmp_path)
    space = Reserve(layout, disk)
    space.fill()
    disk.room = room
    tries: list[int] = []

    def work() -> None:
        tries.append(1)
        if layout.reserve.exists():
            raise OSError(code, "no")

    if spent:
        space.spend(work)
    else:
        with pytest.raises(OSError, match="no"):
            space.spend(work)
    assert layout.reserve.exists() == (not spent)
    assert len(tries) == 1 + spent
