"""A final name that is taken: ours by proof, or somebody else's and left alone."""

import unicodedata
import zlib
from pathlib import PurePosixPath

import pytest

from tests.gateway.forwarding.hostile_archive import HangUp, Mute, Say, Silence, Slow
from tosip.gateway.forwarding.naming import Claims, temporary_name

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


@pytest.mark.parametrize("features", [HASHING, ("SIZE",), ("MLST size*;",), ()])
def test_archive_that_denies_once_what_it_has_does_not_get_it_overwritten(depot, features):
    """550 is also what servers say that cannot look just now."""
    archive = depot.archive(features=features)
    verb = features[-1].split()[0] if len(features) == 1 else "SIZE" if features else "LIST"
    archive.files["x"] = OTHER
    archive.misbehave(verb, Say("550 cannot look"), name="x")
    depot.start(archive)
    entry = depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": OTHER, f"x~{entry.file.id}": DATA}


@pytest.mark.parametrize("reply", ["550 cannot remove", "451 not now"])
def test_temporary_file_that_is_not_removed_at_once_does_not_stay(depot, archive, reply):
    archive.misbehave("RNTO", HangUp())
    archive.misbehave("DELE", Say(reply))
    depot.start(archive)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}


def test_archive_that_lets_nobody_remove_gets_its_files(depot, archive, caplog):
    archive.misbehave("RNTO", HangUp())
    archive.misbehave("DELE", Say("550 not for you"), times=None)
    depot.start(archive)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    left = set(archive.files) - {"x"}
    assert archive.files["x"] == DATA
    assert [f"does not let us remove {name}" in caplog.text for name in left] == [True]


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


@pytest.mark.parametrize("features", [HASHING, ("SIZE",), ("SIZE", "XCRC")])
def test_name_of_a_begun_rename_that_somebody_else_has_filled_is_left_alone(depot, features):
    """The temporary file has gone meanwhile, and as many bytes stand under the name."""
    archive = depot.archive(features=features)
    archive.misbehave("RNTO", HangUp())
    depot.start(archive, workers=1, first_delay=30, longest_delay=60)
    entry = depot.commit("x", DATA)
    depot.until(lambda: depot.forwarder.state == "Unreachable")
    depot.stop()
    archive.files = {"x": OTHER}
    depot.start(archive)
    depot.until_delivered(1)
    assert archive.files == {"x": OTHER, f"x~{entry.file.id}": DATA}


@pytest.mark.parametrize("name", ["A", "0", "frame.fits"])
def test_name_that_may_be_a_part_of_a_hash_spoils_no_hash(depot, name):
    data = next(b"%d" % n for n in range(10**6) if {"A", "0"} <= set(f"{zlib.crc32(b'%d' % n):X}"))
    archive = depot.archive(features=("SIZE", "XCRC"))
    archive.misbehave("RNTO", HangUp(after=True))
    archive.misbehave("RETR", Say("550 not for you"), times=None)
    depot.start(archive)
    depot.commit(name, data)
    depot.until_delivered(1)
    assert archive.files == {name: data}


def said(archive, verb):
    return [line.partition(" ")[2] for line in archive.log if line.startswith(f"{verb} ")]


@pytest.mark.parametrize("features", [HASHING, ("SIZE",)])
@pytest.mark.parametrize("restart", [False, True])
def test_nothing_is_written_where_an_earlier_rename_may_still_come(depot, features, restart):
    """A rename that is carried out late would give half a file its final name."""
    archive = depot.archive(features=features)
    archive.misbehave("RNTO", Silence(), times=2)
    archive.misbehave("STOR", HangUp(), after=2)
    options = {"workers": 1, "timeout": 0.2}
    for number in range(4 if restart else 1):
        depot.start(archive, **options, **({"first_delay": 30} if restart else {}))
        if number == 0:
            depot.commit("x", DATA)
        if restart and number < 3:
            depot.until(lambda: depot.forwarder.state == "Unreachable")
            depot.stop()
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}
    before, _, after = said(archive, "RNFR")
    stored = said(archive, "STOR")
    assert stored[0] == before
    assert stored[1] not in (before, after)
    assert stored[2:] == [after, after]


def test_temporary_names_of_all_tries_fit():
    for final in ("x", "n" * 255, "\N{LATIN SMALL LETTER A WITH DIAERESIS}" * 127):
        names = [temporary_name(PurePosixPath("a", final), "1" * 25, n).name for n in range(3)]
        assert len(set(names)) == 3
        assert max(len(name.encode()) for name in names) <= 255


COMPOSED = "n\N{LATIN SMALL LETTER A WITH DIAERESIS}chte.fits"
FOLDED = [("frame.fits", "FRAME.fits"), ("a/x", "A/x"), ("x", "x."), ("bad\udcff", "BAD\udcff")]
FOLDED += [(COMPOSED, unicodedata.normalize("NFD", COMPOSED))]


@pytest.mark.parametrize(("first", "second"), FOLDED)
def test_names_that_some_file_system_takes_for_one_are_not_chosen_at_once(first, second):
    claims = Claims()
    assert claims.take(first, "1")
    assert not claims.take(second, "2")
    claims.give_back(first, "1")
    assert claims.take(second, "2")


class Folding(dict[str, bytes]):
    """Files on an archive that does not tell A from a."""

    def __setitem__(self, name, data):
        super().__setitem__(name.lower(), data)

    def __contains__(self, name):
        return super().__contains__(name.lower())

    def get(self, name, default=None):
        return super().get(name.lower(), default)

    def pop(self, name, *default):
        return super().pop(name.lower(), *default)


def test_names_that_the_archive_takes_for_one_overwrite_nothing(depot, archive):
    archive.files = Folding()
    archive.misbehave("RNFR", Slow(0.05), times=None)  # time for others to choose a name
    depot.start(archive, workers=2)
    depot.until(lambda: depot.forwarder.state == "OK")  # else one goes first
    depot.commit("frame.fits", DATA)
    depot.commit("FRAME.fits", OTHER)
    depot.until_delivered(2)
    assert sorted(archive.files.values()) == [DATA, OTHER]


def test_file_with_the_name_of_a_folder_gets_another(depot, archive):
    archive.misbehave("RNTO", Say("550 is a directory"), times=None, name="night1")
    depot.start(archive)
    entry = depot.commit("night1", DATA)
    depot.until_delivered(1)
    assert archive.files == {f"night1~{entry.file.id}": DATA}
