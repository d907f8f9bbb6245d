"""A restart goes on with what is in the spool, whatever has become of the journal."""

import json
import logging
import random
import sqlite3

import pytest

from tests.gateway.spool.helpers import begun, bytes_of, crash, deliver, interrupt, listed, put
from tosip.errors import ConfigurationError
from tosip.gateway.settings import Keeping
from tosip.gateway.spool import journal as journals
from tosip.gateway.spool import spool as spools
from tosip.gateway.spool.schema import SCHEMA
from tosip.gateway.spool.stored import Entry, State, Totals


def lose_journal(folder):
    for path in folder.glob("journal.sqlite*"):
        path.unlink()


def test_restart_gives_back_what_is_still_needed_oldest_first(opened, folder):
    spool = opened(folder)
    entries = [put(spool, f"{number}.fits", bytes([number])) for number in range(6)]
    ids = [entry.file.id for entry in entries]
    held = put(spool, "x.tmp", b"x", held=True)
    deliver(spool, entries[0])
    spool.mark(ids[1], State.DELIVERED)
    spool.mark(ids[2], State.RENAMING, "2.fits", refusals=3)
    spool.release(ids[3])
    spool.mark(ids[4], State.DEAD, reason="550 no")
    spool.mark(ids[5], State.DEAD)
    spool.release(ids[5])
    before, totals = spool.reconcile(), spool.totals
    spool.close()
    again = opened(folder)
    found = again.reconcile()
    assert found == before
    assert [entry.file.id for entry in found] == [ids[1], ids[2], ids[3], ids[4], held.file.id]
    assert found[1] == Entry(entries[2].file, State.RENAMING, "2.fits", refusals=3)
    assert again.totals == totals
    assert again.totals.balanced
    assert again.oldest_pending() == entries[2].file.received


def test_files_without_a_journal_are_recovered_from_their_descriptions(opened, folder, caplog):
    spool = opened(folder)
    entries = [
        put(spool, "a/x.fits", b"x", camera="guider"),
        put(spool, "y.tmp", b"yy", user="cam02", held=True),
    ]
    spool.close()
    lose_journal(folder)
    again = opened(folder)
    assert again.reconcile() == entries
    assert again.totals == Totals(2, pending=2, bytes_acknowledged=3, bytes_pending=3)
    assert caplog.text.count("had no record; recovered") == 2


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"not json", b'{"name": 5}'])
def test_file_without_a_readable_description_is_recovered_from_its_bytes(opened, folder, content):
    spool = opened(folder)
    entry = put(spool, "x.fits", b"bytes")
    spool.close()
    lose_journal(folder)
    description = folder / "files" / f"{entry.file.id}.json"
    description.unlink()
    if content is not None:
        description.write_bytes(content)
    (found,) = opened(folder).reconcile()
    assert found.file.name == f"recovered/{entry.file.id}"
    assert (found.file.digest, found.file.size) == (entry.file.digest, 5)
    assert not found.file.proven


def test_renamed_file_is_recovered_under_its_new_name(opened, folder):
    spool = opened(folder)
    put(spool, "x.tmp", b"bytes", held=True)
    renamed = spool.rename("cam01", "x.tmp", "x.fits", False)
    spool.close()
    lose_journal(folder)
    assert opened(folder).reconcile() == [renamed]


@pytest.mark.parametrize(
    "garbage",
    [b"not a database at all " * 1000, b"SQLite format 3\0" + bytes(5000), bytes(5000)],
    ids=["text", "header", "zeros"],
)
def test_broken_journal_is_put_aside_and_made_anew(opened, folder, caplog, garbage):
    spool = opened(folder)
    entry = put(spool, "x.fits", b"bytes")
    spool.close()
    for number in (1, 2):
        (folder / "journal.sqlite").write_bytes(garbage)
        caplog.clear()
        again = opened(folder)
        assert again.reconcile() == [entry]
        assert again.totals.balanced
        again.close()
        assert (folder / f"journal.broken-{number}").read_bytes() == garbage
        assert "the journal is broken" in caplog.text
        assert caplog.records[0].levelno == logging.ERROR


