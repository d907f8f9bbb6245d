"""What the archive refuses or spoils is tried again, then a dead letter; nothing is lost."""

import logging
import os

import pytest

from tests.gateway.forwarding.hostile_archive import Flip, HangUp, Keep, Say, Slow
from tosip.gateway.spool.stored import State

DATA = b"ours" * 10000


def damage(path, how):
    path.chmod(0o640)
    if how == "bit":
        with path.open("r+b") as file:
            file.seek(len(DATA) // 2)
            file.write(b"X")
    elif how == "cut":
        os.truncate(path, len(DATA) - 1)
    elif how == "longer":
        path.write_bytes(DATA + b"x")
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["bit", "cut", "longer", "gone"])
def test_damage_in_the_spool_is_never_sent_and_others_go_on(depot, archive, how):
    bad = depot.commit("bad", DATA)
    depot.commit("good", DATA + b"good")
    damage(bad.file.path, how)
    depot.start(archive)
    depot.until_delivered(1)
    (dead,) = depot.until_dead()
    assert dead.file.name == "bad"
    assert "spool" in dead.reason
    assert archive.files == {"good": DATA + b"good"}
    assert archive.verbs().count("STOR") == 1
    assert depot.spool.totals.balanced


@pytest.mark.parametrize("kind", [Keep(1000), Keep(0), Flip()])
def test_archive_that_spoils_files_and_says_226_never_gets_to_rename_them(depot, kind):
    archive = depot.archive(features=("SIZE", "XSHA256"))
    archive.misbehave("STOR", kind, times=None, name="*.bad.*")
    depot.start(archive, refusals=3)
    depot.commit("bad", DATA)
    depot.commit("good", b"good")
    (dead,) = depot.until_dead()
    depot.until_delivered(1)
    assert archive.files == {"good": b"good"}
    assert dead.refusals == 3
    assert "expected" in dead.reason
    assert dead.file.path.read_bytes() == DATA


@pytest.mark.parametrize("size", ["1", "99999999"])
def test_archive_that_lies_about_sizes_loses_nothing(depot, archive, size):
    archive.misbehave("SIZE", Say(f"213 {size}"), times=2)
    depot.start(archive)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}


def test_wrong_size_after_the_rename_is_undone(depot, archive):
    archive.misbehave("SIZE", Say("213 1"), after=3)  # temporary, final free (twice), final
    depot.start(archive)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}
    assert any("after RNTO, got 1 bytes" in error for error in depot.errors)
    assert archive.verbs().count("STOR") == 2


@pytest.mark.parametrize("verb", ["STOR", "RNFR", "RNTO"])
@pytest.mark.parametrize("code", ["501", "550", "551", "553", "554"])
def test_refusal_again_and_again_is_a_dead_letter_with_the_archives_words(
    depot, archive, verb, code
):
    archive.misbehave(verb, Say(f"{code} no such luck"), times=None)
    depot.start(archive, refusals=3)
    depot.commit("x", DATA)
    (dead,) = depot.until_dead()
    assert dead.reason == f"{verb}: {code} no such luck"
    assert dead.refusals == 3
    assert dead.file.path.read_bytes() == DATA
    assert archive.files == {}
    depot.until(lambda: depot.forwarder.last_error.startswith("x given up"))
    assert depot.spool.totals.balanced


def feed_until(depot, condition):
    """Let other files go through, one after the other, until something is so."""
    for number in range(500):
        if condition():
            return
        depot.commit(f"good{number}", b"good")
        depot.until_delivered(number + 1)
    raise AssertionError(f"not so after 500 files; errors: {depot.errors[-5:]}")


def tries(archive, verb="STOR"):
    return sum(line.startswith(verb) and "wrong" in line for line in archive.log)


SAYS = [("STOR", code) for code in ("500", "502", "503", "504", "521", "532", "552", "557")]
SAYS += [(verb, code) for verb in ("RNFR", "RNTO") for code in ("502", "521", "552")]
SAYS += [("SIZE", "521")]


