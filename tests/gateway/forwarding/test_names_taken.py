"""A final name that is taken: ours by proof, or somebody else's and left alone."""

import pytest

from tests.gateway.forwarding.hostile_archive import HangUp, Mute, Say, Slow

DATA = b"ours" * 10000
OTHER = b"them" * 10000
HASHING = ("SIZE", "EPSV", "XSHA256")


def test_same_name_twice_gives_both_files(depot, archive):
    depot.start(archive)
    depot.commit("a/x.fits", DATA)
    depot.until_delivered(1)
    second = depot.commit("a/x.fits", OTHER)
    depot.until_delivered(2)
    assert archive.files == {"a/x.fits": DATA, f"a/x~{second.file.id}.fits": OTHER}


@pytest.mark.parametrize("features", [HASHING, ("SIZE",), ("SIZE", "XCRC")])
def test_name_that_holds_our_bytes_already_is_ours(depot, features):
    archive = depot.archive(features=features)
    archive.files["x"] = DATA
    depot.start(archive)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}


@pytest.mark.parametrize("features", [HASHING, ("SIZE",), ("SIZE", "XCRC")])
def test_name_that_holds_as_many_other_bytes_is_left_alone(depot, features):
    archive = depot.archive(features=features)
    archive.files["x"] = OTHER
    depot.start(archive)
    entry = depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": OTHER, f"x~{entry.file.id}": DATA}


def test_archive_that_cannot_be_read_proves_nothing(depot, archive):
    archive.files["x"] = DATA
    archive.misbehave("RETR", Say("550 not for you"), times=None)
    depot.start(archive)
    entry = depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA, f"x~{entry.file.id}": DATA}


def test_many_files_of_one_name_at_once_all_arrive(depot, archive):
    data = [bytes([number]) * 1000 for number in range(12)]
    archive.misbehave("RNFR", Slow(0.02), times=None)  # time for others to choose a name
    depot.start(archive, workers=4)
    depot.until(lambda: depot.forwarder.state == "OK")  # else one goes first
    for one in data:
        depot.commit("x.fits", one)
    depot.until_delivered(12)
    assert sorted(archive.files.values()) == data


@pytest.mark.parametrize("how", [Mute(), HangUp(after=True), HangUp(after=True, reset=True)])
@pytest.mark.parametrize("verb", ["STOR", "RNFR", "RNTO", "DELE", "SIZE"])
@pytest.mark.parametrize("features", [HASHING, ("SIZE",)])
def test_step_that_is_done_without_a_word_is_looked_up(depot, verb, how, features):
    archive = depot.archive(features=features)
    archive.misbehave(verb, how)
    depot.start(archive, timeout=0.2, verify="hash")
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}


def test_upload_whose_end_is_unknown_is_not_sent_again_when_its_hash_is_right(depot):
    archive = depot.archive(features=HASHING)
    archive.misbehave("STOR", HangUp(after=True))
    depot.start(archive)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}
    assert archive.verbs().count("STOR") == 1


@pytest.mark.parametrize("verb", ["STOR", "RNFR", "RNTO"])
@pytest.mark.parametrize("after", [False, True])
def test_gateway_that_ends_anywhere_goes_on_at_its_next_start(depot, archive, verb, after):
    archive.misbehave(verb, HangUp(after), times=None)
    depot.start(archive, workers=1, first_delay=30, longest_delay=60)
    depot.commit("x", DATA)
    depot.until(lambda: depot.forwarder.state == "Unreachable")
    depot.stop()
    archive.behave()
    depot.start(archive)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}
    assert depot.spool.totals.balanced


def test_rename_that_was_begun_by_an_earlier_run_is_not_taken_for_somebody_elses(depot, archive):
    archive.misbehave("RNTO", HangUp(after=True))
    archive.misbehave("RETR", Say("550 not for you"), times=None)
    depot.start(archive, workers=1, first_delay=30, longest_delay=60)
    depot.commit("x", DATA)
    depot.until(lambda: depot.forwarder.state == "Unreachable")
    assert archive.files == {"x": DATA}
    depot.stop()
    depot.start(archive)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}
    assert archive.verbs().count("STOR") == 1


def test_name_of_a_begun_rename_that_somebody_else_has_filled_is_left_alone(depot):
    archive = depot.archive(features=HASHING)
    archive.misbehave("RNTO", HangUp())
    depot.start(archive, workers=1, first_delay=30, longest_delay=60)
    entry = depot.commit("x", DATA)
    depot.until(lambda: depot.forwarder.state == "Unreachable")
    depot.stop()
    archive.files = {"x": OTHER}
    depot.start(archive)
    depot.until_delivered(1)
    assert archive.files == {"x": OTHER, f"x~{entry.file.id}": DATA}
