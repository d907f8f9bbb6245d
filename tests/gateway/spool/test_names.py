"""What users see of their uploads, and the renaming of those under temporary names."""

import pytest

from tests.gateway.spool.helpers import bytes_of, deliver, interrupt, put
from tosip.gateway.spool.names import NameFacts
from tosip.gateway.spool.stored import State


def test_rename_of_a_held_file_makes_it_pending(opened, folder):
    spool = opened(folder)
    held = put(spool, "x.tmp", b"bytes", held=True)
    renamed = spool.rename("cam01", "x.tmp", "x.fits", False)
    assert (renamed.state, renamed.file.id) == (State.PENDING, held.file.id)
    assert spool.facts("cam01", "x.tmp") is None
    assert spool.facts("cam01", "x.fits").size == 5
    spool.close()
    assert opened(folder).reconcile() == [renamed]


def test_rename_to_another_temporary_name_holds_on(spool):
    put(spool, "x.tmp", b"bytes", held=True)
    assert spool.rename("cam01", "x.tmp", "x.part", True).state == State.HELD
    assert spool.rename("cam01", "x.part", "x.fits", False).state == State.PENDING


def test_a_temporary_name_is_no_duplicate_of_one_that_was_never_renamed(spool):
    put(spool, "x.part", b"bytes", held=True)
    assert [entry.state for entry in spool.overdue(0)] == [State.PENDING]
    put(spool, "x.tmp", b"bytes", held=True)
    assert spool.rename("cam01", "x.tmp", "x.part", True).state == State.HELD
    assert spool.rename("cam01", "x.part", "x.fits", False).state == State.PENDING


def test_newest_of_one_temporary_name_is_renamed(spool):
    put(spool, "x.tmp", b"older", held=True)
    newest = put(spool, "x.tmp", b"newest", held=True)
    assert spool.rename("cam01", "x.tmp", "x.fits", False).file.id == newest.file.id


def test_rename_to_what_is_there_already_is_a_duplicate(spool, folder):
    put(spool, "x.fits", b"bytes")
    held = put(spool, "x.tmp", b"bytes", held=True)
    assert spool.rename("cam01", "x.tmp", "x.fits", False).state == State.DUPLICATE
    assert not held.file.path.exists()
    assert spool.totals.duplicates == spool.totals.pending == 1
    assert spool.totals.balanced


@pytest.mark.parametrize(
    ("user", "name"), [("cam02", "x.tmp"), ("cam01", "y.tmp"), ("cam01", "x.fits")]
)
def test_only_ones_own_held_file_is_renamed(spool, user, name):
    put(spool, "x.tmp", b"bytes", held=True)
    put(spool, "x.fits", b"fits")
    before = spool.reconcile()
    with pytest.raises(LookupError, match=f"expected an upload under a temporary name, got {name}"):
        spool.rename(user, name, "z.fits", False)
    assert spool.reconcile() == before


def test_names_are_ones_own_and_the_newest_of_each(spool):
    put(spool, "b.fits", b"older")
    put(spool, "b.fits", b"new")
    deliver(spool, put(spool, "a.fits", b"a"))
    put(spool, "c.fits", b"c", user="cam02")
    interrupt(spool, "d.fits", b"d")
    interrupt(spool, "a.fits", b"half")
    seen = [(facts.name, facts.size, facts.partial) for facts in spool.names("cam01")]
    assert seen == [("a.fits", 4, True), ("b.fits", 3, False), ("d.fits", 1, True)]
    assert all(spool.facts("cam01", facts.name) == facts for facts in spool.names("cam01"))
    assert spool.facts("cam01", "c.fits") is None


def test_newest_is_the_last_one_though_the_clock_was_set_back(opened, folder, recording):
    spool = opened(folder, disk=recording)
    for name in ("a.fits", "b.fits"):
        put(spool, name, b"first")
    put(spool, "x.tmp", b"first", held=True)
    interrupt(spool, "c.fits", b"first")
    recording.clock = -3600.0
    put(spool, "a.fits", b"second")
    interrupt(spool, "b.fits", b"second")
    put(spool, "c.fits", b"second")
    second = put(spool, "x.tmp", b"second", held=True)
    assert {facts.name: facts.size for facts in spool.names("cam01")} == {
        "a.fits": 6,
        "b.fits": 6,
        "c.fits": 6,
        "x.tmp": 6,
    }
    assert all(spool.facts("cam01", facts.name) == facts for facts in spool.names("cam01"))
    assert spool.rename("cam01", "x.tmp", "x.fits", False).file.id == second.file.id


def test_renamed_file_may_get_another_camera(opened, folder):
    spool = opened(folder)
    put(spool, "x.tmp", b"bytes", held=True, camera="x")
    assert spool.rename("cam01", "x.tmp", "x.part", True).file.camera == "x"
    renamed = spool.rename("cam01", "x.part", "y.fits", False, "y")
    assert renamed.file.camera == "y"
    assert spool.reconcile() == [renamed]
    spool.close()
    (folder / "journal.sqlite").unlink()
    assert [entry.file.camera for entry in opened(folder).reconcile()] == ["y"]


def test_facts_tell_when_it_was_received(spool):
    entry = put(spool, "x.fits", b"bytes")
    assert spool.facts("cam01", "x.fits") == NameFacts("x.fits", 5, entry.file.received)


def test_hidden_file_is_delivered_all_the_same(opened, folder):
    spool = opened(folder)
    put(spool, "x.fits", b"older")
    put(spool, "x.fits", b"bytes")
    assert spool.hide("cam01", "x.fits")
    assert spool.names("cam01") == []
    assert spool.facts("cam01", "x.fits") is None
    assert not spool.hide("cam01", "x.fits")
    spool.close()
    again = opened(folder)
    assert again.names("cam01") == []
    assert bytes_of(again) == {"x.fits": b"bytes"}
    assert again.totals.pending == 2


def test_hidden_partial_is_gone(spool, folder):
    interrupt(spool, "x.fits", b"half")
    assert spool.hide("cam01", "x.fits")
    assert list((folder / "partial").iterdir()) == []


def test_name_of_another_user_is_not_hidden(spool):
    put(spool, "x.fits", b"bytes")
    assert not spool.hide("cam02", "x.fits")
    assert spool.facts("cam01", "x.fits") is not None


def test_hidden_held_file_cannot_be_renamed_but_is_delivered_in_the_end(spool):
    put(spool, "x.tmp", b"bytes", held=True)
    spool.hide("cam01", "x.tmp")
    with pytest.raises(LookupError):
        spool.rename("cam01", "x.tmp", "x.fits", False)
    assert [entry.state for entry in spool.overdue(0.0)] == [State.PENDING]
