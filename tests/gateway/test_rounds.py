"""What is done once a second: nothing is lost by a fault, nothing holds up the event loop."""

import asyncio
import errno
import gc
import io
import itertools
import time
from dataclasses import replace

import numpy as np
import pytest

from tests.gateway.spool.helpers import put as commit
from tosip.drivers.fits import read_fits
from tosip.errors import FrameError
from tosip.gateway import rounds
from tosip.gateway.settings import Keeping, Policy
from tosip.gateway.spool.disk import Disk
from tosip.gateway.spool.journal import JournalError
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import Entry, State
from tosip.gateway.spool.view import SpoolView

QUOTA = 1_000_000
FRAME = 100_000
DAY = 86400.0


@pytest.fixture
def fail_once(monkeypatch):
    """Let a method raise, once, what a full disk makes the journal say; return when it is called.

    With `when` it is the first call after that is true.
    """

    def arrange(owner, name, when=lambda: True):
        real, calls = getattr(owner, name), []

        def failing(*arguments):
            if when():
                calls.append(arguments)
                if len(calls) == 1:
                    raise JournalError(errno.ENOSPC, "journal: full")
            return real(*arguments)

        monkeypatch.setattr(owner, name, failing)
        return calls

    return arrange


@pytest.fixture
def dead(site):
    """Fill a spool with dead letters before the gateway is started; return their ids."""

    def fill(count):
        spool = Spool(site.spool)
        first = commit(spool, "0.fits", b"x").file
        ids = [first.id] + [f"{number:016x}-00000000" for number in range(1, count)]
        spool.mark(first.id, State.DEAD, reason="no")
        with spool._journal.change() as change:
            for number, file_id in enumerate(ids[1:], 1):
                path = first.path.with_name(file_id)
                path.write_bytes(b"x")
                file = replace(first, id=file_id, path=path, name=f"{number}.fits")
                change.add(Entry(file, State.DEAD, reason="no", released=True))
        spool.close()
        return ids

    return fill


# Faults


def test_overdue_file_goes_its_way_though_the_rest_of_the_round_fails(site, fail_once, image):
    site.start_archive()
    site.start_with(replace(site.settings(), policy=Policy(hold=0.1)))
    spool = site.gateway._spool
    became_due = []
    overdue = spool.overdue

    def noted(hold):
        found = overdue(hold)
        became_due.extend(found)
        return found

    spool.overdue = noted
    failed = [fail_once(spool, name, lambda: became_due) for name in ("take_requests", "dead")]
    site.upload("x.part", image())
    site.until(lambda: all(failed))
    site.until_delivered(1)
    assert [file.name for file in site.stored] == ["x.part"]


def test_request_whose_meeting_fails_is_met_later_and_others_at_once(site, fail_once, dead, until):
    first, second = dead(2)
    site.start_gateway()
    tries = fail_once(site.gateway._spool, "retry")
    view = SpoolView(site.spool)
    errors = []
    site.gateway.on_change = lambda counters: errors.append(counters.last_error)
    numbers = [view.ask("retry", [file_id]) for file_id in (first, second)]
    until(lambda: not any(map(view.waits, numbers)))
    assert sorted(ids for (ids,) in tries) == sorted([(first,), (first,), (second,)])
    assert view.totals().dead == 0
    assert any("retry asked for: " in error and "full" in error for error in errors)


def test_request_that_nobody_acted_on_survives_a_stop(site, dead):
    (file_id,) = dead(1)
    site.start_gateway()
    taken = asyncio.run_coroutine_threadsafe(_until_taken(site.gateway), site.loop)
    number = SpoolView(site.spool).ask("retry", [file_id])
    taken.result(10)
    site.stop_gateway()
    assert SpoolView(site.spool).waits(number)
    site.start_gateway()
    site.until(lambda: site.counters.dead == 0)


async def _until_taken(gateway):
    """Return when a request was taken, and is never acted on."""
    taken = asyncio.Event()

    async def hang(ids):
        taken.set()
        await asyncio.Event().wait()

    gateway.retry = hang
    await taken.wait()


def test_release_that_could_not_be_recorded_is_tried_again(running, fail_once, image, until):
    running.upload("x.fits", image())
    running.until_delivered(1)
    tries = fail_once(running.gateway._spool, "release")
    running.release(running.stored[0])
    until(lambda: not running.committed())
    assert len(tries) == 2


def test_releasing_twice_in_a_row_is_harmless(running, image, until):
    told = []
    running.loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
    running.upload("x.fits", image())
    running.until_delivered(1)
    (file,) = running.stored

    async def release():
        for _ in range(3):
            running.gateway.release(file.id)

    running.call(release())
    until(lambda: not running.committed())
    running.stop_gateway()
    gc.collect()
    assert told == []


# Many


def test_thousands_do_not_hold_up_the_event_loop(site, dead):
    dead(450)
    turns = []  # how many files were taken over, each time the loop has turned

    async def watch(gateway):
        while True:
            turns.append(len(gateway._forwarder._jobs) if gateway._forwarder else 0)
            await asyncio.sleep(0)

    async def retry():
        watching = asyncio.create_task(watch(site.gateway))
        await site.gateway.retry()
        await asyncio.sleep(0)
        watching.cancel()

    site.start_gateway()
    site.gateway.pause(True)
    site.call(retry())
    assert turns[-1] > 300
    assert max(after - before for before, after in itertools.pairwise(turns)) <= 100