@pytest.mark.parametrize(("verb", "code"), SAYS)
def test_any_permanent_error_again_and_again_is_a_dead_letter_while_others_go_through(
    depot, archive, verb, code
):
    archive.misbehave(verb, Say(f"{code} no such luck"), times=None, name="*wrong*")
    wrong = depot.commit("wrong", DATA)
    depot.start(archive, refusals=3)
    feed_until(depot, depot.spool.dead)
    (dead,) = depot.spool.dead()
    assert dead.file == wrong.file
    assert dead.reason == f"{verb}: {code} no such luck"
    assert dead.refusals == 3
    assert dead.file.path.read_bytes() == DATA
    assert set(archive.files.values()) == {b"good"}
    assert depot.spool.totals.balanced


def test_late_answer_to_the_removal_of_a_refused_file_is_taken_for_no_other(depot, archive):
    archive.misbehave("STOR", Say("504 no such luck"), times=None, name="*wrong*")
    depot.commit("wrong", DATA)
    depot.start(archive, workers=1, timeout=0.2)
    feed_until(depot, lambda: any("wrong not" in error for error in depot.errors))
    depot.do(lambda: archive.misbehave("DELE", Slow(0.3), times=None, name="*wrong*"))
    before = tries(archive)
    feed_until(depot, lambda: tries(archive) >= before + 6)
    expected = ("STOR: 504 no such luck", "no answer in time")
    assert [error for error in depot.errors if error and not error.endswith(expected)] == []


def test_several_files_that_the_archive_chokes_on_become_dead_letters_each(depot, archive):
    archive.misbehave("STOR", Say("552 too large"), times=None, name="*wrong*")
    for number in range(4):
        depot.commit(f"wrong{number}", DATA)
    depot.start(archive, refusals=2)
    feed_until(depot, lambda: len(depot.spool.dead()) == 4)
    assert set(archive.files.values()) == {b"good"}


def test_file_that_the_archive_chokes_on_waits_longer_after_each_try(depot, archive):
    archive.misbehave("STOR", Say("502 what?"), times=None, name="*wrong*")
    depot.start(archive, workers=1, first_delay=30, longest_delay=60)
    depot.commit("wrong", DATA)
    depot.until(lambda: depot.forwarder.state == "Refusing")
    depot.commit("first")
    depot.do(depot.forwarder.retry_now)
    depot.until(lambda: depot.errors[-1] == "wrong not delivered: STOR: 502 what?")
    for number in range(2, 7):
        depot.commit(f"{number}")
        depot.until_delivered(number)
    assert tries(archive) == 2
    depot.do(depot.forwarder.retry_now)
    depot.until(lambda: tries(archive) == 3)


def test_what_speaks_against_a_file_is_kept_across_restarts(depot, archive):
    """But for the first try after each: it tells nothing about the file."""
    archive.misbehave("STOR", Say("502 what?"), times=None, name="*wrong*")
    depot.commit("wrong", DATA)
    for count in (1, 2):
        depot.start(archive, workers=1, refusals=2, first_delay=30, longest_delay=60)
        depot.until(lambda: depot.forwarder.state == "Refusing")
        depot.commit(f"{count}")
        depot.do(depot.forwarder.retry_now)
        depot.until(lambda count=count: tries(archive) == 2 * count)
        depot.until(lambda: depot.errors[-1].startswith("wrong "))
        depot.stop()
    (dead,) = depot.spool.dead()
    assert dead.refusals == 2


@pytest.mark.parametrize("code", ["421", "450", "452", "530"])
def test_other_errors_never_make_a_dead_letter(depot, archive, code):
    archive.misbehave("STOR", Say(f"{code} no such luck"), times=None, name="*wrong*")
    depot.commit("wrong", DATA)
    depot.start(archive, refusals=1)
    feed_until(depot, lambda: tries(archive) >= 6)
    assert depot.spool.dead() == []
    depot.do(archive.behave)
    depot.until(lambda: "wrong" in archive.files)


