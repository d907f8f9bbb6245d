"""A passive port that shakes hands as soon as the client has come, and not only after STOR.

Most clients begin with TLS when they have read 150, but some (aioftp) do so before they say STOR.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from tosip.gateway.receiving.data import Port
from tosip.gateway.receiving.refusal import UploadError
from tosip.gateway.receiving.stream import shake_hands, wrap
from tosip.gateway.settings import Limits
from tosip.gateway.threads import Threads


class TlsPort:
    """A `Port` whose `accept` returns an SSLSocket that has shaken hands."""

    def __init__(self, port: Port, tls: ssl.SSLContext, threads: Threads, limits: Limits) -> None:
        self._port, self._tls, self._threads, self._limits = port, tls, threads, limits
        self._connection: socket.socket | None = None
        self._meeting = asyncio.ensure_future(self._meet())

    async def _meet(self) -> ssl.SSLSocket | UploadError:
        try:
            self._connection = await self._port.accept(self._limits.idle_timeout)
            self._connection = wrapped = wrap(self._connection, self._tls)
            await self._threads.receive(_shake_hands, wrapped, self._limits.connect_timeout)
        except UploadError as error:
            return error
        return wrapped

    async def accept(self, timeout: float) -> socket.socket:
        """Return the connection; UploadError 425 if there is none in time."""
        await asyncio.wait({self._meeting}, timeout=timeout)
        if not self._meeting.done():
            raise UploadError("425", f"no data connection within {timeout:g} s")
        outcome = self._meeting.result()
        if isinstance(outcome, UploadError):
            raise outcome
        self._connection = None
        return outcome

    def close(self) -> None:
        """Take no connection any more, and end one that was not asked for; may be repeated."""
        self._port.close()
        self._meeting.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            # A thread may be shaking hands: this wakes it, and then it closes the connection.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            if self._meeting.done():
                connection.close()


def _shake_hands(connection: ssl.SSLSocket, timeout: float) -> None:
    try:
        shake_hands(connection, timeout)
    except UploadError:
        # Here, because nobody else may be there any more.
        connection.close()
        raise