def damaged_tables(path):
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE totals")
    db.close()


def older_version(path):
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=1")
    db.close()


def flipped_bits(path):
    content = bytearray(path.read_bytes())
    content[4096:] = random.Random(1).randbytes(len(content) - 4096)
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [damaged_tables, older_version, flipped_bits])
def test_unsound_journal_is_put_aside(opened, folder, damage):
    spool = opened(folder)
    entry = put(spool, "x.fits", b"bytes")
    spool.close()
    damage(folder / "journal.sqlite")
    assert opened(folder).reconcile() == [entry]
    assert (folder / "journal.broken-1").exists()


def test_journal_of_a_newer_version_is_refused_and_left_alone(opened, folder):
    opened(folder).close()
    db = sqlite3.connect(folder / "journal.sqlite")
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(ConfigurationError, match="journal: expected version 2, got 99"):
        opened(folder)
    assert (folder / "journal.sqlite").exists()


def test_log_without_its_journal_is_put_aside(opened, folder):
    spool = opened(folder)
    entry = put(spool, "x.fits", b"bytes")
    wal = (folder / "journal.sqlite-wal").read_bytes()
    spool.close()
    lose_journal(folder)
    (folder / "journal.sqlite-wal").write_bytes(wal)
    assert opened(folder).reconcile() == [entry]
    assert (folder / "journal.broken-1-wal").read_bytes() == wal


def test_torn_log_loses_no_acknowledged_file(opened, folder, tmp_path):
    spool = opened(folder)
    names = {f"{number}.fits": bytes([number]) for number in range(12)}
    for name, data in names.items():
        put(spool, name, data)
    wal = (folder / "journal.sqlite-wal").read_bytes()
    journal = (folder / "journal.sqlite").read_bytes()
    spool.close()
    dice = random.Random(7)
    for length in [0, 1, 32, 33, *(dice.randrange(len(wal)) for _ in range(15))]:
        lose_journal(folder)
        (folder / "journal.sqlite").write_bytes(journal)
        (folder / "journal.sqlite-wal").write_bytes(wal[:length])
        again = opened(folder)
        assert bytes_of(again) == names
        assert again.totals == Totals(12, pending=12, bytes_acknowledged=12, bytes_pending=12)
        again.close()


def test_copy_that_is_gone_is_a_dead_letter(opened, folder, caplog):
    spool = opened(folder)
    put(spool, "x.fits", b"bytes").file.path.unlink()
    cut = put(spool, "y.fits", b"bytes").file.path
    cut.write_bytes(b"byte")
    spool.close()
    again = opened(folder)
    gone, short = again.dead()
    assert gone.reason == "its copy is gone from the spool"
    assert short.reason == "expected 5 bytes in the spool, got 4"
    assert again.totals.dead == 2
    assert again.totals.balanced
    assert "x.fits" in caplog.text
    # The pipeline cannot get what is not there.
    assert again.reconcile() == [short]
    assert again.retry(None)[0].file.name == "y.fits"


def test_delivered_copy_that_is_gone_counts_as_released(opened, folder):
    spool = opened(folder)
    entry = put(spool, "x.fits", b"bytes")
    spool.mark(entry.file.id, State.DELIVERED)
    entry.file.path.unlink()
    spool.close()
    again = opened(folder)
    assert again.reconcile() == again.dead() == []


def test_what_nobody_needs_is_removed(opened, folder):
    spool = opened(folder)
    entry = put(spool, "x.fits", b"bytes")
    deliver(spool, entry)
    kept = put(spool, "y.fits", b"bytes")
    interrupt(spool, "z.fits", b"byt")
    spool.begin().close()
    spool.close()
    (folder / "files" / entry.file.id).write_bytes(b"bytes")
    (folder / "files" / f"{entry.file.id}.json").write_text("{}")
    (folder / "files" / "0-orphan.json").write_text("{}")
    (folder / "partial" / "0-orphan.kept").write_text("{}")
    (folder / "partial" / "0.new").write_text("{}")
    (folder / "quarantine" / "0-orphan.json").write_text("{}")
    again = opened(folder)
    assert listed(folder / "files") == {kept.file.id, f"{kept.file.id}.json"}
    assert listed(folder / "quarantine") == set()
    (partial,) = (name for name in listed(folder / "partial") if "." not in name)
    assert listed(folder / "partial") == {partial, f"{partial}.kept"}
    assert again.resume("cam01", "z.fits", 3).id == partial


