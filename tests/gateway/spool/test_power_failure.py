"""What was acknowledged survives a power failure: nothing that was not synced is relied on."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.spool.helpers import (
    abandon,
    begun,
    bytes_of,
    deliver,
    described,
    interrupt,
    listed,
    put,
)
from tests.gateway.spool.lossy_disk import LossyDisk, PowerFailure
from tosip.gateway.spool.disk import Disk
from tosip.gateway.spool.partial import NoPartialError
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import State

BYTES = bytes(range(256)) * 300


class Camera:
    """Uploads, and remembers what was acknowledged: the bytes under each name."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.acknowledged: dict[str, bytes] = {}
        self.sent: dict[str, bytes] = {}

    def upload(self, name: str, data: bytes, *, held: bool = False) -> None:
        self.sent[name] = data
        put(self.spool, name, data, held=held)
        self.acknowledged[name] = data

    def rename(self, old: str, new: str) -> None:
        data = self.sent[new] = self.acknowledged.pop(old)
        try:
            self.spool.rename("cam01", old, new, False)
        except PowerFailure:
            self.sent[old] = data
            raise
        self.acknowledged[new] = data


def everything_is_there(folder: Path, camera: Camera) -> bool:
    """Whether a new gateway finds all that was acknowledged, under its names, and nothing else.

    With the journal lost as well, unacknowledged bytes may come back under a name that tells so.
    """
    lost = not (folder / "journal.sqlite").exists()
    spool = Spool(folder)
    try:
        found = bytes_of(spool)
        totals = spool.totals
        return (
            totals.balanced
            and spool.dead() == []
            and totals.pending == len(found)
            and all(found.get(name) == data for name, data in camera.acknowledged.items())
            and all(
                camera.sent.get(name) == data or (lost and name.startswith("recovered/"))
                for name, data in found.items()
            )
        )
    finally:
        spool.close()


@pytest.fixture
def disk(folder) -> LossyDisk:
    return LossyDisk(folder)


def survives(disk: LossyDisk, camera: Camera, target: Path) -> bool:
    return all(everything_is_there(left, camera) for left in disk.worst(target))


def test_acknowledged_files_survive_the_worst(opened, folder, disk, tmp_path):
    camera = Camera(opened(folder, disk=disk))
    camera.upload("a.fits", BYTES)
    camera.upload("b.fits", BYTES[::-1])
    camera.upload("c.tmp", BYTES[1:], held=True)
    assert survives(disk, camera, tmp_path / "left")


def test_renamed_file_survives_the_worst_under_its_new_name(opened, folder, disk, tmp_path):
    camera = Camera(opened(folder, disk=disk))
    camera.upload("c.tmp", BYTES, held=True)
    camera.rename("c.tmp", "c.fits")
    assert survives(disk, camera, tmp_path / "left")


def syncs_of(spool: Spool, disk: LossyDisk, action: str) -> tuple[Camera, range]:
    """Do an action; return the camera and which syncs were the action's own."""
    camera = Camera(spool)
    if action == "rename":
        camera.upload("x.tmp", BYTES, held=True)
    first = len(disk.syncs)
    if action == "rename":
        camera.rename("x.tmp", "x.fits")
    else:
        camera.upload("x.fits", BYTES, held=False)
    return camera, range(first, len(disk.syncs))


EACH_SYNC = [
    ("commit", "sync partial/*"),
    ("commit", "sync partial/*.json"),
    ("commit", "sync_folder files"),
    ("rename", "sync partial/*.json"),
    ("rename", "sync_folder files"),
]


@pytest.mark.parametrize(("action", "missing"), EACH_SYNC)
def test_a_missing_fsync_is_caught(opened, folder, disk, tmp_path, action, missing):
    whole = LossyDisk(tmp_path / "whole")
    camera, numbers = syncs_of(opened(tmp_path / "whole", disk=whole), whole, action)
    done = [whole.syncs[number] for number in numbers]
    assert done == [step for owner, step in EACH_SYNC if owner == action]
    assert survives(whole, camera, tmp_path / "left")

    disk.skip = {numbers[done.index(missing)]}
    camera, _ = syncs_of(opened(folder, disk=disk), disk, action)
    assert not survives(disk, camera, tmp_path / "lost")


