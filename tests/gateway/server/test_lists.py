"""What clients are shown: their own files, in folders made of the names."""

import ftplib
import io
import re
import time

import pytest

from tests.gateway.conftest import fits
from tosip.gateway.server.listing import Line, in_folder
from tosip.gateway.spool.names import NameFacts

DATA = fits()


def stock(desk, data):
    """Give cam01 some files and cam02 one."""
    with desk.ftp() as client:
        for name in ("a.fits", "night/b.fits", "night/c.fits", "night/deep/d.fits"):
            client.storbinary(f"STOR {name}", io.BytesIO(data))
    desk.upload("night/hers.fits", data, "cam02")


@pytest.fixture(scope="module")
def stocked(standing):
    """A desk with files, for tests that change nothing."""
    stock(standing, DATA)
    return standing


@pytest.fixture
def changing(running):
    stock(running, DATA)
    return running


def listed(client, command):
    lines: list[str] = []
    client.retrlines(command, lines.append)
    return lines


def test_nlst_shows_the_users_own_names_only(stocked):
    with stocked.ftp() as client:
        assert client.nlst() == ["a.fits", "night"]
        assert client.nlst("night") == ["night/b.fits", "night/c.fits", "night/deep"]
        client.cwd("night")
        assert client.nlst() == ["b.fits", "c.fits", "deep"]
        assert client.nlst("nowhere") == []
    with stocked.ftp("cam02") as client:
        assert client.nlst("night") == ["night/hers.fits"]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("*.fits", ["a.fits"]),
        ("night/c*", ["night/c.fits"]),
        ("/night/?.fits", ["/night/b.fits", "/night/c.fits"]),
        ("night/b.fits", ["night/b.fits"]),
        ("*.none", []),
    ],
)
def test_nlst_takes_patterns_and_single_files(stocked, path, names):
    with stocked.ftp() as client:
        assert client.nlst(path) == names


@pytest.mark.parametrize("path", ["", "-la", ".", "/", "-a /"])
def test_list_looks_like_ls(stocked, path):
    with stocked.ftp() as client:
        lines = listed(client, f"LIST {path}".strip())
    assert [line.split()[-1] for line in lines] == ["a.fits", "night"]
    file = r"-rw-r----- 1 cam01 +cam01 +\d+ [A-Z][a-z][a-z] [ \d]\d \d\d:\d\d a.fits"
    assert re.fullmatch(file, lines[0])
    assert lines[1].startswith("drwxr-xr-x 1 ")


def test_old_files_are_listed_with_their_year():
    now = time.mktime((2026, 7, 1, 12, 0, 0, 0, 0, 0))
    old = Line("x.fits", 12345, time.mktime((2024, 3, 5, 12, 0, 0, 0, 0, 0)))
    assert old.long("cam 01", now) == (
        "-rw-r----- 1 cam_01   cam_01          12345 Mar  5  2024 x.fits"
    )


def test_mlsd_tells_facts_and_only_those_that_are_wanted(stocked):
    with stocked.ftp() as client:
        facts = dict(client.mlsd("night"))
        assert facts["b.fits"]["type"] == "file"
        assert facts["b.fits"]["size"] == str(len(DATA))
        assert facts["deep"]["type"] == "dir"
        assert "MLST type*;size;modify;" in chosen(client, "type;color;")
        assert dict(client.mlsd("night"))["b.fits"] == {"type": "file"}


def chosen(client, facts):
    assert client.sendcmd(f"OPTS MLST {facts}") == "200 MLST OPTS type;"
    return client.sendcmd("FEAT")


def test_mlst_tells_of_a_file_and_of_a_folder_that_has_files(stocked):
    with stocked.ftp() as client:
        client.cwd("night")
        assert f"type=file;size={len(DATA)};" in client.sendcmd("MLST b.fits")
        assert " /night/b.fits" in client.sendcmd("MLST b.fits")
        assert "type=dir;" in client.sendcmd("MLST deep")
        assert "type=dir;" in client.sendcmd("MLST")
        with pytest.raises(ftplib.error_perm, match="550"):
            client.sendcmd("MLST nothing")


def test_stat_of_a_path_lists_on_the_control_connection(stocked):
    with stocked.ftp() as client:
        lines = client.sendcmd("STAT night").splitlines()
        assert [line.split()[-1] for line in lines[1:-1]] == ["b.fits", "c.fits", "deep"]
        assert (lines[0][:4], lines[-1][:4]) == ("213-", "213 ")
        assert client.sendcmd("STAT") == "211 idle"


def test_size_and_date_of_what_was_sent_last(changing, image):
    with changing.ftp() as client:
        client.storbinary("STOR a.fits", io.BytesIO(image(300)))
        assert client.size("a.fits") == len(image(300))
        date = client.sendcmd("MDTM a.fits")
        moment = time.strptime(date, "213 %Y%m%d%H%M%S")
        assert abs(time.mktime(moment) - time.mktime(time.gmtime())) < 60


