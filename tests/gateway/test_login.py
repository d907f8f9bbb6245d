"""Nobody gets in without the right password, and no password gets out."""

import ftplib
import logging
import time
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("user", "password"),
    [("cam01", "wrong"), ("cam01", ""), ("anonymous", "me@here"), ("ftp", ""), ("nobody", "x")],
)
def test_wrong_log_in_gets_the_same_replies_for_known_and_unknown_names(running, user, password):
    with pytest.raises(ftplib.error_perm, match="530 wrong password"), running.ftp(user, password):
        pass


@pytest.mark.parametrize("command", ["PWD", "PASV", "STOR x", "MKD x", "ALLO 1", "SIZE x"])
def test_nothing_is_done_before_the_log_in(running, command):
    with ftplib.FTP() as client:
        client.connect("127.0.0.1", running.gateway.port)
        with pytest.raises(ftplib.error_perm, match="530 log in first"):
            client.sendcmd(command)


def test_guessing_is_slow_even_when_all_guesses_are_sent_at_once(site):
    site.start_gateway(bad_password_delay=0.2)
    with ftplib.FTP() as client:
        client.connect("127.0.0.1", site.gateway.port)
        start = time.monotonic()
        control: Any = client.sock
        control.sendall(b"USER cam01\r\n" + b"PASS guess\r\n" * 3)
        replies = [client.getline()[:3] for _ in range(4)]
    assert replies == ["331", "530", "530", "530"]
    assert time.monotonic() - start > 0.6


def test_right_password_works_again_and_again_and_a_wrong_one_still_does_not(running):
    for _ in range(2):
        with running.ftp() as client:
            assert client.pwd() == "/"
    with pytest.raises(ftplib.error_perm, match="530"), running.ftp(password="wrong"):
        pass


def test_passwords_are_in_no_log_and_in_no_text_of_the_settings(site, image, caplog):
    caplog.set_level(logging.DEBUG)
    site.start_archive()
    site.start_gateway()
    site.upload("x.fits", image())
    with pytest.raises(ftplib.error_perm), site.ftp(password="wr0ng"):
        pass
    with pytest.raises(ftplib.error_perm), site.ftp(user="passw0rd in the wrong field"):
        pass
    site.until_delivered(1)
    text = caplog.text + repr(site.gateway.settings) + repr(site.counters)
    for secret in (site.password, site.archive_password, "wr0ng", "passw0rd", "scrypt$"):
        assert secret not in text


def test_session_that_does_not_log_in_is_closed(site):
    site.start_gateway(login_timeout=0.2)
    with ftplib.FTP(timeout=5) as client:
        client.connect("127.0.0.1", site.gateway.port)
        assert client.getline().startswith("421")
    site.until(lambda: site.counters.connections == 0)


def test_connections_beyond_the_maximum_are_turned_away(site):
    site.start_gateway(connections=1)
    with site.ftp(), pytest.raises(ftplib.error_temp, match="421"), site.ftp():
        pass


def test_idle_session_is_closed_but_not_one_that_uploads(site, image):
    site.start_archive()
    site.start_gateway(idle_timeout=0.2)
    data = image()
    with site.ftp() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR x.fits") as connection:
            connection.sendall(data[:1000])
            time.sleep(0.5)  # this long the control connection says nothing
            connection.sendall(data[1000:])
        assert client.voidresp().startswith("226")
        assert client.getline().startswith("421")
