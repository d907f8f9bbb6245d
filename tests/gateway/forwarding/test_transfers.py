"""A file's way: sent under a temporary name, verified, renamed, verified again."""

import logging

import aioftp
import pytest

from tests.gateway.forwarding.depot import PASSWORD, USER
from tests.gateway.forwarding.hostile_archive import HASHES, Add, Flip, Keep, Say, Slow
from tosip.gateway.archive import ArchiveServer

DATA = bytes(range(256)) * 4096 * 3  # 3 MiB
HASHING = ("SIZE", "EPSV", "XCRC", "XMD5", "XSHA256")


def test_file_arrives_as_it_is_and_nothing_else_stays(depot, archive):
    depot.start(archive)
    depot.commit("a/b/x.fits", DATA)
    depot.until_delivered(1)
    assert archive.files == {"a/b/x.fits": DATA}
    assert archive.folders == {"a", "a/b"}
    assert depot.spool.totals.delivered == 1
    assert depot.waiting() == []
    assert depot.forwarder.state == "OK"


@pytest.mark.parametrize("size", [0, 1, 8 << 20, (8 << 20) + 1])
def test_any_size_arrives(depot, archive, size):
    depot.start(archive)
    depot.commit("x", bytes(size))
    depot.until_delivered(1)
    assert archive.files == {"x": bytes(size)}


def test_files_go_below_the_configured_folder(depot, archive):
    depot.start(archive, folder="night/raw")
    depot.commit("x")
    depot.until_delivered(1)
    assert archive.files == {"night/raw/x": b"data"}


@pytest.mark.parametrize("name", ["a b.fits", "ä€.fits", "bad\udcff.fits", "n" * 255, "'~\"x.y"])
def test_odd_names_arrive_as_they_are(depot, archive, name):
    depot.start(archive)
    depot.commit(name)
    depot.until_delivered(1)
    assert archive.files == {name: b"data"}


def test_name_that_ftp_cannot_say_is_a_dead_letter(depot, archive):
    depot.start(archive, refusals=2)
    depot.commit("a\nDELE x")
    (dead,) = depot.until_dead()
    assert "expected a name that FTP can say" in dead.reason
    assert not any(line.startswith("DELE x") for line in archive.log)


def test_nothing_is_seen_under_the_final_name_before_it_is_verified(depot):
    archive = depot.archive(features=HASHING)
    depot.start(archive)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    verbs = [verb for verb in archive.verbs() if verb in ("STOR", "SIZE", "XSHA256", "RNTO")]
    assert verbs == ["STOR", "SIZE", "XSHA256", "SIZE", "SIZE", "RNTO", "SIZE"]
    (stored,) = [line for line in archive.log if line.startswith("STOR")]
    assert depot.delivered[0].id in stored


@pytest.mark.parametrize("features", [(), ("MLST",), ("SIZE",)])
def test_archive_is_asked_for_sizes_in_the_way_it_knows(depot, features):
    archive = depot.archive(features=features)
    depot.start(archive, refusals=3)
    archive.misbehave("STOR", Keep(1000))
    depot.commit("a/x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"a/x": DATA}
    assert f"expected {len(DATA)} bytes on the archive, got 1000 bytes" in depot.errors[-1]


@pytest.mark.parametrize("verb", sorted(HASHES))
def test_damage_on_the_way_is_found_by_the_hash_that_is_offered(depot, verb):
    archive = depot.archive(features=("SIZE", verb))
    archive.misbehave("STOR", Flip())
    depot.start(archive)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}
    assert "expected the bytes that were sent" in "".join(depot.errors)


@pytest.mark.parametrize("reply", ["550 I do not like this", "450 not now", "530 log in"])
def test_an_archive_that_does_not_want_to_tell_its_features_may_offer_a_hash(depot, reply):
    """Found by a random schedule: a flipped byte went through with the size alone."""
    archive = depot.archive(features=HASHING)
    archive.misbehave("FEAT", Say(reply))
    archive.misbehave("STOR", Flip())
    depot.start(archive)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}


