"""An upload that may not be whole is not acknowledged, and never reaches the archive."""

import ftplib
import io
import socket
import struct
from typing import Any

import pytest

RESET = struct.pack("ii", 1, 0)


def assert_nothing_came(site: Any) -> None:
    assert list((site.spool / "partial").iterdir()) == []
    assert site.committed() == []
    assert site.stored == []
    assert site.counters.acknowledged == 0
    assert site.counters.refused == 1
    assert site.archived() == {}


@pytest.mark.parametrize("length", [0, 1, 2879, 2880, 20000, -1])
def test_fin_short_of_what_the_headers_imply_gets_451_with_both_lengths(running, image, length):
    data = image()
    sent = data[:length] if length else b""
    implied = 2880 if length < 2880 and length >= 0 else len(data)
    message = f"451 expected {implied} bytes .FITS headers., got {len(sent)}"
    with pytest.raises(ftplib.error_temp, match=message):
        running.upload("x.fits", sent)
    assert_nothing_came(running)


def test_fin_short_of_allo_gets_451(running):
    with running.ftp() as client:
        client.sendcmd("ALLO 100")
        with pytest.raises(ftplib.error_temp, match=r"451 expected 100 bytes .ALLO., got 3"):
            client.storbinary("STOR x.raw", io.BytesIO(b"abc"))
    assert_nothing_came(running)


def test_allo_is_for_one_upload_only(running, put):
    with running.ftp() as client:
        client.sendcmd("ALLO 3")
        assert put(client, "x.raw", b"abc").startswith("226")
        assert put(client, "y.raw", b"").startswith("226")
    assert [file.proven for file in running.stored] == [True, False]


def test_reset_in_the_middle_is_426_and_the_session_goes_on(running, image):
    with running.ftp() as client:
        connection = begin(client, image()[:9000])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.close()
        with pytest.raises(ftplib.error_temp, match="426"):
            client.voidresp()
        assert client.pwd() == "/"
    assert_nothing_came(running)


def test_abor_is_426_then_226(running, image):
    with running.ftp() as client:
        with begin(client, image()[:9000]):
            assert client.abort().startswith("426")
        assert client.getline().startswith("226")
        assert client.pwd() == "/"
    assert_nothing_came(running)


def test_abor_before_the_data_connection_is_obeyed(running):
    with running.ftp() as client:
        client.makepasv()
        assert client.sendcmd("STOR x.fits").startswith("150")
        assert client.abort().startswith("426")
    assert_nothing_came(running)


def test_lost_control_connection_discards_although_the_data_is_whole(running, image):
    with running.ftp() as client:
        connection = begin(client, image())
        client.sock.close()
        client.file.close()
        running.until(lambda: running.counters.refused == 1)
        connection.close()
    assert_nothing_came(running)


def test_stalled_upload_is_given_up(site, image):
    site.start_archive()
    site.start_gateway(stall_timeout=0.2)
    stalled = pytest.raises(ftplib.error_temp, match=r"426.*no data")
    with site.ftp() as client, begin(client, image()[:9000]), stalled:
        client.voidresp()
    assert_nothing_came(site)


def test_missing_data_connection_is_425(site):
    site.start_gateway(connect_timeout=0.2)
    with site.ftp() as client:
        client.makepasv()
        client.sendcmd("STOR x.fits")
        with pytest.raises(ftplib.error_temp, match="425"):
            client.voidresp()
    assert_nothing_came(site)


def test_stopping_gateway_says_so_and_keeps_nothing(running, image, caplog):
    with running.ftp() as client:
        with begin(client, image()[:9000]):
            running.stop_gateway()
        assert client.getline().startswith("426")
        assert client.getline().startswith("421")
    assert_nothing_came(running)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_other_commands_wait_until_the_upload_is_over(running, image):
    with running.ftp() as client, begin(client, image()[:9000]):
        with pytest.raises(ftplib.error_perm, match="503"):
            client.sendcmd("CWD a")
        assert client.sendcmd("STAT").startswith("211 receiving x.fits")


def test_quit_during_an_upload_lets_it_end(running, image):
    data = image()
    with running.ftp() as client:
        with begin(client, data[:1000]) as connection:
            client.sock.sendall(b"QUIT\r\n")
            connection.sendall(data[1000:])
        assert [client.getline()[:3] for _ in range(2)] == ["226", "221"]
    running.until_delivered(1)


def begin(client: ftplib.FTP, data: bytes) -> socket.socket:
    client.voidcmd("TYPE I")
    connection = client.transfercmd("STOR x.fits")
    connection.sendall(data)
    return connection
