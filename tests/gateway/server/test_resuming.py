"""An interrupted upload may be gone on with: by its user, at its exact size."""

import errno
import ftplib
import io
import socket
import struct

import pytest

from tests.gateway.server.conftest import PASSWORD
from tests.gateway.spool.helpers import descriptors
from tosip.gateway.receiving.memory import STEP
from tosip.gateway.spool.disk import Disk


@pytest.fixture
def data(image):
    return image(800)


@pytest.mark.parametrize("order", ["REST PASV STOR", "PASV REST STOR", "REST TYPE EPSV STOR"])
def test_rest_survives_what_comes_between_it_and_stor(running, interrupted, data, order):
    interrupted(running, "x.fits", data[:STEP])
    with running.ftp() as client:
        client.voidcmd("TYPE I")
        for verb in order.split()[:-1]:
            if verb in ("PASV", "EPSV"):
                client.trust_server_pasv_ipv4_address = True
                host, port = client.makepasv()
            else:
                client.sendcmd({"REST": f"REST {STEP}", "TYPE": "TYPE I"}[verb])
        with socket.create_connection((host, port)) as connection:
            client.sendcmd("STOR x.fits")
            connection.sendall(data[STEP:])
        assert client.voidresp().startswith("226")
    assert running.files == {"x.fits": data}


@pytest.mark.parametrize("between", ["NLST", "RETR x.fits", "SIZE x.fits", "CWD .", "ABOR"])
def test_rest_lapses_when_something_else_comes_next(running, interrupted, data, between):
    interrupted(running, "x.fits", data[:STEP])
    with running.ftp() as client:
        client.sendcmd(f"REST {STEP}")
        if between == "NLST":
            client.nlst()
        else:
            client.putcmd(between)
            client.getline()
        client.storbinary("STOR y.fits", io.BytesIO(data))
    assert running.files == {"y.fits": data}


def test_rest_is_for_one_upload_only(running, interrupted, data):
    interrupted(running, "x.fits", data[:STEP])
    with running.ftp() as client:
        client.storbinary("STOR x.fits", io.BytesIO(data[STEP:]), rest=STEP)
        client.storbinary("STOR y.fits", io.BytesIO(data))
    assert running.files == {"x.fits": data, "y.fits": data}


@pytest.mark.parametrize("offset", [1, STEP - 1, STEP + 1])
def test_rest_at_another_size_is_554_and_names_the_size(running, interrupted, data, offset):
    interrupted(running, "x.fits", data[:STEP])
    with running.ftp() as client:
        with pytest.raises(ftplib.error_perm, match=rf"554 .* {STEP}, got {offset}"):
            client.storbinary("STOR x.fits", io.BytesIO(data), rest=offset)
        assert client.size("x.fits") == STEP


def test_nobody_else_can_go_on_with_an_upload(running, interrupted, data):
    interrupted(running, "x.fits", data[:STEP])
    with running.ftp("cam02") as client, pytest.raises(ftplib.error_perm, match="554"):
        client.storbinary("STOR x.fits", io.BytesIO(data[STEP:]), rest=STEP)
    with running.ftp("cam02") as client:
        assert client.nlst() == []
        assert client.storbinary("APPE x.fits", io.BytesIO(data)).startswith("226")
    assert running.stored[0][0].file.user == "cam02"


def test_appe_goes_on_with_an_interrupted_upload_and_begins_a_new_one(running, interrupted, data):
    interrupted(running, "x.fits", data[:STEP])
    with running.ftp() as client:
        client.storbinary("APPE x.fits", io.BytesIO(data[STEP:]))
        client.storbinary("APPE new.fits", io.BytesIO(data))
    assert running.files == {"x.fits": data, "new.fits": data}


def test_appe_to_a_file_that_is_whole_is_554(running, data):
    running.upload("x.fits", data)
    with running.ftp() as client, pytest.raises(ftplib.error_perm, match=f"554 .* {len(data)} "):
        client.storbinary("APPE x.fits", io.BytesIO(data))
    assert running.files == {"x.fits": data}


def test_missing_data_connection_is_425_and_leaves_an_earlier_part_as_it_was(
    desk, interrupted, data
):
    desk.start({"connect_timeout": 0.2})
    interrupted(desk, "x.fits", data[:STEP])
    with desk.ftp() as client:
        client.voidcmd("TYPE I")
        client.sendcmd(f"REST {STEP}")
        client.makepasv()
        client.sendcmd("STOR x.fits")
        with pytest.raises(ftplib.error_temp, match="425"):
            client.voidresp()
        client.storbinary("STOR x.fits", io.BytesIO(data[STEP:]), rest=STEP)
    assert desk.files == {"x.fits": data}