def test_an_archive_without_features_is_taken_as_it_is(depot, archive):
    archive.misbehave("FEAT", Say("502 what is that"), times=None)
    depot.start(archive)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}


def test_strongest_hash_is_asked_for(depot):
    archive = depot.archive(features=HASHING)
    depot.start(archive)
    depot.commit("x")
    depot.until_delivered(1)
    assert {verb for verb in archive.verbs() if verb in HASHES} == {"XSHA256"}


def test_hash_that_is_offered_but_refused_is_replaced_by_reading_back(depot):
    archive = depot.archive(features=HASHING)
    archive.misbehave("XSHA256", Say("550 too large"), times=None)
    archive.misbehave("STOR", Flip())
    depot.start(archive)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}
    assert archive.verbs().count("RETR") == 2


def test_read_back_finds_damage_that_size_does_not(depot, archive):
    archive.misbehave("STOR", Flip())
    depot.start(archive, verify="read-back")
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert archive.files == {"x": DATA}
    assert archive.verbs().count("RETR") == 2


def test_archive_may_take_longer_over_the_hash_of_a_large_file(depot):
    archive = depot.archive(features=HASHING)
    archive.misbehave("XSHA256", Slow(0.35), times=None)
    depot.start(archive, timeout=0.2)
    depot.commit("x", DATA * 2)  # 0.6 s more
    depot.until_delivered(1)
    assert set(depot.states) == {"OK"}


@pytest.mark.parametrize("size", [5, 8 << 20])
def test_read_back_that_gives_more_than_the_file_gives_other_bytes(depot, archive, size):
    archive.misbehave("RETR", Add(bytes(size)), times=2)
    depot.start(archive, verify="read-back", refusals=2, workers=1)
    depot.commit("x", DATA)
    (dead,) = depot.until_dead()
    assert dead.reason == "expected the bytes that were sent on the archive, got others"
    depot.commit("y", DATA)
    depot.until_delivered(1)
    assert archive.files == {"y": DATA}
    assert archive.verbs().count("USER") == 1


def test_connections_are_kept_between_files(depot, archive):
    depot.start(archive, workers=1)
    for number in range(5):
        depot.commit(f"{number}")
        depot.until_delivered(number + 1)
    assert archive.verbs().count("USER") == 1


def test_each_step_of_a_file_is_told(depot, archive, caplog):
    caplog.set_level(logging.INFO, "tosip.gateway.files")
    depot.start(archive)
    file = depot.commit("x", DATA).file
    depot.until_delivered(1)
    steps = {r.step: r.facts for r in caplog.records if getattr(r, "step", "") != "committed"}
    assert set(steps) >= {"forwarded", "verified"}
    assert steps["forwarded"]["id"] == steps["verified"]["id"] == file.id
    assert steps["forwarded"]["seconds"] > 0
    assert steps["verified"]["by"] == "size"


def test_rate_counts_what_goes_out(depot, archive):
    depot.start(archive)
    assert depot.forwarder.rate == 0
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert depot.forwarder.rate == pytest.approx(len(DATA) / 10)


def plain(root, user, password):
    return aioftp.Server([aioftp.User(user, password, base_path=root)])


@pytest.mark.parametrize("server", [ArchiveServer, plain])
def test_aioftp_server_will_do_as_archive(depot, tmp_path, server):
    root = tmp_path / "archive"
    root.mkdir()

    async def begin():
        started = server(root, USER, PASSWORD)
        await started.start("127.0.0.1", 0)
        return started

    running = depot.call(begin())
    try:
        depot.start(running.server_port)
        depot.commit("deep/down/x.fits", DATA)
        depot.until_delivered(1)
        depot.stop()
    finally:
        depot.call(running.close())
    (path,) = [path for path in root.rglob("*") if path.is_file()]
    assert path == root / "deep/down/x.fits"
    assert path.read_bytes() == DATA