@pytest.mark.parametrize("verb", ["STOR", "RNFR", "RNTO"])
@pytest.mark.parametrize("code", ["552", "500"])
def test_archive_that_takes_nothing_makes_no_dead_letters(depot, archive, verb, code):
    depot.start(archive, refusals=1, longest_delay=0.02)
    for number in range(3):
        depot.commit(f"{number}", DATA)
    depot.until_delivered(3)
    fault = depot.do(lambda: archive.misbehave(verb, Say(f"{code} no"), times=None))
    for number in range(6):
        depot.commit(f"wrong{number}", DATA)
    depot.until(lambda: tries(archive, verb) >= 20)
    assert depot.forwarder.state == "Refusing"
    assert depot.spool.dead() == []
    depot.do(archive.faults.remove, fault)
    depot.until_delivered(9)
    assert len(archive.files) == 9


def test_archive_that_only_lets_us_in_makes_no_dead_letters(depot, archive):
    """Between the tries of a file that was refused we look whether the archive still answers."""
    archive.misbehave("STOR", Say("552 full"), times=None, name="*wrong*")
    depot.commit("wrong", DATA)
    depot.start(archive, refusals=4, first_delay=0.05, check_interval=0.01)
    feed_until(depot, lambda: any("wrong not delivered" in error for error in depot.errors))
    before = tries(archive)
    depot.until(lambda: tries(archive) >= before + 8)
    assert depot.spool.dead() == []


def test_file_that_was_under_way_when_another_was_refused_does_not_speak_against_that(
    depot, archive, until
):
    """It may have got the last room."""
    archive.misbehave("STOR", Slow(0.5), name="*other*")
    archive.misbehave("STOR", Say("552 full"), times=None, name="*wrong*")
    depot.start(archive, refusals=1)
    depot.commit("other")
    until(lambda: "STOR" in archive.verbs())
    depot.commit("wrong", DATA)
    depot.until_delivered(1)
    before = tries(archive)
    assert before > 0
    depot.until(lambda: tries(archive) >= before + 5)
    assert depot.spool.dead() == []


def test_name_that_is_refused_with_any_words_becomes_one_with_the_id(depot, archive):
    archive.misbehave("RNTO", Say("552 no"), times=None, name="wrong")
    depot.start(archive)
    entry = depot.commit("wrong", DATA)
    feed_until(depot, lambda: f"wrong~{entry.file.id}" in archive.files)
    depot.until(lambda: "wrong" in [file.name for file in depot.delivered])
    assert depot.spool.dead() == []


def test_archive_that_has_room_for_one_file_now_and_then_makes_no_dead_letters(depot, archive):
    fault = archive.misbehave("STOR", Say("552 full"), times=None)
    for number in range(20):
        depot.commit(f"wrong{number}", b"%d" % number)
    depot.start(archive, refusals=5, first_delay=0.002, longest_delay=0.005)
    depot.until(lambda: tries(archive) >= 25)
    for number in range(20):
        before = tries(archive)
        depot.until(lambda before=before: tries(archive) >= before + 10)
        depot.do(setattr, fault, "after", 1)
        depot.until_delivered(number + 1)
    assert len(archive.files) == 20
    assert depot.spool.totals.dead == 0


def test_file_whose_size_is_not_told_after_the_rename_is_not_sent_again(depot, archive):
    archive.misbehave("RETR", Say("550 no"), times=None)
    # Before the rename it is asked twice whether the name is free.
    fault = archive.misbehave("SIZE", Say("521 no"), times=None, name="wrong", after=2)
    depot.start(archive, workers=1)
    depot.commit("wrong", DATA)
    feed_until(depot, lambda: any(entry.refusals >= 2 for entry in depot.waiting()))
    depot.do(archive.faults.remove, fault)
    depot.until(lambda: "wrong" in [file.name for file in depot.delivered])
    assert archive.files["wrong"] == DATA
    assert tries(archive) == 1


