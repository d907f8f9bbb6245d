"""Data connections: which ports are offered or called, on IPv4 and IPv6, and who may come."""

import asyncio
import contextlib
import ftplib
import io
import ipaddress
import socket
import subprocess
from pathlib import Path

import pytest

from tests.gateway.server.conftest import end_of
from tosip.gateway.receiving.data import BACKLOG
from tosip.testing.ioc import free_port


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="needs IPv6")


def port_command(host, port):
    return f"PORT {host.replace('.', ',')},{port >> 8},{port & 255}"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("PORT 127,0,0,2,200,200", "504"),
        ("PORT 10,0,0,1,200,200", "504"),
        ("PORT 127,0,0,1,3,255", "504"),
        ("PORT 127,0,0,1,0,22", "504"),
        ("PORT 127,0,0,1,200", "501"),
        ("PORT 127,0,0,1,200,256", "501"),
        ("PORT 127,0,0,1,-1,200", "501"),
        ("PORT a,b,c,d,e,f", "501"),
        ("PORT", "501"),
        ("EPRT |1|127.0.0.2|5000|", "504"),
        ("EPRT |1|127.0.0.1|1023|", "504"),
        ("EPRT |1|127.0.0.1|70000|", "504"),
        ("EPRT |2|::1|5000|", "522"),
        ("EPRT |3|x|5000|", "522"),
        ("EPRT |1|localhost|5000|", "501"),
        ("EPRT |1|127.0.0.1|", "501"),
        ("EPRT", "501"),
    ],
)
def test_nobody_but_the_client_is_called_and_no_service_of_its(standing, command, code):
    with standing.ftp() as client:
        with pytest.raises(ftplib.error_perm, match=code):
            client.sendcmd(command)
        with pytest.raises(ftplib.error_temp, match="425"):
            client.sendcmd("STOR x.fits")


def test_refused_port_is_not_used_although_an_earlier_one_was_good(standing):
    with standing.ftp() as client, socket.create_server(("127.0.0.1", 0)) as own:
        client.sendcmd(port_command("127.0.0.1", own.getsockname()[1]))
        with pytest.raises(ftplib.error_perm):
            client.sendcmd("PORT 127,0,0,2,200,200")
        with pytest.raises(ftplib.error_temp, match="425"):
            client.sendcmd("STOR x.fits")


@pytest.mark.parametrize("command", ["PORT 127,0,0,1,{},{}", "EPRT |1|127.0.0.1|{2}|"])
def test_client_that_does_not_listen_gets_425(standing, command):
    port = free_port()
    with standing.ftp() as client:
        client.voidcmd("TYPE I")
        client.sendcmd(command.format(port >> 8, port & 255, port))
        client.sendcmd("STOR x.fits")
        with pytest.raises(ftplib.error_temp, match="425"):
            client.voidresp()


def test_stranger_on_the_passive_port_is_hung_up_on(running, image):
    data = image()
    with running.ftp() as client:
        client.voidcmd("TYPE I")
        host, port = client.makepasv()
        with socket.create_connection((host, port), source_address=("127.0.0.2", 0)) as thief:
            client.sendcmd("STOR x.fits")
            assert thief.recv(1) == b""
            with socket.create_connection((host, port)) as own:
                own.sendall(data)
            assert client.voidresp().startswith("226")
    assert running.files == {"x.fits": data}


def test_strangers_cannot_fill_the_passive_port_before_the_client_comes(running, image):
    with running.ftp() as client, contextlib.ExitStack() as stack:
        client.voidcmd("TYPE I")
        address = client.makepasv()
        for _ in range(BACKLOG + 9):
            thief = socket.create_connection(address, 5, source_address=("127.0.0.2", 0))
            assert end_of(stack.enter_context(thief)) == ""
        with socket.create_connection(address, 5) as own:
            client.sendcmd("STOR x.fits")
            own.sendall(image())
        assert client.voidresp().startswith("226")
    assert running.files == {"x.fits": image()}


def test_second_data_connection_of_the_client_is_refused_and_the_first_one_counts(running, image):
    with running.ftp() as client:
        client.voidcmd("TYPE I")
        address = client.makepasv()
        with socket.create_connection(address) as first:
            running.call(asyncio.sleep(0.05))
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
            client.sendcmd("STOR x.fits")
            first.sendall(image())
        assert client.voidresp().startswith("226")
    assert running.files == {"x.fits": image()}


@pytest.mark.parametrize("command", ["PASV", "PORT 127,0,0,1,200,200", "USER cam01", "QUIT"])
def test_data_connection_that_came_for_nothing_is_ended(standing, command):
    with standing.ftp() as client, socket.create_connection(client.makepasv()) as connection:
        client.sendcmd(command)
        assert end_of(connection) == ""


