"""Nobody gets in without the right password, and no password gets out."""

import ftplib
import logging
import socket
import time

import pytest

from tests.gateway.server.conftest import PASSWORD, Desk, end_of
from tosip.gateway.users import Users, hash_password

TOO_EARLY = (
    "PWD; PASV; EPSV; PORT 127,0,0,1,200,200; STOR x; STOU; APPE x; MKD x; ALLO 1; SIZE x; LIST;"
    " MLSD; STAT; STAT x; ABOR; REST 1; DELE x; RNFR x; RNTO x; CWD x; TYPE I; SITE CHMOD 1 x"
)


@pytest.mark.parametrize(
    ("user", "password"),
    [("cam01", "wrong"), ("cam01", ""), ("anonymous", "me@here"), ("ftp", ""), ("nobody", "x")],
)
def test_wrong_log_in_gets_the_same_replies_for_known_and_unknown_names(standing, user, password):
    with pytest.raises(ftplib.error_perm, match="530 wrong password"), standing.ftp(user, password):
        pass


def test_nothing_is_done_before_the_log_in(standing):
    with standing.control() as client:
        for command in ("NOOP", "USER cam01"):
            client.sendcmd(command)
            for early in TOO_EARLY.split("; "):
                with pytest.raises(ftplib.error_perm, match="530 log in first"):
                    client.sendcmd(early)


def test_pass_without_user_and_a_second_pass_are_503(standing):
    with standing.control() as client:
        with pytest.raises(ftplib.error_perm, match="503"):
            client.sendcmd(f"PASS {PASSWORD}")
        client.login("cam01", PASSWORD)
        with pytest.raises(ftplib.error_perm, match="503"):
            client.sendcmd(f"PASS {PASSWORD}")


def test_user_again_logs_out_first(running):
    with running.ftp() as client:
        assert (running.server.connections, running.server.cameras) == (1, {"cam01"})
        client.cwd("night")
        client.sendcmd("USER cam02")
        assert (running.server.connections, running.server.cameras) == (0, frozenset())
        with pytest.raises(ftplib.error_perm, match="530"):
            client.pwd()
        client.sendcmd(f"PASS {PASSWORD}")
        assert client.pwd() == "/"
        assert running.server.cameras == {"cam02"}
    running.until(lambda: running.server.connections == 0)


def test_guessing_is_slow_and_ends_even_when_all_guesses_are_sent_at_once(desk):
    desk.start({"bad_password_delay": 0.2})
    with desk.control() as client:
        start = time.monotonic()
        client.sock.sendall(b"USER cam01\r\n" + b"PASS guess\r\n" * 9)
        replies = [client.getline()[:3] for _ in range(5)]
        with pytest.raises((EOFError, OSError)):
            client.getline()
    assert replies == ["331", "530", "530", "530", "421"]
    assert time.monotonic() - start > 0.6


def guess(desk, count, address="127.0.0.2", user="cam01"):
    """Return connections on each of which a password is guessed, all at once."""
    guesses = []
    for number in range(count):
        one = socket.create_connection(("127.0.0.1", desk.server.port), 10, (address, 0))
        one.sendall(f"USER {user}\r\nPASS guess{number}\r\n".encode())
        guesses.append(one)
    return guesses


def close(connections):
    for one in connections:
        one.close()


@pytest.fixture
def slow(tmp_path):
    """A desk whose users have passwords that take long to try, and that nobody has given yet."""
    hashed = hash_password(PASSWORD, 1 << 16)
    desk = Desk(tmp_path, Users({"cam01": hashed, "cam02": hashed}))
    yield desk
    desk.stop()


def test_guessing_is_slow_over_many_connections_too(desk):
    desk.start({"bad_password_delay": 0.2})
    start = time.monotonic()
    guesses = guess(desk, 4)
    for one in guesses:
        with one.makefile("rb") as replies:
            assert [replies.readline()[:3] for _ in range(3)] == [b"220", b"331", b"530"]
    assert time.monotonic() - start > 0.8
    close(guesses)


@pytest.mark.parametrize("address", ["127.0.0.2", "127.0.0.1"])
def test_flood_of_guesses_does_not_hold_up_a_camera(slow, address):
    slow.start({"strangers": 20, "bad_password_delay": 1.5})  # all: longer than a client waits
    guesses = guess(slow, 60, address)
    # Of another name: one that is guessed at from its own address has to wait for its turn.
    with slow.ftp("cam02") as camera:
        assert camera.pwd() == "/"
    assert len(slow.server._control.sessions) <= 21
    close(guesses)


def test_camera_that_has_logged_in_before_waits_for_no_guesses(slow):
    slow.start({"bad_password_delay": 30.0})
    with slow.ftp():
        guesses = guess(slow, 9, "127.0.0.1")
        with slow.ftp() as camera:
            assert camera.pwd() == "/"
    close(guesses)


def test_guesses_beyond_what_may_wait_are_sent_away_at_once(slow):
    slow.start({"strangers": 4, "bad_password_delay": 30.0})
    guesses = guess(slow, 9)
    ends = [end_of(one) for one in guesses[4:]]
    assert all("421" in end for end in ends), ends
    close(guesses)


def test_password_that_gets_no_turn_in_time_is_421(slow):
    slow.start({"login_timeout": 0.7, "bad_password_delay": 30.0})
    guesses = guess(slow, 1)
    with guesses[0].makefile("rb") as replies:
        assert [replies.readline()[:3] for _ in range(2)] == [b"220", b"331"]
    guesses += guess(slow, 1)
    assert "421 closing: too many are logging in" in end_of(guesses[1])
    close(guesses)


def test_right_password_works_again_and_again_and_a_wrong_one_still_does_not(standing):
    for _ in range(2):
        with standing.ftp() as client:
            assert client.pwd() == "/"
    with pytest.raises(ftplib.error_perm, match="530"), standing.ftp(password="wrong"):
        pass


def test_passwords_are_in_no_log(running, image, caplog):
    caplog.set_level(logging.DEBUG)
    running.upload("x.fits", image())
    with pytest.raises(ftplib.error_perm), running.ftp(password="wr0ng"):
        pass
    with pytest.raises(ftplib.error_perm), running.ftp(user="passw0rd in the wrong field"):
        pass
    running.stop_server()
    assert "wrong password for cam01" in caplog.text
    assert "wrong password for an unknown user" in caplog.text
    for secret in (PASSWORD, "wr0ng", "passw0rd", "scrypt$"):
        assert secret not in caplog.text
