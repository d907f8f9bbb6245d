"""LIST, NLST and MLSD: lists on a data connection; STAT and ABOR, which are for all transfers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable

from tosip.gateway.receiving.data import Port
from tosip.gateway.receiving.refusal import UploadError
from tosip.gateway.receiving.stream import shake_hands, wrap
from tosip.gateway.server.files import Files
from tosip.gateway.server.listing import Line
from tosip.gateway.server.session import Refusal, Session, Shared, Verb
from tosip.gateway.server.tls_port import TlsPort

logger = logging.getLogger(__name__)

# How one line looks; the text is the path of its folder, as the client has given it.
Form = Callable[[str, Line], str]


def data_port(session: Session, shared: Shared) -> tuple[Port, ssl.SSLContext | None]:
    """Take the port for the next transfer; Refusal when there is none, or TLS is missing.

    With it comes how to speak TLS, if the port leaves that to the transfer.
    """
    port = session.take_port()
    if port is None:
        raise Refusal("425", "use PASV, EPSV, PORT or EPRT first")
    tls = shared.settings.tls
    if tls is not None and tls.required and not session.protected:
        port.close()
        raise Refusal("522", "data must be protected here: use PROT P")
    return port, None if isinstance(port, TlsPort) or not session.protected else shared.tls


class Sending:
    """A list on its way; it sends from a thread, and `abort` wakes that."""

    def __init__(self, port: Port, tls: ssl.SSLContext | None, timeout: float) -> None:
        self._port, self._tls, self._timeout = port, tls, timeout
        self._cause = ""
        self._wake: Callable[[], object] = lambda: None

    def abort(self, cause: str) -> None:
        """See `Transfer`."""
        if not self._cause:
            self._cause = cause
            self._wake()

    async def connect(self, timeout: float) -> socket.socket:
        """Return the data connection; UploadError if there is none."""
        accepting = asyncio.ensure_future(self._port.accept(timeout))
        self._wake = accepting.cancel
        if self._cause:
            accepting.cancel()
        try:
            connection = await accepting
        except asyncio.CancelledError:
            raise UploadError("426", f"list interrupted: {self._cause}") from None
        finally:
            self._port.close()
        self._wake = lambda: _shut_down(connection)
        return connection

    def send(self, connection: socket.socket, text: bytes) -> None:
        """Send all of it, in a thread."""
        try:
            connection.settimeout(self._timeout)
            if self._tls is not None:
                wrapped = wrap(connection, self._tls)
                connection = wrapped
                shake_hands(wrapped, self._timeout)
            connection.sendall(text)
            if isinstance(connection, ssl.SSLSocket):
                _take_leave(connection)
        except OSError as error:
            cause = self._cause or error.strerror or "time-out"
            raise UploadError("426", f"list interrupted: {cause}") from None
        finally:
            connection.close()


class Lists:
    """Verbs that list."""

    def __init__(self, shared: Shared, files: Files) -> None:
        self._shared, self._files = shared, files
        self._limits = shared.settings.limits

    def verbs(self) -> dict[str, Verb]:
        """Return what clients may send."""
        return {
            "list": self._long,
            "nlst": self._names,
            "mlsd": self._facts,
            "stat": self._status,
            "abor": _abort,
        }

    async def _long(self, session: Session, rest: str) -> None:
        user, now = session.user, time.time()
        self._begin(session, rest, lambda start, line: line.long(user, now))

    async def _names(self, session: Session, rest: str) -> None:
        self._begin(session, rest, lambda start, line: start + line.name)

    async def _facts(self, session: Session, rest: str) -> None:
        wanted = session.facts
        self._begin(session, rest, lambda start, line: line.facts(wanted))

    def _begin(self, session: Session, rest: str, form: Form) -> None:
        port, tls = data_port(session, self._shared)
        sending = Sending(port, tls, self._limits.stall_timeout)
        session.begin(sending, self._send(session, sending, rest, form), lambda: "sending a list")

    async def _send(self, session: Session, sending: Sending, rest: str, form: Form) -> None:
        user, threads = session.user, self._shared.threads
        session.reply("150", "here it comes")
        try:
            text = await threads.disk(self._text, session, rest, user, form)
            connection = await sending.connect(self._limits.connect_timeout)
            await threads.receive(sending.send, connection, text)
            code, answer = "226", "done"
        except (UploadError, Refusal) as error:
            code, answer = error.code, str(error)
        except OSError as error:
            logger.error("a list failed: %s", error)
            code, answer = "451", "the gateway's storage failed: try later"
        session.end()
        session.reply(code, answer)

    def _text(self, session: Session, rest: str, user: str, form: Form) -> bytes:
        found = self._files.look_up(session, rest, user)
        return "".join(f"{form(found.start, line)}\r\n" for line in found.lines).encode()

    async def _status(self, session: Session, rest: str) -> None:
        if session.transfer is not None:
            session.reply("211", session.status())
        elif not rest.strip():
            session.reply("211", "idle")
        else:
            await self._files.status(session, rest)


async def _abort(session: Session, rest: str) -> None:
    if session.transfer is not None and session.task is not None:
        session.transfer.abort("ABOR")
        await asyncio.wait({session.task})
        session.reply("226", "aborted")
    else:
        session.reply("226", "nothing to abort")


def _take_leave(connection: ssl.SSLSocket) -> None:
    # Many clients do not answer the notice; they have what they wanted.
    with contextlib.suppress(OSError, ValueError):
        connection.settimeout(1.0)
        connection.unwrap()


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