def test_retained_files_are_known_as_delivered_without_a_journal(opened, folder):
    spool = opened(folder, Keeping(delivered_age=1000.0))
    deliver(spool, put(spool, "x.fits", b"bytes"))
    spool.close()
    lose_journal(folder)
    again = opened(folder, Keeping(delivered_age=1000.0))
    assert again.reconcile() == []
    assert again.totals == Totals(1, delivered=1, bytes_acknowledged=5, bytes_delivered=5)
    assert put(again, "x.fits", b"bytes").state == State.DUPLICATE


def test_retained_file_that_must_be_delivered_after_all_comes_back(opened, folder):
    """As when the journal has lost its last records."""
    spool = opened(folder, Keeping(delivered_age=1000.0))
    entry = put(spool, "x.fits", b"bytes")
    spool.close()
    for path in (entry.file.path, entry.file.path.with_name(f"{entry.file.id}.json")):
        path.rename(folder / "retained" / path.name)
    assert bytes_of(opened(folder)) == {"x.fits": b"bytes"}


def test_delivered_files_are_retained_though_it_was_killed_before(opened, folder):
    keeping = Keeping(delivered_age=1000.0)
    spool = opened(folder, keeping)
    entry = put(spool, "x.fits", b"bytes")
    deliver(spool, entry)
    totals = spool.totals
    crash(spool)
    again = opened(folder, keeping)
    assert listed(folder / "retained") == {entry.file.id, f"{entry.file.id}.json"}
    assert listed(folder / "files") == set()
    assert again.totals == totals


def test_what_uploads_have_left_goes_before_the_journal_is_opened(opened, folder, monkeypatch):
    """It may be what fills the disk, which SQLite cannot do without."""
    spool = opened(folder)
    interrupt(spool, "x.fits", b"kept")
    resumed = spool.resume("cam01", "x.fits", 4)
    resumed.write(b"more")
    begun(spool, b"bytes").close()
    resumed.close()
    crash(spool)
    monkeypatch.setattr(spools, "open_journal", lambda *_: pytest.fail("as it ought to"))
    with pytest.raises(pytest.fail.Exception):
        opened(folder)
    assert listed(folder / "partial") == {resumed.id, f"{resumed.id}.kept"}
    assert (folder / "partial" / resumed.id).read_bytes() == b"kept"
    monkeypatch.undo()
    opened(folder).resume("cam01", "x.fits", 4).close()


def test_tables_are_made_once(opened, folder, monkeypatch):
    opened(folder).close()
    monkeypatch.setattr(journals, "SCHEMA", "no SQL")
    opened(folder)


def test_tables_that_could_not_all_be_made_are_made_anew(opened, folder, monkeypatch):
    half = SCHEMA.replace("COMMIT", "INSERT INTO files VALUES (NULL)")
    monkeypatch.setattr(journals, "SCHEMA", half)
    with pytest.raises(ConfigurationError, match="columns but 1 values"):
        opened(folder)
    monkeypatch.undo()
    put(opened(folder), "x.fits", b"bytes")
    assert not list(folder.glob("journal.broken*"))


def test_description_tells_all_that_is_known(spool, folder):
    entry = put(spool, "x.fits", b"bytes", camera="guider")
    facts = json.loads((folder / "files" / f"{entry.file.id}.json").read_text())
    assert facts == {
        "name": "x.fits",
        "user": "cam01",
        "camera": "guider",
        "size": 5,
        "digest": entry.file.digest,
        "received": entry.file.received,
        "proven": True,
        "held": False,
    }
