"""How many may come, how long they may be silent, and what a crowd cannot do to a camera."""

import contextlib
import ftplib
import resource
import socket
import threading
import time

import pytest

from tests.gateway.server.conftest import PASSWORD, end_of
from tests.gateway.spool.helpers import put

OTHER = "127.0.0.2"


def silent(desk, address=OTHER):
    """Return a connection that says nothing."""
    return socket.create_connection(("127.0.0.1", desk.server.port), 10, (address, 0))


def noop(client):
    client.putcmd("NOOP")
    return client.getline()


# How many


def test_log_ins_beyond_the_maximum_are_turned_away(desk):
    desk.start({"connections": 1})
    with desk.ftp() as first:
        with pytest.raises(ftplib.error_temp, match="421 too many are logged in"), desk.ftp():
            pass
        assert first.pwd() == "/"
    desk.until(lambda: desk.server.connections == 0)
    with desk.ftp() as again:
        assert again.pwd() == "/"


def test_a_race_for_the_last_place_has_one_winner(desk):
    desk.start({"connections": 1})
    one, other = desk.control(), desk.control()
    one.login("cam01", PASSWORD)
    with pytest.raises(ftplib.error_temp, match="421"):
        other.login("cam02", PASSWORD)
    one.close()
    other.close()


def test_one_user_has_so_many_places_and_others_have_theirs(desk):
    desk.start({"per_user": 2})
    with desk.ftp(), desk.ftp():
        with pytest.raises(ftplib.error_temp, match=r"421.*of this user"), desk.ftp():
            pass
        with desk.ftp("cam02") as other:
            assert other.pwd() == "/"


def test_one_address_has_so_many_places_and_others_have_theirs(desk):
    desk.start({"per_address": 2})
    with desk.ftp(), desk.ftp():
        with pytest.raises(ftplib.error_temp, match=r"421.*from this address"):
            desk.control()
        with silent(desk) as other:
            assert other.recv(3) == b"220"


def test_oldest_stranger_of_the_greediest_address_makes_room(desk):
    desk.start({"strangers": 3})
    with desk.control() as camera, silent(desk) as first, silent(desk) as second:
        assert [one.recv(3) for one in (first, second)] == [b"220", b"220"]
        with silent(desk) as third:
            assert "421" in end_of(first)
            assert third.recv(3) == b"220"
        camera.login("cam01", PASSWORD)
        assert camera.pwd() == "/"


def test_crowd_of_many_silent_addresses_does_not_push_out_a_camera_that_logs_in(desk):
    desk.start({"strangers": 8})
    with contextlib.ExitStack() as stack:
        camera = stack.enter_context(contextlib.closing(desk.control()))
        camera.sendcmd("USER cam01")
        for number in range(20):
            one = stack.enter_context(silent(desk, f"127.0.1.{number + 1}"))
            assert one.recv(3) == b"220"
        camera.sendcmd(f"PASS {PASSWORD}")
        assert camera.pwd() == "/"


def test_places_are_not_held_by_saying_user_only(desk):
    desk.start({"per_address": 3})
    with contextlib.ExitStack() as stack:
        for _ in range(9):
            client = stack.enter_context(contextlib.closing(desk.control()))
            client.sendcmd("USER cam01")
        camera = stack.enter_context(contextlib.closing(desk.control()))
        camera.login("cam01", PASSWORD)
        assert camera.pwd() == "/"


def test_uploads_go_on_while_hundreds_of_idle_connections_come(desk, image):
    desk.start()
    count = min(300, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
    data = image(300)
    with contextlib.ExitStack() as stack, desk.ftp() as camera:
        flood = threading.Thread(
            target=lambda: [stack.enter_context(silent(desk)) for _ in range(count)]
        )
        flood.start()
        uploads = 0
        while flood.is_alive() or uploads < 5:
            desk.upload(f"{uploads}.fits", data)
            assert camera.pwd() == "/"
            uploads += 1
        flood.join()
    assert len(desk.files) == uploads


# How long


def test_session_that_does_not_log_in_is_closed_whatever_it_says(desk):
    desk.start({"login_timeout": 0.4})
    with desk.control() as client:
        start = time.monotonic()
        while (reply := noop(client)).startswith("200"):
            pass
        assert reply.startswith("421")
        assert time.monotonic() - start > 0.3


def test_slow_trickle_is_not_activity(desk):
    desk.start({"idle_timeout": 0.4})
    with desk.ftp() as client:
        client.sock.settimeout(0.05)
        line = b""
        while not line:
            client.sock.sendall(b"N")
            with contextlib.suppress(TimeoutError):
                line = client.sock.recv(100)
        assert line.startswith(b"421")


def test_idle_session_is_closed_but_not_one_that_uploads(desk, image):
    desk.start({"idle_timeout": 0.3})
    data = image()
    with desk.ftp() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR x.fits") as connection:
            connection.sendall(data[:1000])
            time.sleep(0.5)  # this long the control connection says nothing
            connection.sendall(data[1000:])
        assert client.voidresp().startswith("226")
        start = time.monotonic()
        assert client.getline().startswith("421")
        assert time.monotonic() - start > 0.2


def test_stalled_upload_is_given_up_and_its_part_kept(desk, begin, image):
    desk.start({"stall_timeout": 0.3})
    with desk.ftp() as client:
        with begin(client, image()[:9000]), pytest.raises(ftplib.error_temp, match=r"426"):
            client.voidresp()
        assert client.size("x.fits") == 9000


def test_client_that_does_not_read_its_list_is_ended_and_others_are_served(desk):
    desk.start({"stall_timeout": 2.0})
    for number in range(64):
        put(desk.spool, f"{number:0200000}.fits", b"")  # more than all buffers hold
    with desk.ftp() as client, desk.ftp("cam02") as other, client.transfercmd("LIST"):
        assert other.nlst() == []
        assert client.sendcmd("STAT") == "211 sending a list"
        assert client.getline() == "426 list interrupted: time-out"
        assert client.pwd() == "/"


# How much


@pytest.mark.parametrize("line", [b"A" * 10_000, b"STOR " + b"x" * 5000 + b"\r\n"])
def test_over_long_line_is_500_and_ends_the_session_only(standing, line):
    with standing.ftp() as client:
        client.sock.sendall(line)
        assert client.getline().startswith("500")
        assert end_of(client.sock) == ""
    with standing.ftp() as client:
        assert client.pwd() == "/"


def test_client_that_reads_no_replies_is_not_read_either(desk):
    desk.start({"stall_timeout": 0.5})
    with desk.ftp() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # More than all buffers hold: the server stops reading, gives up, and this ends.
        with pytest.raises(OSError, match=r"reset|pipe|aborted"):
            client.sock.sendall(b"HELP\r\n" * (4 << 20))
    desk.until(lambda: desk.server.connections == 0)


def test_client_that_goes_away_is_forgotten_at_once(running):
    client = running.control()
    client.login("cam01", PASSWORD)
    client.makepasv()
    client.close()
    running.until(lambda: running.server.connections == 0)
