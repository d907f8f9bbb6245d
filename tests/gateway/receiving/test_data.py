"""Ports for data connections: who may come, whom we call."""

import asyncio
import socket

import pytest

from tosip.gateway.receiving.data import ActivePort, PassivePort, plain_address
from tosip.gateway.receiving.refusal import Fate, UploadError

HOSTS = ["127.0.0.1", "::1"]


def need(host):
    try:
        socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        ).close()
    except OSError:
        pytest.skip("this machine has no IPv6")


@pytest.mark.parametrize("host", HOSTS)
def test_passive_port_takes_the_peer(host):
    need(host)

    async def scenario():
        port = PassivePort(host, host)
        with (
            socket.create_connection((host, port.port)) as client,
            await port.accept(5) as connection,
        ):
            assert connection.getpeername() == client.getsockname()
        port.close()

    asyncio.run(scenario())


def test_stranger_is_hung_up_on_and_steals_nothing():
    async def scenario():
        port = PassivePort("127.0.0.1", "127.0.0.1")
        strangers = [
            socket.create_connection(("127.0.0.1", port.port), 5, ("127.0.0.2", 0))
            for _ in range(5)
        ]
        camera = socket.create_connection(("127.0.0.1", port.port), 5)
        connection = await port.accept(5)
        assert connection.getpeername() == camera.getsockname()
        assert [stranger.recv(1) for stranger in strangers] == [b""] * 5
        for one in (*strangers, camera, connection):
            one.close()
        port.close()

    asyncio.run(scenario())


def test_strangers_alone_are_425():
    async def scenario():
        port = PassivePort("127.0.0.1", "127.0.0.1")
        with (
            socket.create_connection(("127.0.0.1", port.port), 5, ("127.0.0.2", 0)),
            pytest.raises(UploadError, match=r"no data connection within 0.05 s") as caught,
        ):
            await port.accept(0.05)
        port.close()
        assert (caught.value.code, caught.value.fate) == ("425", Fate.KEEP)

    asyncio.run(scenario())


def test_first_connection_of_the_peer_is_kept_and_nobody_comes_after_it():
    async def scenario():
        port = PassivePort("127.0.0.1", "127.0.0.1")
        address = ("127.0.0.1", port.port)
        strangers = [socket.create_connection(address, 5, ("127.0.0.2", 0)) for _ in range(9)]
        camera = socket.create_connection(address, 5)
        await asyncio.sleep(0.05)
        assert [stranger.recv(1) for stranger in strangers] == [b""] * 9
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 5)
        with await port.accept(0) as connection:
            port.close()
            assert connection.getpeername() == camera.getsockname()
            connection.sendall(b"x")
            assert camera.recv(1) == b"x"
        for one in (*strangers, camera):
            one.close()

    asyncio.run(scenario())


def test_connection_that_nobody_asked_for_ends_with_the_port():
    async def scenario():
        port = PassivePort("127.0.0.1", "127.0.0.1")
        with socket.create_connection(("127.0.0.1", port.port), 5) as camera:
            await asyncio.sleep(0.05)
            port.close()
            assert camera.recv(1) == b""
        with pytest.raises(UploadError, match="no data connection"):
            await port.accept(5)

    asyncio.run(scenario())


def test_wait_that_is_cancelled_leaves_the_connection_to_the_port():
    async def scenario():
        port = PassivePort("127.0.0.1", "127.0.0.1")
        accepting = asyncio.ensure_future(port.accept(5))
        await asyncio.sleep(0)
        accepting.cancel()
        with socket.create_connection(("127.0.0.1", port.port), 5) as camera:
            await asyncio.wait({accepting})
            await asyncio.sleep(0.05)
            port.close()
            assert camera.recv(1) == b""

    asyncio.run(scenario())


def test_port_is_taken_from_the_range_and_the_next_one_is_another():
    asyncio.run(_use_a_range())


async def _use_a_range():
    first = _free_range(3)
    opened = [PassivePort("127.0.0.1", "127.0.0.1", (first, first + 2)) for _ in range(3)]
    assert sorted(port.port for port in opened) == [first, first + 1, first + 2]
    with pytest.raises(OSError, match="in use"):
        PassivePort("127.0.0.1", "127.0.0.1", (first, first + 2))
    for port in opened:
        port.close()
    # The one that was closed last is not the next: somebody may still come to it.
    again = []
    for _ in range(3):
        port = PassivePort("127.0.0.1", "127.0.0.1", (first, first + 2))
        port.close()
        again.append(port.port)
    assert sorted(again) == [first, first + 1, first + 2]


def _free_range(count):
    """Return the first of some neighbouring free ports."""
    for first in range(40000, 60000, 10):
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise AssertionError


@pytest.mark.parametrize("host", HOSTS)
def test_active_port_calls_the_peer_from_the_address_it_knows(host):
    need(host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    local = host if ":" in host else "127.0.0.3"
    with socket.create_server((host, 0), family=family) as listener:

        async def scenario():
            port = ActivePort(host, host, listener.getsockname()[1], local)
            connection = await port.accept(5)
            port.close()
            return connection

        connection = asyncio.run(scenario())
        client, address = listener.accept()
        assert address[0] == local
        client.close()
        connection.close()


@pytest.mark.parametrize(
    ("host", "port", "code"),
    [
        ("127.0.0.2", 5000, "504"),
        ("::1", 5000, "504"),
        ("127.0.0.1", 1023, "504"),
        ("127.0.0.1", 22, "504"),
        ("127.0.0.1", 0, "504"),
        ("127.0.0.1", 65536, "504"),
        ("localhost", 5000, "501"),
        ("127.0.0.1.5", 5000, "501"),
    ],
)
def test_active_port_of_anybody_else_is_refused(host, port, code):
    with pytest.raises(UploadError, match="expected") as caught:
        ActivePort("127.0.0.1", host, port)
    assert caught.value.code == code


def test_active_port_that_nobody_listens_at_is_425():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = ActivePort("127.0.0.1", "127.0.0.1", unused.getsockname()[1])
        with pytest.raises(UploadError, match="no data connection to port") as caught:
            asyncio.run(port.accept(5))
    assert caught.value.code == "425"


def test_active_port_that_does_not_answer_is_425_in_time():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        port = ActivePort("127.0.0.1", "127.0.0.1", full.getsockname()[1])
        with pytest.raises(UploadError, match=r"within 0.05 s"):
            asyncio.run(port.accept(0.05))
        for one in waiting:
            one.close()


@pytest.mark.parametrize(
    ("text", "plain"),
    [("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::1"), ("FE80:0::1", "fe80::1")],
)
def test_one_address_has_one_spelling(text, plain):
    assert plain_address(text) == plain


def test_refusal_does_not_repeat_a_zone():
    with pytest.raises(UploadError) as caught:
        ActivePort("fe80::1%2", "fe80::2%\udcff", 5000)
    assert str(caught.value) == "expected the address fe80::1, got fe80::2"


def test_closing_the_port_twice_is_fine():
    async def scenario():
        port = PassivePort("127.0.0.1", "127.0.0.1")
        port.close()
        port.close()

    asyncio.run(scenario())