def test_missing_sync_of_the_folders_themselves_is_caught(opened, folder, disk, tmp_path):
    disk.skip_all = f"sync_folder {folder.name}"
    camera = Camera(opened(folder, disk=disk))
    camera.upload("x.fits", BYTES)
    assert not survives(disk, camera, tmp_path / "lost")


def test_file_that_a_killed_gateway_left_is_synced_before_it_is_relied_on(
    opened, folder, disk, tmp_path
):
    """Killed between rename and sync; a second upload of the same must not count on it unsynced."""
    spool = opened(folder, disk=disk)
    partial = begun(spool, BYTES)
    disk.fail_at = "sync_folder"
    with pytest.raises(PowerFailure):
        spool.commit(partial, described("x.fits", BYTES))
    abandon(spool)
    assert partial.id in listed(folder / "files")
    disk.come_back()
    camera = Camera(opened(folder, disk=disk))
    camera.upload("x.fits", BYTES)
    assert camera.spool.totals.duplicates == 1
    assert all(bytes_found(left) == {"x.fits": BYTES} for left in disk.worst(tmp_path / "left"))


@pytest.mark.parametrize("moment", ["sync_folder", "rename", "unlink"])
def test_file_that_was_not_acknowledged_does_not_come_back_nameless(
    opened, folder, disk, tmp_path, moment
):
    spool = opened(folder, disk=disk)
    camera = Camera(spool)
    disk.fail_at = moment
    with pytest.raises(PowerFailure):
        camera.upload("x.fits", BYTES)
    for number, suffix in enumerate([".json", ""]):
        left = disk.crash(
            tmp_path / str(number),
            keeps=lambda change, suffix=suffix: not change.name.endswith(suffix or "?"),
            choose=lambda variants: variants[0],
            journal=True,
        )
        assert everything_is_there(left, camera)


def test_description_that_was_not_moved_in_time_is_found(opened, folder):
    """The rename of the bytes has reached the disk, the one of their description has not."""
    spool = opened(folder)
    entry = put(spool, "x.fits", BYTES)
    spool.close()
    for path in folder.glob("journal*"):
        path.unlink()
    moved = f"{entry.file.id}.json"
    (folder / "files" / moved).rename(folder / "partial" / moved)
    assert bytes_found(folder) == {"x.fits": BYTES}
    assert moved in listed(folder / "files")


def bytes_found(folder: Path) -> dict[str, bytes]:
    spool = Spool(folder)
    found = bytes_of(spool)
    spool.close()
    return found


def test_kept_partial_is_resumed_with_its_own_bytes_or_not_at_all(opened, folder, disk, tmp_path):
    spool = opened(folder, disk=disk)
    interrupt(spool, "x.fits", BYTES[:1000])
    resumed = spool.resume("cam01", "x.fits", 1000)
    resumed.write(BYTES[1000:2000])
    for left in disk.worst(tmp_path / "left"):
        again = opened(left)
        partial = again.resume("cam01", "x.fits", 1000)
        assert b"".join(map(bytes, partial.blocks())) == BYTES[:1000]
        again.discard(partial)


def test_partial_whose_bytes_were_not_synced_is_not_resumed(opened, folder, disk, tmp_path):
    spool = opened(folder, disk=disk)
    disk.skip = {len(disk.syncs)}
    interrupt(spool, "x.fits", BYTES)
    lost = list(disk.worst(tmp_path / "left"))
    for left in lost:
        again = opened(left)
        try:
            partial = again.resume("cam01", "x.fits", len(BYTES))
        except NoPartialError:
            assert again.facts("cam01", "x.fits") is None
        else:
            assert b"".join(map(bytes, partial.blocks())) == BYTES
            again.discard(partial)


def test_delivered_file_does_not_come_back_under_another_name(opened, folder, disk, tmp_path):
    spool = opened(folder, disk=disk)
    deliver(spool, put(spool, "x.fits", BYTES))
    put(spool, "y.fits", BYTES[1:])
    spool.sweep()
    for left in disk.worst(tmp_path / "left"):
        again = opened(left)
        assert set(bytes_of(again)) <= {"x.fits", "y.fits"}
        assert again.dead() == []


