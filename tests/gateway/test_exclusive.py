"""What the gateway needs for itself, and says clearly when it cannot have it."""

import socket

import pytest

from tosip.errors import ConfigurationError
from tosip.gateway import Gateway


def test_second_gateway_on_one_spool_is_refused(running):
    with pytest.raises(ConfigurationError, match=f"got {running.spool}, which another gateway"):
        running.call(Gateway(running.settings()).start())
    with running.ftp() as client:
        assert client.pwd() == "/"


def test_spool_is_free_again_after_a_stop_or_a_failed_start(site):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"expected a free port on .*, got {port}"):
            site.call(Gateway(site.settings(port=port)).start())
    site.start_gateway()
    site.stop_gateway()
    site.start_gateway()


def test_spool_that_is_no_folder_is_refused(site):
    site.spool.write_text("a file")
    with pytest.raises(ConfigurationError, match="expected a folder to write to"):
        site.start_gateway()


def test_only_loopback_is_listened_to(running):
    (listening,) = running.gateway._server.server.sockets
    assert listening.getsockname()[0] == "127.0.0.1"


def test_data_connection_from_another_address_is_hung_up_on(running, image):
    data = image()
    with running.ftp() as client:
        client.voidcmd("TYPE I")
        host, port = client.makepasv()
        stranger = socket.create_connection((host, port), source_address=("127.0.0.2", 0))
        client.sendcmd("STOR x.fits")
        assert stranger.recv(1) == b""
        with socket.create_connection((host, port)) as connection:
            connection.sendall(data)
        assert client.voidresp().startswith("226")
    running.until_delivered(1)
    assert running.archived() == {"x.fits": data}
    stranger.close()