@pytest.mark.parametrize("command", ["SIZE night/hers.fits", "MDTM x", "SIZE ../a.fits", "MDTM"])
def test_what_is_not_ones_own_is_not_there(stocked, command):
    with stocked.ftp() as client, pytest.raises(ftplib.error_perm, match="550 no such file"):
        client.sendcmd(command)


def test_nothing_can_be_read_back(stocked):
    with stocked.ftp() as client:
        client.makepasv()
        with pytest.raises(ftplib.error_perm, match="550"):
            client.sendcmd("RETR a.fits")


@pytest.mark.parametrize("command", ["CWD a.fits", "CWD night/b.fits", "XCWD /night/../a.fits"])
def test_file_is_no_folder(stocked, command):
    with stocked.ftp() as client:
        with pytest.raises(ftplib.error_perm, match="550 this is a file"):
            client.sendcmd(command)
        assert client.cwd("night").startswith("250")


def test_what_is_file_and_folder_is_a_folder(running):
    running.upload("a", b"1")
    running.upload("a/b", b"2")
    with running.ftp() as client:
        client.cwd("a")
        assert client.nlst() == ["b"]


def test_list_without_a_port_is_425(running):
    with running.ftp() as client, pytest.raises(ftplib.error_temp, match="425"):
        client.sendcmd("LIST")


def test_folder_of_many_files_is_listed_whole():
    names = [NameFacts(f"n/{number:05}.fits", number, 1e9) for number in range(20000)]
    lines = in_folder(names, ("n",))
    assert [line.size for line in lines] == list(range(20000))


# Deleting and renaming


def test_dele_hides_a_file_that_is_delivered_all_the_same(changing, image):
    with changing.ftp() as client:
        assert client.delete("a.fits").startswith("250")
        assert client.nlst() == ["night"]
        with pytest.raises(ftplib.error_perm, match="550"):
            client.size("a.fits")
        with pytest.raises(ftplib.error_perm, match="550"):
            client.delete("a.fits")
    assert {entry.file.name for entry in changing.spool.reconcile()} >= {"a.fits"}


def test_dele_removes_what_was_interrupted(running, interrupted, image):
    interrupted(running, "x.fits", image(800)[: 1 << 19])
    with running.ftp("cam02") as other, pytest.raises(ftplib.error_perm, match="550"):
        other.delete("x.fits")
    with running.ftp() as client:
        client.delete("x.fits")
        assert client.nlst() == []


def test_temporary_name_is_held_until_it_is_renamed(running, image):
    with running.ftp() as client:
        client.storbinary("STOR night/x.part", io.BytesIO(image()))
        client.rename("night/x.part", "night/y.tmp")
        client.rename("night/y.tmp", "/x.fits")
    told = [(entry.file.name, str(entry.state)) for entry, _ in running.stored]
    assert told == [("night/x.part", "held"), ("night/y.tmp", "held"), ("x.fits", "pending")]
    assert len({entry.file.id for entry, _ in running.stored}) == 1
    assert running.stored[-1][1] is None


@pytest.mark.parametrize(("old", "code"), [("nothing", "550"), ("night/hers.fits", "550")])
def test_only_ones_own_files_can_be_renamed(stocked, old, code):
    with stocked.ftp() as client, pytest.raises(ftplib.error_perm, match=code):
        client.sendcmd(f"RNFR {old}")


def test_acknowledged_file_keeps_its_name(stocked):
    with stocked.ftp() as client:
        with pytest.raises(ftplib.error_perm, match=r"550 .* final name"):
            client.sendcmd("RNFR a.fits")
        assert client.nlst("*.fits") == ["a.fits"]


def test_interrupted_upload_cannot_be_renamed(running, interrupted, image):
    interrupted(running, "x.part", image(800)[: 1 << 19])
    with running.ftp() as client, pytest.raises(ftplib.error_perm, match="550"):
        client.rename("x.part", "x.fits")
    assert running.stored == []


@pytest.mark.parametrize("name", ["../x.fits", "x\\y", ""])
def test_bad_new_name_is_553_and_the_file_stays_held(running, image, name):
    running.upload("x.part", image())
    with running.ftp() as client:
        client.sendcmd("RNFR x.part")
        with pytest.raises(ftplib.error_perm, match="553"):
            client.sendcmd(f"RNTO {name}")
        with pytest.raises(ftplib.error_perm, match="503"):
            client.sendcmd("RNTO x.fits")
        client.sendcmd("RNFR x.part")
        client.sendcmd("NOOP")
        with pytest.raises(ftplib.error_perm, match="503 RNFR first"):
            client.sendcmd("RNTO x.fits")
        assert client.nlst() == ["x.part"]