def schedules() -> Iterator[st.SearchStrategy[tuple[str, int]]]:
    yield st.tuples(st.just("upload"), st.integers(0, 3))
    yield st.tuples(st.just("held"), st.integers(0, 3))
    yield st.tuples(st.just("rename"), st.integers(0, 3))
    yield st.tuples(st.just("interrupt"), st.integers(0, 3))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(st.one_of(*schedules()), max_size=5),
    moment=st.integers(0, 60),
    dice=st.randoms(use_true_random=False),
)
def test_power_failure_at_any_moment(tmp_path, steps, moment, dice: random.Random):
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    disk = LossyDisk(folder / "spool")
    camera = Camera(Spool(folder / "spool", disk=disk))
    disk.fail_after(moment)
    try:
        for number, (action, size) in enumerate(steps):
            name, data = f"{number}.fits", bytes([number]) * size * 4000
            if action == "interrupt":
                interrupt(camera.spool, name, data)
                continue
            camera.upload(name, data, held=action != "upload")
            if action == "rename":
                camera.rename(name, f"{number}.new")
    except PowerFailure:
        pass
    left = disk.any_case(folder / "left", dice)
    abandon(camera.spool)
    assert everything_is_there(left, camera)


def test_lasting_changes_are_synced_and_the_others_follow_them(spool, folder):
    synchronous = []

    def traced(statement: str) -> None:
        if statement.startswith("PRAGMA synchronous="):
            synchronous.append(statement.partition("=")[2])

    spool._journal._db.set_trace_callback(traced)
    entry = put(spool, "x.fits", BYTES)
    spool.rename("cam01", put(spool, "y.tmp", b"y", held=True).file.name, "y.fits", False)
    spool.mark(put(spool, "z.fits", b"z").file.id, State.DEAD)
    spool.retry(None)
    assert set(synchronous) == {"FULL"}
    for change in (
        lambda: spool.mark(entry.file.id, State.RENAMING, "x.fits"),
        lambda: spool.mark(entry.file.id, State.DELIVERED, "x.fits"),
        lambda: spool.release(entry.file.id),
    ):
        synchronous.clear()
        change()
        assert synchronous == ["NORMAL"]
    put(spool, "z.fits", BYTES)
    assert synchronous[-1] == "FULL"
    assert spool._journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert spool._journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


class UnlinkingDisk(Disk):
    """Tells of each file that goes."""

    def __init__(self, told):
        self._told = told

    def unlink(self, path):
        self._told(f"unlink {path.name}")
        super().unlink(path)


def test_a_copy_goes_when_the_disk_has_the_record_that_it_may(opened, folder):
    steps: list[str] = []
    spool = opened(folder, disk=UnlinkingDisk(steps.append))
    entries = [put(spool, f"{number}.fits", b"%d" % number) for number in range(3)]
    for entry in entries:
        deliver(spool, entry)
    assert all(entry.file.path.exists() for entry in entries)

    def traced(statement: str) -> None:
        if statement == "COMMIT" or statement.startswith("PRAGMA synchronous="):
            steps.append(statement)

    log = folder / "journal.sqlite-wal"
    before = log.read_bytes()
    spool._journal._db.set_trace_callback(traced)
    steps.clear()
    spool.settle()

    # One sync for all of them, of a transaction that SQLite has something to write for.
    assert steps[:2] == ["PRAGMA synchronous=FULL", "COMMIT"]
    assert log.read_bytes() != before
    assert steps.count("COMMIT") == 1
    assert {f"unlink {entry.file.id}" for entry in entries} < set(steps[2:])
    steps.clear()
    spool.settle()
    assert steps == []


def test_a_delivery_that_the_disk_never_heard_of_is_done_again(opened, folder, tmp_path):
    spool = opened(folder)
    entry = put(spool, "x.fits", BYTES)
    parts = [path for path in folder.iterdir() if path.name.startswith("journal.sqlite")]
    synced = {path: path.read_bytes() for path in parts}
    deliver(spool, entry)
    left = tmp_path / "left"
    shutil.copytree(folder, left)
    for path, content in synced.items():
        (left / path.name).write_bytes(content)
    (left / "journal.sqlite-shm").unlink()

    (again,) = opened(left).reconcile()
    assert (again.file.name, again.state, again.released) == ("x.fits", State.PENDING, False)
    assert again.file.path.read_bytes() == BYTES
