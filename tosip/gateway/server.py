"""The FTP server that cameras talk to: aioftp's control channel with verbs of our own.

aioftp reads command lines and writes replies. All that touches data is ours, because its STOR
writes to the final name, blocks the event loop and says 226 to whatever came before a FIN. Here
STOR is: check name, type and disk space, open a file in the spool, say 150, receive in a thread,
check the length, commit, and only then say 226. Whatever goes wrong before the commit discards the
upload with a 4xx reply; a camera that read no 226 sends again.

The folders are virtual: every folder exists and is empty. Nothing that is stored can be listed,
read, renamed, removed or appended to, by anybody.

Commands of one connection are done one at a time, also when a client sends them all at once. While
an upload runs, only ABOR, STAT, NOOP and QUIT are acted on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aioftp
from aioftp.common import Connection, StreamIO

from tosip.gateway.names import NameRefusedError, resolve_file, resolve_folder
from tosip.gateway.receiving import PassivePort, Upload, UploadError, from_os_error
from tosip.gateway.settings import Limits
from tosip.gateway.spool import Description, Partial, Spool
from tosip.gateway.stored import StoredFile
from tosip.gateway.threads import Threads
from tosip.gateway.users import Door, Users

logger = logging.getLogger(__name__)

# A verb that no client can send: the first word of a line has no blank in it.
GONE = "connection gone"
BEFORE_LOGIN = frozenset({"user", "pass", "quit", "syst", "feat", "noop", "opts"})
DURING_UPLOAD = frozenset({"abor", "stat", "noop", "quit"})
# Telnet's "interrupt process" and "data mark", which some clients send before ABOR.
TELNET_SIGNALS = b"\xff\xf4\xf2"
FEATURES = ("SIZE", "EPSV", "MLST type*;size*;", "UTF8", "TVFS")
REFUSED = {
    "dele": "nothing can be removed here",
    "rmd": "nothing can be removed here",
    "rnfr": "nothing can be renamed here",
    "rnto": "nothing can be renamed here",
    "retr": "nothing can be read here",
    "appe": "append is not offered: send the file again with STOR",
}
NOT_OFFERED = {
    "rest": "restart is not offered: send the file again with STOR",
    "stou": "give the file a name and use STOR",
    "port": "active mode is not offered: use PASV or EPSV",
    "eprt": "active mode is not offered: use PASV or EPSV",
}

Verb = Callable[[Connection, str], Awaitable[bool]]


@dataclass
class Session:
    """What the server remembers of one control connection."""

    opened: float
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    folder: tuple[str, ...] = ()
    ascii: bool = False
    expected: int | None = None
    upload: Upload | None = None
    over: bool = False


class GatewayServer(aioftp.Server):
    """Receives uploads into the spool; tells of each outcome by calling back on the loop."""

    def __init__(
        self,
        users: Users,
        spool: Spool,
        threads: Threads,
        limits: Limits,
        *,
        on_stored: Callable[[StoredFile], None],
        on_refused: Callable[[str], None],
        on_connections: Callable[[int], None],
    ) -> None:
        super().__init__(
            Door(users, limits.bad_password_delay),
            maximum_connections=limits.connections,
            welcome_message="TOSIP gateway",
        )
        self._spool, self._threads, self._limits = spool, threads, limits
        self._on_stored, self._on_refused = on_stored, on_refused
        self._on_connections = on_connections
        self._uploads: set[Upload] = set()
        self._replies: dict[StreamIO, asyncio.Queue[Any]] = {}
        self.commands_mapping = {
            verb: functools.partial(self._in_turn, verb, act) for verb, act in self._verbs().items()
        }
        self.commands_mapping[GONE] = self._gone

    def _verbs(self) -> dict[str, Verb]:
        refused: dict[str, Verb] = {
            verb: functools.partial(_reply, code, text)
            for code, table in (("550", REFUSED), ("502", NOT_OFFERED))
            for verb, text in table.items()
        }
        known: dict[str, Verb] = {
            "user": self.user,
            "pass": self.pass_,
            "quit": _reply_and_close,
            "syst": functools.partial(_reply, "215", "UNIX Type: L8"),
            "noop": functools.partial(_reply, "200", "ok"),
            "feat": _features,
            "opts": _options,
            "stat": self._status,
            "type": _type,
            "mode": functools.partial(_only, "S"),
            "stru": functools.partial(_only, "F"),
            "pwd": self._print_folder,
            "cwd": self._change_folder,
            "cdup": self._parent_folder,
            "mkd": self._make_folder,
            "pasv": self._passive,
            "epsv": self._extended_passive,
            "allo": self._allocate,
            "stor": self._store,
            "abor": self._abort,
            "size": self._size,
            "mlst": self._facts,
        }
        aliases = {"xpwd": "pwd", "xcwd": "cwd", "xcup": "cdup", "xmkd": "mkd"}
        known |= {alias: known[verb] for alias, verb in aliases.items()}
        return refused | known | dict.fromkeys(("list", "nlst", "mlsd"), self._list)

    # The control channel

    async def dispatcher(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one control connection, from greeting to end."""
        control: socket.socket = writer.get_extra_info("socket")
        # ftplib sends the end of its ABOR as urgent data, which would not be read as part of it.
        control.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        control.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            # Only `close` cancels this, and asyncio before Python 3.12 would log that as an error.
            with contextlib.suppress(asyncio.CancelledError):
                await super().dispatcher(reader, writer)
        finally:
            self._on_connections(len(self.connections))

    async def greeting(self, connection: Connection, rest: Any) -> bool:
        """Welcome a client, or tell it that too many are here."""
        self._on_connections(len(self.connections))
        return await super().greeting(connection, rest)

    async def parse_command(
        self, stream: StreamIO, censor_commands: tuple[str] = ("pass",)
    ) -> tuple[str, str]:
        """Read one command, once the one before is done; nothing of it is logged."""
        connection = self.connections[stream]
        session = _session(connection)
        async with session.turn:
            pass
        if session.over:
            # aioftp asks for one more command before it acts on the last one.
            await asyncio.get_running_loop().create_future()
        line = await self._read_line(connection, session)
        if not line:
            session.over = True
            return GONE, ""
        # A stray byte stays visible, so that the name it is in can be refused with a reply.
        text = line.lstrip(TELNET_SIGNALS).decode("utf-8", "surrogateescape").rstrip("\r\n")
        verb, _, rest = text.partition(" ")
        return verb.lower(), rest

    async def _read_line(self, connection: Connection, session: Session) -> bytes:
        """Return a line, or nothing when the session should end."""
        while True:
            try:
                async with asyncio.timeout(self._patience(connection, session)):
                    line: bytes = await connection.command_connection.reader.readline()
                return line
            except TimeoutError:
                if session.upload is None:
                    connection.response("421", "closing: nothing asked for too long")
                    return b""
            except ValueError:
                connection.response("500", "closing: a line without end")
                return b""
            except OSError:
                return b""

    def _patience(self, connection: Connection, session: Session) -> float:
        if connection.future.logged.done():
            return self._limits.idle_timeout
        left = session.opened + self._limits.login_timeout - asyncio.get_running_loop().time()
        return max(left, 0.0)

    async def response_writer(self, stream: StreamIO, response_queue: asyncio.Queue[Any]) -> None:
        """Write replies until cancelled; those for a client that is gone are swallowed.

        The time-out is ours, not aioftp's, whose asyncio.wait_for may swallow the cancellation.
        """
        self._replies[stream] = response_queue
        try:
            while True:
                reply = await response_queue.get()
                try:
                    async with asyncio.timeout(self._limits.stall_timeout):
                        await self.write_response(stream, *reply)
                except OSError:
                    stream.close()
                finally:
                    response_queue.task_done()
        finally:
            del self._replies[stream]

    async def _in_turn(self, verb: str, act: Verb, connection: Connection, rest: str) -> bool:
        session = _session(connection)
        async with session.turn:
            if session.upload is not None and verb not in DURING_UPLOAD:
                return await _reply("503", "an upload is running: wait for it, or ABOR", connection)
            if verb not in BEFORE_LOGIN and not connection.future.logged.done():
                return await _reply("530", "log in first", connection)
            if verb != "quit":
                return await act(connection, rest)
        if session.upload is not None and session.upload.task is not None:
            await asyncio.wait({session.upload.task})
        return await act(connection, rest)

    async def _gone(self, connection: Connection, rest: str) -> bool:
        return False

    async def stop(self) -> None:
        """Take no more connections, discard running uploads, say 421 to everybody."""
        self.server.close()
        tasks = [upload.task for upload in self._uploads if upload.task is not None]
        for upload in tuple(self._uploads):
            upload.abort("the gateway is stopping")
        if tasks:
            await asyncio.wait(tasks)
        for connection in self.connections.values():
            connection.response("421", "the gateway is stopping")
        if queues := [asyncio.ensure_future(queue.join()) for queue in self._replies.values()]:
            _, late = await asyncio.wait(queues, timeout=1.0)
            for queue in late:
                queue.cancel()
        await self.close()

    # Folders and facts

    async def _print_folder(self, connection: Connection, rest: str) -> bool:
        return await _reply("257", _quoted(_session(connection).folder), connection)

    async def _change_folder(self, connection: Connection, rest: str) -> bool:
        session = _session(connection)
        try:
            session.folder = resolve_folder(session.folder, rest)
        except NameRefusedError as error:
            return await _reply("553", str(error), connection)
        return await _reply("250", "ok", connection)

    async def _parent_folder(self, connection: Connection, rest: str) -> bool:
        return await self._change_folder(connection, "..")

    async def _make_folder(self, connection: Connection, rest: str) -> bool:
        try:
            folder = resolve_folder(_session(connection).folder, rest)
        except NameRefusedError as error:
            return await _reply("553", str(error), connection)
        return await _reply("257", _quoted(folder), connection)

    async def _status(self, connection: Connection, rest: str) -> bool:
        upload = _session(connection).upload
        text = "idle" if upload is None else f"receiving {upload.name}"
        return await _reply("211", text, connection)

    async def _size(self, connection: Connection, rest: str) -> bool:
        size = await self._known_size(connection, rest)
        code, text = ("550", "no such file") if size is None else ("213", str(size))
        return await _reply(code, text, connection)

    async def _facts(self, connection: Connection, rest: str) -> bool:
        size = await self._known_size(connection, rest)
        if size is None:
            return await _reply("550", "no such file", connection)
        connection.response("250", ["facts", f"type=file;size={size}; {rest}", "end"], True)
        return True

    async def _known_size(self, connection: Connection, rest: str) -> int | None:
        try:
            name = resolve_file(_session(connection).folder, rest)
        except NameRefusedError:
            return None
        return await self._threads.disk(self._spool.latest_size, name)

    # Data

    async def _passive(self, connection: Connection, rest: str) -> bool:
        port = _listen(connection)
        if port is None or port.family != socket.AF_INET:
            return await _reply("425", "no IPv4 port: use EPSV", connection)
        numbers = (*port.host.split("."), port.port >> 8, port.port & 0xFF)
        text = f"listening ({','.join(map(str, numbers))})"
        return await _reply("227", text, connection)

    async def _extended_passive(self, connection: Connection, rest: str) -> bool:
        if rest.upper() == "ALL":
            return await _reply("200", "ok", connection)
        port = _listen(connection)
        if port is None:
            return await _reply("425", "no port: try later", connection)
        return await _reply("229", f"listening (|||{port.port}|)", connection)

    async def _list(self, connection: Connection, rest: str) -> bool:
        port = _take_port(connection)
        if port is None:
            return await _reply("425", "use PASV or EPSV first", connection)
        connection.response("150", "nothing is listed here")
        try:
            (await port.accept(self._limits.connect_timeout)).close()
        except UploadError as error:
            return await _reply(error.code, str(error), connection)
        finally:
            port.close()
        return await _reply("226", "done", connection)

    async def _allocate(self, connection: Connection, rest: str) -> bool:
        size = rest.split(" ")[0]
        if not size.isdecimal() or len(size) > 18:
            return await _reply("501", "expected ALLO and a number of bytes", connection)
        _session(connection).expected = int(size)
        return await _reply("200", f"{int(size)} bytes expected", connection)

    async def _store(self, connection: Connection, rest: str) -> bool:
        session = _session(connection)
        expected, session.expected = session.expected, None
        port = _take_port(connection)
        if port is None:
            return await _reply("425", "use PASV or EPSV first", connection)
        try:
            name = _accepted_name(session, rest)
            upload = Upload(name, connection.user.login, expected)
            partial = await self._begin(upload)
        except UploadError as error:
            port.close()
            self._refuse(connection, error)
            return True
        connection.response("150", f"ready for {name}")
        session.upload = upload
        self._uploads.add(upload)
        upload.task = asyncio.create_task(self._complete(connection, upload, port, partial))
        connection.extra_workers.add(asyncio.create_task(_watch(upload)))
        return True

    async def _begin(self, upload: Upload) -> Partial:
        try:
            free = await self._threads.disk(self._spool.free_space)
            if free < self._limits.free_space + (upload.expected or 0):
                raise UploadError("452", "the gateway's disk is too full: try later")
            return await self._threads.disk(self._spool.begin)
        except OSError as error:
            raise from_os_error(error) from None

    async def _complete(
        self, connection: Connection, upload: Upload, port: PassivePort, partial: Partial
    ) -> None:
        """See an upload through to its reply; it outlives its control connection to clean up."""
        try:
            outcome = await self._receive(upload, port, partial)
            if isinstance(outcome, UploadError):
                await self._threads.disk(self._spool.discard, partial)
        finally:
            self._uploads.discard(upload)
            # Before the reply: its reader may send the next command at once.
            _session(connection).upload = None
        if isinstance(outcome, UploadError):
            self._refuse(connection, outcome)
            return
        connection.response("226", f"stored {outcome.size} bytes as {outcome.id}")
        self._on_stored(outcome)

    async def _receive(
        self, upload: Upload, port: PassivePort, partial: Partial
    ) -> StoredFile | UploadError:
        try:
            data = await upload.connect(port, self._limits.connect_timeout)
            received = await self._threads.receive(
                upload.receive, data, partial.fd, self._limits.stall_timeout
            )
            upload.check()
            return await self._threads.disk(
                self._spool.commit,
                partial,
                Description(
                    upload.name, upload.user, received.size, received.sha256, received.proven
                ),
            )
        except UploadError as error:
            return error
        except (OSError, sqlite3.Error) as error:
            logger.error("%s: upload failed: %s", upload.name, error)
            return from_os_error(error if isinstance(error, OSError) else OSError(5, str(error)))

    def _refuse(self, connection: Connection, error: UploadError) -> None:
        connection.response(error.code, str(error))
        self._on_refused(f"{error.code} {error}")

    async def _abort(self, connection: Connection, rest: str) -> bool:
        upload = _session(connection).upload
        if upload is None or upload.task is None:
            return await _reply("226", "nothing to abort", connection)
        upload.abort("ABOR")
        await asyncio.wait({upload.task})
        return await _reply("226", "abort done", connection)


