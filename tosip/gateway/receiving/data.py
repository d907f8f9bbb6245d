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

# Each range is gone round: a client that comes late to an old port must not find a new transfer.
_turn = itertools.count(random.SystemRandom().randrange(1 << 16))


class Port(Protocol):
    """Where one data connection comes from."""

    async def accept(self, timeout: float) -> socket.socket:
        """Return the connection to the peer; UploadError 425 if there is none in time."""

    def close(self) -> None:
        """Take no connection any more; may be repeated."""


class PassivePort:
    """A port of `host` that waits for one connection from `peer`; OSError if there is none free.

    `host` is the address that the client has called; `ports` are the first and the last to choose
    from, any free one when None. `family` is AF_INET or AF_INET6.
    """

    def __init__(self, host: str, peer: str, ports: tuple[int, int] | None = None) -> None:
        self._peer = plain_address(peer)
        self._socket = _listen(host, ports)
        self._socket.setblocking(False)
        self.family = self._socket.family
        self.host, self.port = self._socket.getsockname()[:2]

    async def accept(self, timeout: float) -> socket.socket:
        """Wait for the peer; whoever else calls is hung up on."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                while True:
                    connection, address = await loop.sock_accept(self._socket)
                    if plain_address(address[0]) == self._peer:
                        return connection
                    connection.close()
        except TimeoutError:
            raise unconnected(f"no data connection within {timeout:g} s") from None
        except OSError as error:
            raise unconnected(f"no data connection ({error.strerror})") from None

    def close(self) -> None:
        """See `Port`."""
        self._socket.close()


class ActivePort:
    """A port of the client, which waits for our call; UploadError 504 unless we may call it.

    `peer` is the client's address, `host` and `port` are what it asked for with PORT or EPRT.
    `local` is the address that the client has called: our call comes from there.
    """

    def __init__(self, peer: str, host: str, port: int, local: str = "") -> None:
        try:
            own = plain_address(host) == plain_address(peer)
        except ValueError:
            raise UploadError("501", "expected an address of digits") from None
        if not own:
            raise UploadError("504", f"expected the address {plain_address(peer)}, got {host}")
        if not FIRST_USER_PORT <= port < 1 << 16:
            raise UploadError("504", f"expected a port from {FIRST_USER_PORT} to 65535, got {port}")
        self.host, self.port, self._local = plain_address(host), port, local

    async def accept(self, timeout: float) -> socket.socket:
        """Call the client."""
        connection = socket.socket(_family(self.host), socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            if self._local:
                connection.bind((plain_address(self._local), 0))
            async with asyncio.timeout(timeout):
                address = (self.host, self.port)
                await asyncio.get_running_loop().sock_connect(connection, address)
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


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _listen(host: str, ports: tuple[int, int] | None) -> socket.socket:
    address = plain_address(host)
    if ipaddress.ip_address(address).is_link_local and ":" in address:
        # Such an address needs a zone to bind to; `accept` looks at the peer anyway.
        address = "::"
    failure = OSError("expected passive ports, got an empty range")
    for port in _candidates(ports):
        try:
            return socket.create_server((address, port), family=_family(address), backlog=BACKLOG)
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
