"""The control channel: aioftp's dispatcher with our way to read lines, wait, and take turns.

Commands of one connection are done one at a time, and the next line is read only when the replies
to the one before are on their way: so nothing that was sent in the clear behind AUTH is taken for a
command, and a client that reads no replies costs no memory. A transfer runs beside; during it only
ABOR, STAT, NOOP and QUIT are acted on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
from collections.abc import Mapping
from typing import Any

import aioftp
from aioftp.common import Connection, StreamIO

from tosip.gateway.server.access import Nobody
from tosip.gateway.server.crowd import Guest
from tosip.gateway.server.protection import start_tls
from tosip.gateway.server.session import Refusal, Session, Shared, Verb

logger = logging.getLogger(__name__)

# Verbs that no client can send: the first word of a line has no blank in it.
GONE = "connection gone"
UNKNOWN = "unknown verb"
BEFORE_LOGIN = frozenset(
    {"user", "pass", "quit", "syst", "feat", "noop", "opts", "help", "auth", "pbsz", "prot"}
)
DURING_TRANSFER = frozenset({"abor", "stat", "noop", "quit"})
# What may come between REST and the upload that it is for, besides that upload itself.
AFTER_REST = frozenset(
    {"pasv", "epsv", "port", "eprt", "type", "mode", "stru", "allo", "noop", "stat", "pbsz", "prot"}
    | {"stor", "stou", "appe"}
)
# Transfers that ALLO was not for.
NO_UPLOADS = frozenset({"list", "nlst", "mlsd", "retr"})
# Telnet's "interrupt process" and "data mark", which some clients send before ABOR.
TELNET_SIGNALS = b"\xff\xf4\xf2"
# How long a client may take to read its last reply.
LINGER = 5.0
REPLY_BUFFER = 64 << 10


class ControlChannel(aioftp.Server):
    """Serves control connections with the verbs given; `server` listens."""

    def __init__(self, shared: Shared, verbs: Mapping[str, Verb]) -> None:
        super().__init__(Nobody())
        self._shared, self._limits = shared, shared.settings.limits
        self.connections: dict[StreamIO, Connection] = {}
        self.server_port = shared.settings.port
        self.sessions: dict[asyncio.StreamWriter, Session] = {}
        self.commands_mapping = {
            verb: functools.partial(self._act, verb, act) for verb, act in verbs.items()
        }
        self.commands_mapping[GONE] = self._gone
        self.commands_mapping[UNKNOWN] = functools.partial(self._act, "noop", _unknown)

    async def serve(
        self, tls: ssl.SSLContext | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one control connection to its end, or turn it away; `tls` is to come first."""
        peer, host = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        if peer is None:
            writer.close()
            return
        guest = Guest(peer[0], lambda: _send_away(session))
        if refusal := self._shared.crowd.enter(guest):
            _say_421(writer, refusal, encrypted=tls is not None)
            return
        login_by = asyncio.get_running_loop().time() + self._limits.login_timeout
        session = Session(reader, writer, guest, _zoned(peer), _zoned(host), login_by)
        session.serving = asyncio.current_task()
        self.sessions[writer] = session
        try:
            # Only we cancel this, and asyncio before Python 3.12 would log that as an error.
            with contextlib.suppress(asyncio.CancelledError):
                if tls is None or await _secured(session, tls):
                    _prepare(writer)
                    await self.dispatcher(reader, writer)
        finally:
            self._bury(session)

    def _bury(self, session: Session) -> None:
        del self.sessions[session.writer]
        try:
            if session.transfer is not None:
                session.transfer.abort("control connection lost")
            session.drop_port()
        finally:
            self._shared.crowd.leave(session.guest)
        session.writer.close()
        if session.secured or session.writer.transport.get_write_buffer_size():
            # A client that does not read its last reply would keep the connection.
            asyncio.get_running_loop().call_later(LINGER, session.writer.transport.abort)

    async def greeting(self, connection: Connection, rest: Any) -> bool:
        """Welcome a client."""
        session = self._session(connection)
        connection.response("220", "TOSIP gateway")
        session.workers = connection.extra_workers
        session.ready.set()
        return True

    async def response_writer(self, stream: StreamIO, response_queue: asyncio.Queue[Any]) -> None:
        """Write replies until cancelled; those for a client that is gone are swallowed.

        The time-out is ours, not aioftp's, whose asyncio.wait_for may swallow the cancellation.
        """
        session = self.sessions[stream.writer]
        session.replies = response_queue
        while True:
            reply = await response_queue.get()
            try:
                async with asyncio.timeout(self._limits.stall_timeout):
                    await self.write_response(stream, *reply)
            except OSError:
                session.lost = True
                stream.writer.transport.abort()
            finally:
                response_queue.task_done()

    async def write_line(self, stream: StreamIO, line: str) -> None:
        """Write one line of a reply, whatever of the client's is in it; it is not logged."""
        await stream.write(f"{line}\r\n".encode(errors="backslashreplace"))

    async def parse_command(
        self, stream: StreamIO, censor_commands: tuple[str] = ("pass",)
    ) -> tuple[str, str]:
        """Read one command, once the one before is done and answered; nothing of it is logged."""
        session = self.sessions[stream.writer]
        await session.ready.wait()
        await session.replies.join()
        if session.over:
            # aioftp asks for one more command before it acts on the last one.
            await asyncio.get_running_loop().create_future()
        line = b"" if session.lost else await self._read_line(session)
        session.ready.clear()
        # A stray byte stays visible, so that the name it is in can be refused with a reply.
        text = line.lstrip(TELNET_SIGNALS).decode("utf-8", "surrogateescape").rstrip("\r\n")
        verb, _, rest = text.partition(" ")
        if not line:
            return GONE, ""
        return (verb.lower(), rest) if verb.lower() in self.commands_mapping else (UNKNOWN, "")

    async def _read_line(self, session: Session) -> bytes:
        """Return a line, or nothing when the session should end."""
        loop = asyncio.get_running_loop()
        session.active = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(self._read_by(session)):
                    line = await session.reader.readline()
                return line if line.endswith(b"\n") else b""
            except TimeoutError:
                # A transfer that has ended meanwhile was activity.
                if session.transfer is None and loop.time() >= self._read_by(session):
                    session.reply("421", "closing: nothing asked for too long")
                    return b""
            except ValueError:
                session.reply("500", f"closing: expected a line of {self._limits.line} bytes")
                return b""
            except OSError:
                return b""

    def _read_by(self, session: Session) -> float:
        if not session.user:
            return session.login_by
        if session.transfer is not None:
            return asyncio.get_running_loop().time() + self._limits.idle_timeout
        return session.active + self._limits.idle_timeout

    async def _act(self, verb: str, act: Verb, connection: Connection, rest: str) -> bool:
        session = self._session(connection)
        _let_lapse(session, verb)
        try:
            if session.transfer is not None and verb not in DURING_TRANSFER:
                raise Refusal("503", "a transfer is running: wait for it, or ABOR")
            if not session.user and verb not in BEFORE_LOGIN:
                raise Refusal("530", "log in first")
            await act(session, rest)
        except Refusal as refusal:
            session.reply(refusal.code, str(refusal))
        except OSError as error:
            logger.error("%s failed: %s", verb.upper(), error)
            session.reply("451", "the gateway's storage failed: try later")
        except Exception:
            logger.exception("%s failed: a fault of TOSIP", verb.upper())
            session.reply("451", "the gateway failed: try later")
        finally:
            session.ready.set()
        return not session.over

    async def _gone(self, connection: Connection, rest: str) -> bool:
        self._session(connection).over = True
        return False

    def _session(self, connection: Connection) -> Session:
        return self.sessions[connection.command_connection.writer]

    async def close(self) -> None:
        """Say 421 to everybody and end all sessions."""
        greeted = [self._session(connection) for connection in self.connections.values()]
        for session in greeted:
            session.reply("421", "the gateway is stopping")
        if joins := [asyncio.ensure_future(session.replies.join()) for session in greeted]:
            _, late = await asyncio.wait(joins, timeout=1.0)
            for join in late:
                join.cancel()
        sessions = tuple(self.sessions.values())
        for session in sessions:
            if session.serving is not None:
                session.serving.cancel()
        if tasks := {task for one in sessions for task in (one.serving, one.task) if task}:
            await asyncio.wait(tasks)