def test_rename_that_is_refused_once_is_tried_again(depot, archive):
    archive.misbehave("RNTO", Say("550 not now"))
    depot.start(archive)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}


def test_refusals_are_counted_across_restarts(depot, archive):
    archive.misbehave("STOR", Say("550 no"), times=None)
    depot.start(archive, refusals=3, first_delay=30, longest_delay=60)
    depot.commit("x", DATA)
    depot.until(lambda: depot.waiting()[0].refusals == 1)
    for count in (2, 3):
        depot.stop()
        depot.start(archive, refusals=3, first_delay=30, longest_delay=60)
        depot.until(lambda count=count: archive.verbs().count("STOR") == count)
    (dead,) = depot.until_dead()
    assert dead.refusals == 3


def test_dead_letter_is_delivered_when_a_person_has_it_retried(depot, archive):
    archive.misbehave("STOR", Say("550 no"), times=2)
    depot.start(archive, refusals=2)
    depot.commit("x", DATA)
    depot.until_dead()
    for entry in depot.spool.retry(None):
        depot.do(depot.forwarder.add, entry)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}
    assert depot.spool.totals.dead == 0


def test_dead_letter_is_told(depot, archive, caplog):
    caplog.set_level(logging.INFO, "tosip.gateway.files")
    archive.misbehave("STOR", Say("550 no"), times=None)
    depot.start(archive, refusals=1)
    entry = depot.commit("x", DATA)
    depot.until(lambda: depot.forwarder.last_error.startswith("x given up"))
    (told,) = [record.facts for record in caplog.records if getattr(record, "step", "") == "dead"]
    assert told["id"] == entry.file.id
    assert told["reason"] == "STOR: 550 no"


def test_file_that_is_forgotten_is_not_delivered(depot, archive):
    entry = depot.commit("x", DATA)
    depot.start(archive, workers=1)
    depot.until_delivered(1)
    depot.forwarder.paused = True
    other = depot.commit("y", DATA)
    depot.do(depot.forwarder.forget, other.file.id)
    depot.do(setattr, depot.forwarder, "paused", False)
    depot.commit("z", b"last")
    depot.until_delivered(2)
    assert set(archive.files) == {"x", "z"}
    assert entry.state == State.PENDING


def test_what_was_sent_of_a_file_that_is_damaged_then_is_removed(depot, archive):
    archive.misbehave("STOR", HangUp(after=True))
    depot.start(archive, workers=1, first_delay=30, longest_delay=60)
    entry = depot.commit("x", DATA)
    depot.until(lambda: depot.forwarder.state == "Unreachable")
    damage(entry.file.path, "bit")
    depot.do(depot.forwarder.retry_now)
    depot.until_dead()
    assert archive.files == {}


def test_one_file_that_is_refused_does_not_hold_up_others(depot, archive):
    archive.misbehave("STOR", Say("450 busy"), times=None, name="*wrong*")
    depot.commit("wrong", DATA)
    for number in range(20):
        depot.commit(f"{number}")
    depot.start(archive, workers=1, first_delay=0.3, longest_delay=10)
    depot.until_delivered(20)
    assert len(archive.files) == 20
    assert sum(line.startswith("STOR .wrong") for line in archive.log) <= 4


def test_disk_that_fails_under_the_journal_delays_and_does_not_lose(depot, archive, monkeypatch):
    mark, failures = depot.spool.mark, [OSError("no space"), OSError("no space")]

    def failing(*arguments, **options):
        if failures:
            raise failures.pop()
        return mark(*arguments, **options)

    monkeypatch.setattr(depot.spool, "mark", failing)
    depot.start(archive)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}
    assert any("the journal cannot be written" in error for error in depot.errors)