def test_a_round_reads_no_more_dead_letters_than_it_shows(site, dead, monkeypatch):
    ids = dead(70)
    site.start_gateway()
    journal, read = site.gateway._spool._journal, []
    entries = journal.entries

    def counted(*arguments):
        found = entries(*arguments)
        read.append(len(found))
        return found

    monkeypatch.setattr(journal, "entries", counted)
    read_before = len(read)
    site.call(asyncio.sleep(1.2))
    assert max(read[read_before:]) == 50
    assert len(site.counters.dead_letters) == 50
    assert ids[0] in site.counters.dead_letters[-1]


# What is kept of delivered files


@pytest.fixture
def keeping(site):
    """Start an archive, and a gateway that keeps delivered files so; return what it has kept."""

    def start(**limits):
        site.start_archive()
        kept = Keeping(delivered_age=DAY, **limits)
        site.start_with(replace(site.settings(free_space=200_000), keeping=kept))
        return lambda: {
            path.name for path in (site.spool / "retained").iterdir() if path.suffix != ".json"
        }

    return start


@pytest.fixture
def each_round(monkeypatch):
    """Let what is too old or too much be looked for in each round."""
    monkeypatch.setattr(rounds, "SWEEP", 0.0)


def done_with(site, name, data):
    """Bring a file through the pipeline, and sooner or later to the archive."""
    before = len(site.stored)
    site.upload(name, data)
    site.until(lambda: len(site.stored) > before)
    site.release(site.stored[-1])
    return site.stored[-1]


def test_delivered_files_are_kept_for_their_time(site, keeping, each_round, monkeypatch, until):
    kept = keeping()
    file = done_with(site, "x.fits", b"bytes")
    until(lambda: kept() == {file.id})
    assert (site.spool / "retained" / file.id).read_bytes() == b"bytes"
    assert site.committed() == []

    monkeypatch.setattr(Disk, "now", lambda _disk: time.time() + DAY)
    until(lambda: not kept())


def test_delivered_files_are_kept_up_to_their_bytes(site, keeping, each_round, until):
    kept = keeping(delivered_bytes=250)
    for number in range(4):
        done_with(site, f"{number}.fits", bytes([number]) * 100)
    until(lambda: not site.committed() and len(kept()) == 2)


def test_what_is_kept_makes_room_when_the_disk_fills_up(site, keeping, small_disk, until):
    kept = keeping(delivered_bytes=FRAME)
    for number in range(12):
        until(lambda: len(site.committed()) + len(kept()) < 8)
        site.upload(f"{number}.fits", frame(number))
    site.until_delivered(12)
    until(lambda: len(kept()) == 1)


# A disk that fills up


@pytest.fixture
def small_disk(monkeypatch):
    """Let the copies in a spool fill a disk of `QUOTA` bytes."""

    def free_space(disk, folder):
        used = 0
        for path in (*(folder / "files").iterdir(), *(folder / "retained").iterdir()):
            try:
                used += path.stat().st_size
            except FileNotFoundError:
                continue
        return QUOTA - used

    monkeypatch.setattr(Disk, "free_space", free_space)


def frame(number):
    return bytes([number]) * FRAME


def test_pipeline_that_never_releases_does_not_fill_the_disk(site, small_disk, caplog, until):
    site.start_archive()
    site.start_gateway(free_space=200_000)
    for number in range(12):
        until(lambda: len(site.committed()) < 8)
        site.upload(f"{number}.fits", frame(number))
    site.until_delivered(12)
    # The descriptions take room too.
    until(lambda: len(site.committed()) == 5)
    assert {path.name for path in site.committed()} == {file.id for file in site.stored[7:]}
    site.until(lambda: site.counters.free_space >= 400_000)
    assert site.counters.unseen == 7
    assert "delivered files let go unseen by the pipeline" in caplog.text
    assert "delivered files let go unseen by the pipeline" in site.counters.last_error
    until(lambda: SpoolView(site.spool).notes().get("unseen") == "7")
    assert len(site.archived()) == 12


def test_what_is_not_delivered_or_not_in_the_way_is_not_let_go(site, small_disk):
    site.start_gateway(free_space=200_000)  # without an archive
    for number in range(7):
        site.upload(f"{number}.fits", frame(number))
    site.call(asyncio.sleep(1.2))
    assert site.counters.free_space < 400_000
    assert site.counters.unseen == 0
    assert len(site.committed()) == 7


def test_pipeline_reads_what_is_in_memory_and_is_told_what_is_gone(site, small_disk, image, until):
    data = image(200)
    site.start_archive()
    site.start_with(replace(site.settings(free_space=QUOTA), memory=1 << 20))
    with site.ftp() as client:
        client.storbinary("STOR x.fits", io.BytesIO(data))
    site.until(lambda: site.counters.unseen == 1)
    until(lambda: not site.committed())
    (file,) = site.stored
    received = site.received[file.id]
    assert read_fits(file.path, np.empty, memory=received).pixels.shape == (200, 200)
    with pytest.raises(FrameError, match="expected a file, got none of that name"):
        read_fits(file.path, np.empty)
    site.release(file)
