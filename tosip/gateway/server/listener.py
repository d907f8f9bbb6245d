"""Listening: connections are accepted one by one, with all other work in between.

asyncio's own servers accept as many at once as the kernel has, and a flood would stop the event
loop for as long as it takes to welcome them all. Who is refused costs no more than a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable

from tosip.gateway.server.crowd import Crowd
from tosip.tasks import BackgroundTask

logger = logging.getLogger(__name__)

BACKLOG = 1024
# When there are no descriptors left, asking for one more at once would not help.
PAUSE = 0.1

Serve = Callable[
    [ssl.SSLContext | None, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]
]


class Listeners:
    """All ports that are listened to; each connection is given to `serve`."""

    def __init__(self, crowd: Crowd, line: int, serve: Serve) -> None:
        self._crowd, self._line, self._serve = crowd, line, serve
        self._accepting: dict[socket.socket, BackgroundTask] = {}

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen on all addresses of a host; return the port, for 0 the one that was free.

        OSError when that cannot be. With `tls` clients are expected to begin with it.
        """
        loop = asyncio.get_running_loop()
        flags = socket.AI_PASSIVE
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
        for family, _, _, _, address in dict.fromkeys(found):
            listening = socket.create_server(
                (address[0], port, *address[2:]), family=family, backlog=BACKLOG
            )
            listening.setblocking(False)
            port = port or listening.getsockname()[1]
            name = f"gateway: connections to port {port}"
            accept = functools.partial(self._accept, listening, tls)
            self._accepting[listening] = BackgroundTask(name, accept)
            self._accepting[listening].start()
        return port

    async def close(self) -> None:
        """Take no more connections; may be repeated."""
        accepting, self._accepting = self._accepting, {}
        for task in accepting.values():
            await task.stop()
        for listening in accepting:
            listening.close()

    async def _accept(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        failing = False
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as error:
                # It may stay like this for days, and they would fill the log.
                if not failing:
                    logger.error("a connection could not be accepted: %s", error.strerror)
                failing = True
                await asyncio.sleep(PAUSE)
                continue
            failing = False
            try:
                if refusal := self._crowd.refusal(address[0]):
                    _refuse(connection, "" if tls else refusal)
                else:
                    await self._welcome(connection, tls)
            except Exception:
                logger.exception("a connection of %s could not be served", address[0])
                connection.close()
            await asyncio.sleep(0)

    async def _welcome(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        reader = asyncio.StreamReader(limit=self._line)
        serve = functools.partial(self._serve, tls)
        protocol = asyncio.StreamReaderProtocol(reader, serve)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: protocol, connection)


def _refuse(connection: socket.socket, reason: str) -> None:
    """Hang up at once, and say why if there is a reason to tell."""
    with connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        if reason:
            connection.send(f"421 {reason}\r\n".encode())
