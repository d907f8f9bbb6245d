"""An interrupted upload may be gone on with: by its user, at its exact size."""

import ftplib
import io
import socket

import pytest

from tosip.gateway.receiving.memory import STEP


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