async def _secured(session: Session, tls: ssl.SSLContext) -> bool:
    try:
        await start_tls(session, tls)
    except OSError:
        return False
    # What clients of implicit TLS that do not say PROT expect.
    session.protected = True
    return True


async def _unknown(session: Session, rest: str) -> None:
    raise Refusal("502", "not offered here: HELP tells what is")


def _prepare(writer: asyncio.StreamWriter) -> None:
    control: socket.socket = writer.get_extra_info("socket")
    # ftplib sends the end of its ABOR as urgent data, which would not be read as part of it.
    control.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    control.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # What the kernel keeps for a client that reads no replies.
    control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, REPLY_BUFFER)


def _zoned(address: tuple[Any, ...]) -> str:
    """Return the host of a socket's address; a link-local one makes no sense without its zone."""
    host, zone = address[0], address[3] if len(address) > 3 else 0
    return f"{host}%{zone}" if zone else host


def _let_lapse(session: Session, verb: str) -> None:
    """Forget what was said for the command that should have come now."""
    if verb != "rnto":
        session.rename_from = ""
    if verb not in AFTER_REST:
        session.restart = 0
    if verb in NO_UPLOADS:
        session.expected = None


def _send_away(session: Session) -> None:
    _say_421(session.writer, "closing: log in sooner, others are waiting", session.shaking_hands)
    # Whatever it is waiting for: its turn, its handshake, its next line.
    if session.serving is not None:
        session.serving.cancel()


def _say_421(writer: asyncio.StreamWriter, reason: str, encrypted: bool) -> None:
    """Tell in passing why a connection ends, if it can be told; the reader then finds its end."""
    if encrypted:
        writer.transport.abort()
        return
    writer.write(f"421 {reason}\r\n".encode())
    writer.close()
