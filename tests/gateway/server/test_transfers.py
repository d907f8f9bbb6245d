"""One transfer at a time on a connection: ABOR, STAT and other commands during it."""

import asyncio
import ftplib
import socket
import threading

import pytest

from tests.gateway.server.conftest import PATIENCE
from tests.gateway.spool.helpers import descriptors
from tosip.gateway.receiving import completeness
from tosip.gateway.receiving.fits_cards import header_values
from tosip.gateway.receiving.memory import STEP
from tosip.gateway.server.crowd import Crowd
from tosip.gateway.settings import CameraSettings

TELNET_INTERRUPT = b"\xff\xf4\xff"
TELNET_MARK = b"\xf2"


@pytest.fixture
def data(image):
    return image(800)


def replies(client, count):
    return [client.getline()[:3] for _ in range(count)]


def test_226_names_size_and_id(running, data):
    reply = running.upload("x.fits", data)
    ((entry, _),) = running.stored
    assert reply == f"226 stored {len(data)} bytes as {entry.file.id}"


def test_stored_file_is_told_with_its_bytes_and_its_camera(running, data):
    running.upload("night/x.fits", data)
    ((entry, in_memory),) = running.stored
    file = entry.file
    assert (file.name, file.user, file.size) == ("night/x.fits", "cam01", len(data))
    assert (file.camera, file.proven, in_memory) == ("cam01", True, data)
    assert running.cameras_asked == [("cam01", "night/x.fits", {})]


def test_header_is_read_in_a_thread_and_only_where_it_tells_the_camera(desk, data, monkeypatch):
    """Reading a long one would hold up the event loop."""
    readers = []

    def read(header):
        readers.append(threading.current_thread())
        return header_values(header)

    monkeypatch.setattr(completeness, "header_values", read)
    desk.start(camera=CameraSettings(by="header", keyword="NAXIS1"))
    desk.upload("x.fits", data)
    with pytest.raises(ftplib.error_temp, match="451"):
        desk.upload("short.fits", data[:-1])
    assert [header["NAXIS1"] for _, _, header in desk.cameras_asked] == ["800", "800"]
    assert len(readers) == 2
    assert desk.thread not in readers
    desk.stop_server()

    desk.start()
    desk.upload("y.fits", data)
    assert len(readers) == 2


def test_upload_that_is_being_opened_when_the_gateway_stops_is_421_and_leaves_nothing(
    running, monkeypatch
):
    opening, opened = threading.Event(), threading.Event()
    begin = running.spool.begin

    def begin_late():
        opening.set()
        assert opened.wait(PATIENCE)
        return begin()

    monkeypatch.setattr(running.spool, "begin", begin_late)
    with running.ftp() as client:
        client.voidcmd("TYPE I")
        client.makepasv()
        before = descriptors()
        client.putcmd("STOR x.fits")
        assert opening.wait(PATIENCE)
        stopping = asyncio.run_coroutine_threadsafe(running.server.stop(), running.loop)
        # Longer than the control channel takes to end sessions.
        with pytest.raises(TimeoutError):
            stopping.result(1.5)
        opened.set()
        stopping.result(PATIENCE)
        assert client.getline() == "421 the gateway is stopping"
        assert descriptors() <= before
    assert list((running.folder / "partial").iterdir()) == []


# ABOR


def test_abor_while_data_comes_is_426_then_226_and_the_part_is_kept(running, begin, data):
    with running.ftp() as client:
        with begin(client, data[:STEP]):
            running.until_receiving(client, STEP)
            assert client.abort().startswith("426")
        assert client.getline().startswith("226")
        assert client.size("x.fits") == STEP
    assert running.stored == []
    assert len(running.refused) == 1


def test_abor_before_the_data_connection_is_426_then_226(running):
    with running.ftp() as client:
        client.voidcmd("TYPE I")
        client.makepasv()
        assert client.sendcmd("STOR x.fits").startswith("150")
        assert client.abort().startswith("426")
        assert client.getline().startswith("226")
        assert client.nlst() == []


@pytest.mark.parametrize("prepare", [None, "PASV", "REST 10"])
def test_abor_of_nothing_is_226(running, prepare):
    with running.ftp() as client:
        if prepare:
            client.sendcmd(prepare)
        assert client.sendcmd("ABOR").startswith("226")
        assert client.pwd() == "/"


def test_abor_after_the_last_byte_leaves_the_file_acknowledged_or_not_at_all(running, data):
    with running.ftp() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR x.fits") as connection:
            connection.sendall(data)
        client.sock.sendall(b"ABOR\r\n")
        first, second = replies(client, 2)
    assert (first, second) in (("226", "226"), ("426", "226"))
    assert len(running.files) == (first == "226")