# A newer upload of the name


def cut(client, connection):
    """End the data connection as a crash does; return the reply."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    with pytest.raises(ftplib.error_temp) as refused:
        client.voidresp()
    return str(refused.value)[:3]


def assert_nothing_to_resume(desk, client, data):
    with pytest.raises(ftplib.error_perm, match="550"):
        client.size("x.fits")
    with pytest.raises(ftplib.error_perm, match="554"):
        client.storbinary("STOR x.fits", io.BytesIO(data[STEP:]), rest=STEP)
    assert list((desk.folder / "partial").iterdir()) == []


def test_upload_from_the_start_that_brings_no_byte_leaves_nothing_to_resume(
    running, interrupted, begin, data
):
    """What an older upload of the name has left may be of another file."""
    interrupted(running, "x.fits", data[:STEP])
    with running.ftp() as client:
        assert cut(client, begin(client, b"")) == "426"
        assert_nothing_to_resume(running, client, data)


def test_upload_from_the_start_that_is_refused_leaves_nothing_to_resume(running, interrupted, data):
    interrupted(running, "x.fits", data[:STEP])
    with running.ftp() as client:
        with pytest.raises(ftplib.error_temp, match="451"):
            client.storbinary("STOR x.fits", io.BytesIO(data[:-1]))
        assert_nothing_to_resume(running, client, data)


def test_upload_that_ends_after_a_newer_one_has_begun_is_not_kept(running, begin, data):
    """As when the gateway learns late that a camera has restarted."""
    with running.ftp() as old, running.ftp() as new:
        older = begin(old, data[:STEP])
        running.until_receiving(old, STEP)
        newer = begin(new, data[: 2 * STEP])
        running.until_receiving(new, 2 * STEP)
        assert cut(old, older) == "426"
        with pytest.raises(ftplib.error_perm, match="550"):
            new_size(running)
        assert cut(new, newer) == "426"
        assert new.size("x.fits") == 2 * STEP


def new_size(desk):
    with desk.ftp() as client:
        return client.size("x.fits")


def test_uploads_of_others_and_under_other_names_stay_to_be_resumed(
    running, interrupted, begin, data
):
    interrupted(running, "x.fits", data[:STEP])
    interrupted(running, "y.fits", data[:STEP], "cam02")
    with running.ftp() as client:
        assert cut(client, begin(client, b"", "STOR y.fits")) == "426"
        assert client.size("x.fits") == STEP
    with running.ftp("cam02") as client:
        assert client.size("y.fits") == STEP


def test_without_a_tls_handshake_an_earlier_part_stays(desk, authority, interrupted, data):
    desk.start({"connect_timeout": 0.2}, tls=authority.settings())
    interrupted(desk, "x.fits", data[:STEP])
    client = ftplib.FTP_TLS(timeout=10, context=authority.context)
    with client:
        client.connect("127.0.0.1", desk.server.port)
        client.login("cam01", PASSWORD)
        client.prot_p()
        client.voidcmd("TYPE I")
        with socket.create_server(("127.0.0.1", 0)) as server:
            client.sendport(*server.getsockname())
            client.sendcmd("STOR x.fits")
            server.accept()[0].close()
        with pytest.raises(ftplib.error_temp, match="425"):
            client.voidresp()
        assert client.size("x.fits") == STEP


def test_what_cannot_be_kept_again_goes_and_holds_no_descriptor(
    desk, interrupted, data, monkeypatch
):
    desk.start({"connect_timeout": 0.2})
    interrupted(desk, "x.fits", data[:STEP])
    disk, reads = desk.spool._disk, []

    def read_once(fd, buffer, offset):
        reads.append(offset)
        if len(reads) > 1:
            raise OSError(errno.EIO, "Input/output error")
        return Disk.read_into(disk, fd, buffer, offset)

    with desk.ftp() as client:
        client.voidcmd("TYPE I")
        client.makepasv()
        before = descriptors()
        monkeypatch.setattr(disk, "read_into", read_once)
        client.sendcmd(f"REST {STEP}")
        client.sendcmd("STOR x.fits")
        with pytest.raises(ftplib.error_temp, match="425"):
            client.voidresp()
        assert len(reads) == 2
        assert descriptors() < before  # the data port has gone too
        assert client.nlst() == []
    assert list((desk.folder / "partial").iterdir()) == []