async def _watch(upload: Upload) -> None:
    """Live as long as the upload; aioftp cancels this when the control connection is lost."""
    if upload.task is None:
        return
    try:
        await asyncio.shield(upload.task)
    except asyncio.CancelledError:
        upload.abort("control connection lost")


def _accepted_name(session: Session, rest: str) -> str:
    if session.ascii:
        raise UploadError("550", "ASCII mode would change the bytes: use TYPE I")
    try:
        return resolve_file(session.folder, rest)
    except NameRefusedError as error:
        raise UploadError("553", str(error)) from None


def _session(connection: Connection) -> Session:
    if "session" not in connection:
        connection.session = Session(asyncio.get_running_loop().time())
    session: Session = connection.session
    return session


def _listen(connection: Connection) -> PassivePort | None:
    """Open a port for one transfer in place of the one before; None when the system has none."""
    if (before := _take_port(connection)) is not None:
        before.close()
    try:
        connection.passive_server = PassivePort(connection.server_host, connection.client_host)
    except OSError as error:
        logger.error("no port for a data connection: %s", error)
        return None
    port: PassivePort = connection.passive_server
    return port


def _take_port(connection: Connection) -> PassivePort | None:
    """Return the port that PASV or EPSV opened; it serves one transfer only."""
    if not connection.future.passive_server.done():
        return None
    port: PassivePort = connection.passive_server
    del connection.passive_server
    return port


