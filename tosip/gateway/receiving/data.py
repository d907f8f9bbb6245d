"""Ports for one data connection: waiting for the client (PASV, EPSV) or calling it (PORT, EPRT).

The other end of a data connection must be the other end of the control connection. So nobody else
can put a file in a camera's place, and nobody can make the gateway call a third machine (the FTP
bounce of RFC 2577). Both kinds have the same `accept` and `close`, to be called on the event loop.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import random
import socket
from collections.abc import Iterable
from typing import Protocol

from tosip.gateway.receiving.refusal import UploadError, unconnected

BACKLOG = 64
FIRST_USER_PORT = 1024

# As the socket module wants it: of IPv6 with flow and zone.
SocketAddress = tuple[str, int] | tuple[str, int, int, int]

# Each range is gone round: a client that comes late to an old port must not find a new transfer.
_turn = itertools.count(random.SystemRandom().randrange(1 << 16))


class Port(Protocol):
    """Where one data connection comes from."""

    async def accept(self, timeout: float) -> socket.socket:
        """Return the connection to the peer; UploadError 425 if there is none in time."""

    def close(self) -> None:
        """Take no connection any more, and end one that was not asked for; may be repeated."""


class PassivePort:
    """A port of `host` that takes one connection from `peer`; OSError if there is none free.

    Clients connect before they say what for, so the port is served from the start, on the running
    loop: whoever else calls is hung up on, and cannot fill the queue before the peer. The peer's
    first connection is kept for `accept`; then nobody can call any more.

    `host` is the address that the client has called; `ports` are the first and the last to choose
    from, any free one when None. `family` is AF_INET or AF_INET6. An address that needs a zone has
    it as a number: fe80::1%2.
    """

    def __init__(self, host: str, peer: str, ports: tuple[int, int] | None = None) -> None:
        self._peer = plain_address(peer)
        self._loop = asyncio.get_running_loop()
        self._connection: socket.socket | None = None
        self._reason = ""
        self._over = asyncio.Event()
        self._socket = _listen(host, ports)
        self._socket.setblocking(False)
        self.family = self._socket.family
        self.host, self.port = self._socket.getsockname()[:2]
        self._loop.add_reader(self._socket, self._answer)

    def _answer(self) -> None:
        """Take one call."""
        try:
            connection, address = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            self._end(error.strerror or str(error))
            return
        if plain_address(address[0]) == self._peer:
            connection.setblocking(False)
            self._connection = connection
            self._end("taken")
        else:
            connection.close()

    def _end(self, reason: str) -> None:
        if not self._over.is_set():
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._reason = reason
            self._over.set()

    async def accept(self, timeout: float) -> socket.socket:
        """See `Port`."""
        try:
            async with asyncio.timeout(timeout):
                await self._over.wait()
        except TimeoutError:
            raise unconnected(f"no data connection within {timeout:g} s") from None
        connection, self._connection = self._connection, None
        if connection is None:
            raise unconnected(f"no data connection ({self._reason})")
        return connection

    def close(self) -> None:
        """See `Port`."""
        self._end("closed")
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class ActivePort:
    """A port of the client, which waits for our call; UploadError 504 unless we may call it.

    `peer` is the client's address, `host` and `port` are what it asked for with PORT or EPRT.
    `local` is the address that the client has called: our call comes from there. The zone of an
    address is that of the control connection, for the client cannot know what we call it.
    """

    def __init__(self, peer: str, host: str, port: int, local: str = "") -> None:
        try:
            asked = plain_address(host)
        except ValueError:
            raise UploadError("501", "expected an address of digits") from None
        if asked != plain_address(peer):
            raise UploadError("504", f"expected the address {plain_address(peer)}, got {asked}")
        if not FIRST_USER_PORT <= port < 1 << 16:
            raise UploadError("504", f"expected a port from {FIRST_USER_PORT} to 65535, got {port}")
        self.host, self.port = asked, port
        self._remote = _socket_address(peer, port)
        self._local = _socket_address(local, 0) if local else None

    async def accept(self, timeout: float) -> socket.socket:
        """Call the client."""
        connection = socket.socket(_family(self.host), socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            if self._local is not None:
                connection.bind(self._local)
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(connection, self._remote)
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                reason = f"no data connection within {timeout:g} s"
            elif isinstance(error, OSError):
                reason = f"no data connection to port {self.port} ({error.strerror})"
            else:
                raise
            raise unconnected(reason) from None
        return connection

    def close(self) -> None:
        """See `Port`."""


def plain_address(text: str) -> str:
    """Return one spelling of an IP address: no zone, and no IPv4 in the dress of IPv6.

    ValueError if it is none.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _socket_address(address: str, port: int) -> SocketAddress:
    plain, zone = plain_address(address), address.partition("%")[2]
    return (plain, port, 0, int(zone or 0)) if ":" in plain else (plain, port)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _listen(host: str, ports: tuple[int, int] | None) -> socket.socket:
    failure = OSError("expected passive ports, got an empty range")
    family = _family(plain_address(host))
    for port in _candidates(ports):
        try:
            return socket.create_server(_socket_address(host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            failure = error
    raise failure


def _candidates(ports: tuple[int, int] | None) -> Iterable[int]:
    if ports is None:
        return (0,)
    first, last = ports
    count = max(last - first + 1, 0)
    start = next(_turn)
    return (first + (start + step) % count for step in range(count))
