"""What is acknowledged and what is not: ALLO, short files, full disks, other files, STOU."""

import ftplib
import gzip
import io
import socket
import struct

import pytest

from tests.gateway.server.conftest import PASSWORD
from tosip.gateway.receiving.memory import STEP
from tosip.gateway.settings import Policy


@pytest.fixture
def data(image):
    return image(800)


def test_fin_short_of_the_headers_gets_451_and_goes_to_quarantine(running, data):
    with pytest.raises(ftplib.error_temp, match=rf"451 expected {len(data)} .* got 9000"):
        running.upload("x.fits", data[:9000])
    assert running.files == {}
    (short,) = running.spool.quarantined()
    assert (short.name, short.user, short.size, short.camera) == ("x.fits", "cam01", 9000, "cam01")


def test_fin_short_of_the_end_of_a_packed_fits_file_gets_451_too(running, data):
    packed = gzip.compress(data)
    with pytest.raises(ftplib.error_temp, match="451 expected the end of a gzip member, got that"):
        running.upload("x.fits.gz", packed[:-9])
    assert running.files == {}
    assert [short.name for short in running.spool.quarantined()] == ["x.fits.gz"]
    assert running.upload("x.fits.gz", packed).startswith("226")


def test_fin_short_of_allo_gets_451(running):
    with running.ftp() as client:
        client.sendcmd("ALLO 100")
        with pytest.raises(ftplib.error_temp, match=r"451 expected 100 bytes .ALLO., got 3"):
            client.storbinary("STOR x.raw", io.BytesIO(b"abc"))
    assert running.files == {}


@pytest.mark.parametrize("verb", ["LIST", "NLST", "MLSD"])
def test_allo_is_not_for_an_upload_after_a_list(running, verb):
    with running.ftp() as client:
        client.sendcmd("ALLO 100")
        client.retrlines(verb, str)
        client.storbinary("STOR x.raw", io.BytesIO(b"abc"))
    assert running.files == {"x.raw": b"abc"}


def test_allo_is_for_one_upload_only(running):
    with running.ftp() as client:
        client.sendcmd("ALLO 3 R 1")
        client.storbinary("STOR x.raw", io.BytesIO(b"abc"))
        client.storbinary("STOR y.raw", io.BytesIO(b"ab"))
    assert [entry.file.proven for entry, _ in running.stored] == [True, False]


@pytest.mark.parametrize("command", ["ALLO", "ALLO x", "ALLO -1", "REST x", "REST -1", "REST"])
def test_numbers_that_are_none_get_501(running, command):
    with running.ftp() as client, pytest.raises(ftplib.error_perm, match="501"):
        client.sendcmd(command)


def test_full_disk_is_452_before_the_upload_begins(desk, data):
    desk.start({"free_space": 1 << 62})
    with pytest.raises(ftplib.error_temp, match="452"):
        desk.upload("x.fits", data)
    assert len(desk.refused) == 1


def test_upload_announced_as_larger_than_the_disk_is_452(running):
    with running.ftp() as client:
        client.voidcmd("TYPE I")
        client.sendcmd(f"ALLO {1 << 55}")
        with pytest.raises(ftplib.error_temp, match="452"):
            client.transfercmd("STOR x.fits")


def test_room_that_a_running_upload_has_announced_is_not_there_for_another(running, begin):
    most = f"ALLO {running.spool.free_space() // 4 * 3}"
    with running.ftp() as one, running.ftp("cam02") as other:
        one.sendcmd(most)
        with begin(one, b"some"):
            other.voidcmd("TYPE I")
            other.sendcmd(most)
            with pytest.raises(ftplib.error_temp, match="452"):
                other.transfercmd("STOR y.fits")
            one.abort()
        one.getline()
        other.sendcmd(most)
        begin(other, b"some", "STOR y.fits").close()


@pytest.mark.parametrize(("command", "end"), [("STOU", ""), ("STOU x.fits", ".fits")])
def test_stou_tells_the_name_that_it_has_made(running, data, command, end):
    names = set()
    with running.ftp() as client:
        client.voidcmd("TYPE I")
        client.cwd("night")
        for _ in range(2):
            host, port = client.makepasv()
            with socket.create_connection((host, port)) as connection:
                reply = client.sendcmd(command)
                connection.sendall(data)
            client.voidresp()
            assert reply.startswith("150 FILE: night/")
            names.add(reply.removeprefix("150 FILE: "))
    assert len(names) == 2
    assert {entry.file.name for entry, _ in running.stored} == names
    assert all(name.endswith(end) for name in names)


def test_other_files_are_refused_where_the_policy_says_so(desk, data):
    desk.start(policy=Policy(other_files="refuse"))
    with pytest.raises(ftplib.error_perm, match="550"):
        desk.upload("notes.txt", b"hello")
    assert desk.upload("x.fits", data).startswith("226")
    assert desk.files == {"x.fits": data}


@pytest.mark.parametrize("before", ["NOOP", "TYPE A", "TYPE I;TYPE A N", "TYPE I;USER cam01"])
def test_ascii_upload_is_refused_with_advice_and_is_what_a_session_begins_with(running, before):
    with running.ftp() as client:
        for command in before.split(";"):
            client.sendcmd(command)
        if "USER" in before:
            client.sendcmd(f"PASS {PASSWORD}")
        with pytest.raises(ftplib.error_perm, match=r"550.*use TYPE I"):
            client.transfercmd("STOR x.txt")


def test_reset_is_426_and_the_session_goes_on(running, begin, data):
    with running.ftp() as client:
        connection = begin(client, data[:STEP])
        running.until_receiving(client, STEP)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        with pytest.raises(ftplib.error_temp, match="426"):
            client.voidresp()
        assert client.pwd() == "/"