async def _reply(code: str, text: str, connection: Connection, rest: str = "") -> bool:
    connection.response(code, text)
    return True


async def _reply_and_close(connection: Connection, rest: str) -> bool:
    connection.response("221", "bye")
    return False


async def _features(connection: Connection, rest: str) -> bool:
    connection.response("211", ["features", *FEATURES, "end"], True)
    return True


async def _options(connection: Connection, rest: str) -> bool:
    known = rest.upper().startswith(("UTF8", "UTF-8", "MLST"))
    code, text = ("200", "ok") if known else ("501", "expected OPTS UTF8 ON")
    return await _reply(code, text, connection)


async def _type(connection: Connection, rest: str) -> bool:
    kind = rest.upper()
    if kind not in ("I", "L 8", "A", "A N"):
        return await _reply("504", "expected TYPE I", connection)
    _session(connection).ascii = kind.startswith("A")
    return await _reply("200", "ok", connection)


async def _only(accepted: str, connection: Connection, rest: str) -> bool:
    right = rest.upper() == accepted
    code, text = ("200", "ok") if right else ("504", f"expected {accepted}, the only one offered")
    return await _reply(code, text, connection)


def _quoted(folder: tuple[str, ...]) -> str:
    """Return a folder as RFC 959 wants it: quoted, with quotes in it doubled."""
    path = "/" + "/".join(folder)
    return '"{}"'.format(path.replace('"', '""'))