def test_abor_as_telnet_sends_it(running, begin, data):
    with running.ftp() as client:
        with begin(client, data[:STEP]):
            running.until_receiving(client, STEP)
            client.sock.sendall(TELNET_INTERRUPT, socket.MSG_OOB)
            client.sock.sendall(TELNET_MARK + b"ABOR\r\n")
            assert replies(client, 2) == ["426", "226"]
        assert client.pwd() == "/"


def test_abor_of_a_list(running):
    with running.ftp() as client:
        client.makepasv()
        client.sendcmd("LIST")
        assert client.sendcmd("STAT") == "211 sending a list"
        client.sock.sendall(b"ABOR\r\n")
        assert replies(client, 2) == ["426", "226"]


# What else may be said meanwhile


def test_only_stat_and_noop_are_acted_on_during_an_upload(running, begin, data):
    with running.ftp() as client:
        with begin(client, data[:STEP]) as connection:
            running.until_receiving(client, STEP)
            assert client.sendcmd("STAT") == f"211 receiving x.fits: {STEP} bytes so far"
            assert client.sendcmd("NOOP").startswith("200")
            for command in ("CWD a", "DELE x.fits", "STOR y", "PASV", "LIST", "USER x", "SIZE x"):
                with pytest.raises(ftplib.error_perm, match="503"):
                    client.sendcmd(command)
            connection.sendall(data[STEP:])
        assert client.voidresp().startswith("226")
    assert running.files == {"x.fits": data}


def test_quit_during_an_upload_lets_it_end(running, begin, data):
    with running.ftp() as client:
        with begin(client, data[:1000]) as connection:
            client.sock.sendall(b"QUIT\r\n")
            connection.sendall(data[1000:])
        assert replies(client, 2) == ["226", "221"]
        with pytest.raises(EOFError):
            client.getline()
    assert running.files == {"x.fits": data}


def test_commands_sent_all_at_once_are_done_in_their_order(running):
    with running.ftp() as client:
        client.sock.sendall(b"CWD a\r\nPWD\r\nCWD b\r\nPWD\r\nCDUP\r\nPWD\r\nQUIT\r\n")
        lines = [client.getline() for _ in range(7)]
    assert [lines[1], lines[3], lines[5]] == ['257 "/a"', '257 "/a/b"', '257 "/a"']
    assert lines[6].startswith("221")


def test_lost_control_connection_ends_the_upload_and_keeps_the_part(running, begin, data):
    with running.ftp() as client, begin(client, data[:STEP]):
        running.until_receiving(client, STEP)
        client.sock.close()
        client.file.close()
        running.until(lambda: running.refused)
    assert running.refused == ["426 upload interrupted: control connection lost"]
    with running.ftp() as client:
        assert client.size("x.fits") == STEP


def test_upload_ends_with_its_control_connection_whatever_else_fails(
    running, begin, data, monkeypatch
):
    def fail(crowd, guest):
        raise KeyError(guest)

    with running.ftp() as client, begin(client, data[:STEP]):
        running.until_receiving(client, STEP)
        monkeypatch.setattr(Crowd, "leave", fail)
        client.sock.close()
        client.file.close()
        running.until(lambda: running.refused)
    assert running.files == {}


def test_stopping_server_says_so_and_keeps_the_part(running, begin, data, caplog):
    with running.ftp() as client:
        with begin(client, data[:STEP]):
            running.until_receiving(client, STEP)
            running.stop_server()
        assert replies(client, 2) == ["426", "421"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    running.start()
    with running.ftp() as client:
        assert client.size("x.fits") == STEP


def test_two_uploads_of_one_name_at_once_are_two_files(running, begin, image):
    first, second = image(800), image(300)
    with running.ftp() as one, running.ftp() as other:
        with begin(one, first[:3000]) as data_one, begin(other, second[:3000]) as data_other:
            data_one.sendall(first[3000:])
            data_other.sendall(second[3000:])
        assert one.voidresp().startswith("226")
        assert other.voidresp().startswith("226")
    assert {in_memory for _, in_memory in running.stored} == {first, second}
    assert {entry.file.path.read_bytes() for entry, _ in running.stored} == {first, second}


def test_sixteen_cameras_at_once(running, image):
    frames = {f"{number}.fits": image(200 + number) for number in range(16)}
    senders = [threading.Thread(target=running.upload, args=one) for one in frames.items()]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert running.files == frames


@pytest.mark.parametrize("command", ["DELE x.fits", "RNFR x.fits"])
def test_another_session_cannot_touch_an_upload_that_runs(running, begin, data, command):
    with running.ftp() as client, running.ftp() as other:
        with begin(client, data[:STEP]) as connection:
            running.until_receiving(client, STEP)
            with pytest.raises(ftplib.error_perm, match="550 no such file"):
                other.sendcmd(command)
            connection.sendall(data[STEP:])
        assert client.voidresp().startswith("226")
    assert running.files == {"x.fits": data}
