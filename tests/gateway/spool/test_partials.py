"""Interrupted uploads: kept, resumed by the same user at the right place, never forwarded."""

import pytest

from tests.gateway.spool.helpers import begun, bytes_of, described, interrupt, listed, put
from tosip.gateway.spool.partial import BLOCK, NoPartialError
from tosip.gateway.spool.stored import State

WHOLE = bytes(range(256)) * 20


def test_interrupted_upload_is_resumed_after_a_restart(opened, folder):
    spool = opened(folder)
    interrupt(spool, "x.fits", WHOLE[:3000])
    assert spool.reconcile() == []
    assert spool.totals.acknowledged == 0
    spool.close()
    again = opened(folder)
    partial = again.resume("cam01", "x.fits", 3000)
    assert partial.size == 3000
    assert b"".join(map(bytes, partial.blocks())) == WHOLE[:3000]
    partial.write(WHOLE[3000:])
    again.commit(partial, described("x.fits", WHOLE))
    assert bytes_of(again) == {"x.fits": WHOLE}
    assert listed(folder / "partial") == set()


def test_blocks_of_a_long_upload_are_all_read_back(spool):
    data = bytes(range(256)) * (BLOCK // 256) * 2 + b"end"
    partial = begun(spool, data)
    assert b"".join(map(bytes, partial.blocks())) == data
    spool.discard(partial)


@pytest.mark.parametrize(
    ("user", "name", "offset", "message"),
    [
        ("cam01", "x.fits", 2999, "expected to resume x.fits at 3000, got 2999"),
        ("cam01", "x.fits", 0, "expected to resume x.fits at 3000, got 0"),
        ("cam01", "y.fits", 3000, "expected an interrupted upload of y.fits, got none"),
        ("cam02", "x.fits", 3000, "expected an interrupted upload of x.fits, got none"),
    ],
)
def test_what_cannot_be_resumed_is_named_and_stays(spool, user, name, offset, message):
    interrupt(spool, "x.fits", WHOLE[:3000])
    with pytest.raises(NoPartialError, match=message):
        spool.resume(user, name, offset)
    spool.discard(spool.resume("cam01", "x.fits", 3000))


def test_one_upload_is_resumed_once_at_a_time(spool):
    interrupt(spool, "x.fits", WHOLE[:3000])
    partial = spool.resume("cam01", "x.fits", 3000)
    with pytest.raises(NoPartialError, match="got none"):
        spool.resume("cam01", "x.fits", 3000)
    spool.discard(partial)


@pytest.mark.parametrize("damage", [WHOLE[:2999] + b"!", WHOLE[:10]], ids=["changed", "cut"])
def test_damaged_partial_is_not_resumed(spool, folder, damage):
    interrupt(spool, "x.fits", WHOLE[:3000])
    (path,) = (path for path in (folder / "partial").iterdir() if not path.suffix)
    path.write_bytes(damage)
    with pytest.raises(NoPartialError, match="its 3000 bytes have changed on the disk"):
        spool.resume("cam01", "x.fits", 3000)
    assert listed(folder / "partial") == set()


def test_upload_interrupted_again_is_resumed_at_its_new_size(opened, folder):
    spool = opened(folder)
    interrupt(spool, "x.fits", WHOLE[:1000])
    partial = spool.resume("cam01", "x.fits", 1000)
    partial.write(WHOLE[1000:2000])
    spool.keep(partial, described("x.fits", WHOLE[:2000]))
    spool.close()
    partial = opened(folder).resume("cam01", "x.fits", 2000)
    assert b"".join(map(bytes, partial.blocks())) == WHOLE[:2000]


def test_bytes_written_after_resuming_are_dropped_by_a_crash(opened, folder):
    spool = opened(folder)
    interrupt(spool, "x.fits", WHOLE[:1000])
    spool.resume("cam01", "x.fits", 1000).write(WHOLE[1000:2000])
    spool.close()
    partial = opened(folder).resume("cam01", "x.fits", 1000)
    assert b"".join(map(bytes, partial.blocks())) == WHOLE[:1000]


def test_empty_upload_is_not_kept(spool, folder):
    interrupt(spool, "x.fits", b"")
    assert spool.facts("cam01", "x.fits") is None
    assert listed(folder / "partial") == set()


def test_newest_interrupted_upload_replaces_the_older(opened, folder):
    spool = opened(folder)
    interrupt(spool, "x.fits", b"older")
    interrupt(spool, "x.fits", b"new")
    assert len(listed(folder / "partial")) == 2
    spool.close()
    opened(folder).resume("cam01", "x.fits", 3)


def test_the_one_that_was_begun_last_is_the_newest_though_the_clock_was_set_back(
    opened, folder, recording
):
    spool = opened(folder, disk=recording)
    interrupt(spool, "x.fits", b"older")
    recording.clock = -3600.0
    interrupt(spool, "x.fits", b"new")
    assert spool.facts("cam01", "x.fits").size == 3
    spool.close()
    spool = opened(folder)
    partial = spool.resume("cam01", "x.fits", 3)
    assert b"".join(map(bytes, partial.blocks())) == b"new"


def test_superseded_upload_is_gone_for_good(opened, folder, recording):
    spool = opened(folder, disk=recording)
    interrupt(spool, "x.fits", b"older")
    interrupt(spool, "y.fits", b"other")
    recording.steps.clear()
    spool.supersede("cam01", "x.fits")
    assert recording.steps[-2:] == ["unlink partial/*.json", "sync_folder partial"]
    assert [facts.name for facts in spool.names("cam01")] == ["y.fits"]
    recording.steps.clear()
    spool.supersede("cam01", "x.fits")
    assert recording.steps == []


def test_upload_that_is_not_wanted_is_not_kept_however_late_that_turns_out(spool, folder):
    for answers in ([False], [True, False]):
        wanted = iter(answers)
        partial = begun(spool, b"bytes")
        spool.keep(partial, described("x.fits", b"bytes"), lambda wanted=wanted: next(wanted))
        assert spool.names("cam01") == []
        assert listed(folder / "partial") == set()


def test_complete_upload_makes_the_interrupted_one_needless(spool, folder):
    interrupt(spool, "x.fits", b"part")
    interrupt(spool, "y.fits", b"other")
    assert put(spool, "x.fits", b"whole").state == State.PENDING
    assert spool.facts("cam01", "x.fits").size == 5
    assert len(listed(folder / "partial")) == 2


def test_discarding_twice_is_harmless(spool, folder):
    partial = begun(spool, b"bytes")
    spool.discard(partial)
    spool.discard(partial)
    assert listed(folder / "partial") == set()


def test_uploads_that_were_neither_committed_nor_kept_go(opened, folder):
    spool = opened(folder)
    begun(spool, b"bytes").close()
    spool.close()
    opened(folder)
    assert listed(folder / "partial") == set()


def test_short_upload_is_put_into_quarantine(opened, folder):
    spool = opened(folder)
    partial = begun(spool, b"short")
    spool.quarantine(partial, described("x.fits", b"short", camera="guider"), "expected 9, got 5")
    assert bytes_of(spool) == {}
    spool.close()
    again = opened(folder)
    (found,) = again.quarantined()
    assert (found.name, found.user, found.camera, found.size) == ("x.fits", "cam01", "guider", 5)
    assert found.reason == "expected 9, got 5"
    assert found.path.read_bytes() == b"short"
    assert again.totals.quarantined == 1
    assert again.totals.balanced
    assert again.facts("cam01", "x.fits") is None
