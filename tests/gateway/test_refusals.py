"""What is not offered is refused clearly and changes nothing."""

import ftplib

import pytest


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("DELE x.fits", "550"),
        ("RMD a", "550"),
        ("RNFR x.fits", "550"),
        ("RNTO x.fits", "550"),
        ("RETR x.fits", "550"),
        ("APPE x.fits", "550"),
        ("REST 100", "502"),
        ("STOU", "502"),
        ("PORT 127,0,0,1,1,1", "502"),
        ("EPRT |1|127.0.0.1|257|", "502"),
        ("SITE CHMOD 777 x", "502"),
        ("MODE B", "504"),
        ("STRU R", "504"),
        ("TYPE E", "504"),
        ("ALLO much", "501"),
    ],
)
def test_verbs_that_could_do_damage_are_refused(running, image, command, code):
    running.upload("x.fits", image())
    with running.ftp() as client, pytest.raises(ftplib.error_perm, match=code):
        client.sendcmd(command)
    running.until_delivered(1)
    assert running.archived() == {"x.fits": image()}


@pytest.mark.parametrize("command", ["NOOP", "SYST", "FEAT", "OPTS UTF8 ON", "MODE S", "STRU F"])
def test_harmless_verbs_are_answered(running, command):
    with running.ftp() as client:
        assert client.sendcmd(command).startswith("2")


def test_ascii_upload_is_refused_with_advice(running):
    with running.ftp() as client:
        client.sendcmd("TYPE A")
        with pytest.raises(ftplib.error_perm, match=r"550.*use TYPE I"):
            client.transfercmd("STOR x.txt")


def test_full_disk_is_452_before_the_upload_begins(site, image):
    site.start_gateway(free_space=1 << 62)
    with pytest.raises(ftplib.error_temp, match="452"):
        site.upload("x.fits", image())
    assert list((site.spool / "partial").iterdir()) == []
    assert site.counters.refused == 1


def test_upload_announced_as_larger_than_the_disk_is_452(running):
    with running.ftp() as client:
        client.sendcmd(f"ALLO {1 << 55}")
        with pytest.raises(ftplib.error_temp, match="452"):
            client.transfercmd("STOR x.fits")


def test_over_long_line_ends_the_session_only(running):
    with running.ftp() as client:
        client.sock.sendall(b"A" * 100_000)
        with pytest.raises((EOFError, OSError, ftplib.Error)):
            client.voidresp()
    with running.ftp() as client:
        assert client.pwd() == "/"