def test_passive_ports_are_of_the_range_and_run_out_with_425(desk, image):
    first = free_port()
    desk.start(passive_ports=(first, first), passive_address="192.0.2.7")
    with desk.ftp() as client, desk.ftp() as other:
        client.voidcmd("TYPE I")
        assert f"192,0,2,7,{first >> 8},{first & 255}" in client.sendcmd("PASV")
        with pytest.raises(ftplib.error_temp, match="425"):
            other.sendcmd("EPSV")
        assert f"|||{first}|" in client.sendcmd("EPSV")
        with socket.create_connection(("127.0.0.1", first)) as connection:
            client.sendcmd("STOR x.fits")
            connection.sendall(image())
        assert client.voidresp().startswith("226")
        assert f"|||{first}|" in other.sendcmd("EPSV")


def test_epsv_all_forbids_the_other_ways(standing):
    with standing.ftp() as client:
        assert client.sendcmd("EPSV ALL").startswith("200")
        for command in ("PASV", "PORT 127,0,0,1,200,200", "EPRT |1|127.0.0.1|5000|"):
            with pytest.raises(ftplib.error_perm, match="503"):
                client.sendcmd(command)
        assert client.sendcmd("EPSV").startswith("229")


@pytest.mark.parametrize(("argument", "code"), [("2", "522"), ("9", "522"), ("x", "522")])
def test_epsv_for_another_protocol_is_522(standing, argument, code):
    with standing.ftp() as client, pytest.raises(ftplib.error_perm, match=rf"{code} .*use \(1\)"):
        client.sendcmd(f"EPSV {argument}")


def test_port_that_is_taken_is_named(desk):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1 port {port}: "):
            desk.start(port=port)


@needs_ipv6
@pytest.mark.parametrize("passive", [True, False])
def test_ipv6_beside_ipv4_active_and_passive(desk, image, passive):
    desk.start(hosts=("127.0.0.1", "::1"))
    for host in ("127.0.0.1", "::1"):
        with desk.ftp(host=host) as client:
            client.set_pasv(passive)
            name = f"{host.replace(':', '_')}.fits"
            assert client.storbinary(f"STOR {name}", io.BytesIO(image())).startswith("226")
    assert set(desk.files) == {"127.0.0.1.fits", "__1.fits"}


@needs_ipv6
def test_stray_byte_in_a_zone_gets_a_reply_and_the_session_goes_on(desk):
    desk.start(hosts=("::1",))
    with desk.ftp(host="::1") as client:
        client.sock.sendall(b"EPRT |2|::2%\xff|5000|\r\n")
        assert client.getline() == "504 expected the address ::1, got ::2"
        assert client.pwd() == "/"


@pytest.mark.parametrize("passive", [True, False])
def test_link_local_address_active_and_passive(desk, image, passive):
    zoned = link_local()
    desk.start(hosts=(zoned,))
    with desk.ftp(host=zoned) as client:
        client.voidcmd("TYPE I")
        client.set_pasv(passive)
        if passive:
            # ftplib would forget the zone.
            port = int(client.sendcmd("EPSV").split("|")[3])
            connection = socket.create_connection((zoned, port), 5)
            client.sendcmd("STOR x.fits")
        else:
            connection = client.transfercmd("STOR x.fits")
        with connection:
            connection.sendall(image())
        assert client.voidresp().startswith("226")
    assert desk.files == {"x.fits": image()}


def link_local():
    """Return an address of this machine that needs a zone, or skip."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits, *_, device = line.split()
            if digits.startswith("fe80"):
                return f"{ipaddress.IPv6Address(int(digits, 16))}%{device}"
    pytest.skip("needs a link-local IPv6 address")


@needs_ipv6
def test_pasv_on_ipv6_is_425_with_advice(desk):
    desk.start(hosts=("::1",))
    with desk.ftp(host="::1") as client:
        with pytest.raises(ftplib.error_temp, match=r"425.*EPSV"):
            client.sendcmd("PASV")
        for command in ("EPSV", "EPSV 2", "EPRT |2|::1|5000|", "EPRT |2|0:0::1|5000|"):
            assert client.sendcmd(command)[0] == "2"


@needs_ipv6
def test_curl_on_ipv6(desk, program, tmp_path, image):
    curl = program("curl")
    source = tmp_path / "source.fits"
    source.write_bytes(image())
    desk.start(hosts=("::1",))
    run_curl(curl, desk.url("x.fits", host="[::1]"), source)
    run_curl(curl, desk.url("y.fits", host="[::1]"), source, "--ftp-port", "-")
    assert desk.files == {"x.fits": image(), "y.fits": image()}


def run_curl(curl, url, source, *options):
    command = [curl, "-sS", "-K", "-", *options, "-T", str(source), url]
    login = 'user = "cam01:corr3ct horse"\n'
    done = subprocess.run(command, input=login, text=True, capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr
