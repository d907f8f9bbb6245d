"""An FTP archive for tests that misbehaves as told, over real sockets, and keeps files in memory.

    archive = HostileArchive("gateway", "password", features=("SIZE", "XSHA256"))
    await archive.start()
    archive.misbehave("STOR", Keep(1000), times=2)      # keeps 1000 bytes and still says 226
    archive.misbehave("RNTO", Mute(), after=1)          # the second RNTO is done without a reply
    ...
    assert archive.files == {"a/x.fits": b"..."}
    await archive.stop()

Each fault waits for its verb (`CONNECT` is the greeting) and strikes `times` times (None: always)
after sparing `after` of them; a command that one fault spoils is not seen by those after it.
`capacity` bounds the bytes kept: beyond it comes 452. `most_sessions` bounds those at once: beyond
it comes 421. `log` has every command but PASS. It depends on nothing else in these tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import PurePosixPath

BLOCK = 1 << 16
FEATURES = ("SIZE", "MLST size*;", "EPSV", "UTF8")
HASHES: dict[str, Callable[[bytes], str]] = {
    "XCRC": lambda data: f"{zlib.crc32(data):X}",
    "XMD5": lambda data: hashlib.md5(data).hexdigest(),
    "XSHA1": lambda data: hashlib.sha1(data).hexdigest(),
    "XSHA256": lambda data: hashlib.sha256(data).hexdigest().upper(),
    "XSHA512": lambda data: hashlib.sha512(data).hexdigest(),
}


@dataclass(frozen=True)
class Say:
    """Reply this instead of acting."""

    reply: str


@dataclass(frozen=True)
class Cut:
    """Say this much of a line instead of acting, then close the control connection."""

    words: str


@dataclass(frozen=True)
class Silence:
    """Neither act nor reply."""


@dataclass(frozen=True)
class Mute:
    """Act, without a reply; a transfer goes on after 150 and gets no 226."""


@dataclass(frozen=True)
class No150:
    """Never say that a transfer may begin."""


@dataclass(frozen=True)
class HangUp:
    """Close the control connection, before or after acting; with a reset if told so."""

    after: bool = False
    reset: bool = False


@dataclass(frozen=True)
class Keep:
    """Take a whole upload, keep so many bytes of it, say 226."""

    size: int


@dataclass(frozen=True)
class Flip:
    """Take a whole upload, change its first byte, say 226."""


@dataclass(frozen=True)
class Break:
    """End the data connection after so many bytes: with a reset or an end, and with this reply."""

    size: int
    reply: str = "426 broken"
    reset: bool = True


@dataclass(frozen=True)
class Stall:
    """Read so many bytes of an upload, or send so many of a file, and nothing more."""

    size: int


@dataclass(frozen=True)
class Drip:
    """Send a file byte by byte, with so many seconds between them."""

    seconds: float


@dataclass(frozen=True)
class Add:
    """Send this after a file."""

    data: bytes


@dataclass(frozen=True)
class Slow:
    """Wait so many seconds before acting."""

    seconds: float


Misbehaviour = (
    Say | Cut | Silence | Mute | No150 | HangUp | Keep | Flip | Break | Stall | Drip | Add | Slow
)


@dataclass
class Fault:
    """A misbehaviour and when it strikes."""

    verb: str
    kind: Misbehaviour
    times: int | None
    after: int
    name: str

    def strikes(self, verb: str, argument: str) -> bool:
        """Count a command; tell whether it is one to spoil."""
        if verb != self.verb or not fnmatch(PurePosixPath(argument).name, self.name):
            return False
        self.after -= 1
        if self.after >= 0 or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class HostileArchive:
    """See the module's docstring."""

    def __init__(
        self, user: str, password: str, features: Iterable[str] = FEATURES, data_host: str = ""
    ) -> None:
        self.user, self.password = user, password
        self.features = tuple(features)
        self.data_host = data_host
        self.files: dict[str, bytes] = {}
        self.folders: set[str] = set()
        self.log: list[str] = []
        self.faults: list[Fault] = []
        self.capacity: int | None = None
        self.most_sessions: int | None = None
        self.sessions: set[asyncio.Task[None]] = set()
        self.connected = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    def misbehave(
        self,
        verb: str,
        kind: Misbehaviour,
        *,
        times: int | None = 1,
        after: int = 0,
        name: str = "*",
    ) -> Fault:
        """Add a fault; `name` is a pattern for the last component of the command's argument."""
        self.faults.append(Fault(verb, kind, times, after, name))
        return self.faults[-1]

    def behave(self) -> None:
        """Do everything right from now on."""
        self.faults.clear()
        self.capacity = None

    def struck(self, verb: str, argument: str = "") -> Misbehaviour | None:
        """Return what is to go wrong with this command."""
        return next((one.kind for one in self.faults if one.strikes(verb, argument)), None)

    def verbs(self) -> list[str]:
        """Return the verbs that came, in order."""
        return [line.split(" ")[0] for line in self.log]

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=BLOCK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            self._server.close()
        for session in self.sessions:
            session.cancel()
        if self.sessions:
            await asyncio.wait(self.sessions)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.sessions.add(task)
        self.connected += 1
        session = Conversation(self, reader, writer)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                if self.most_sessions is None or self.connected <= self.most_sessions:
                    await session.run()
                else:
                    session.say("421 too many of you")
        finally:
            self.sessions.discard(task)
            self.connected -= 1
            session.close()


class Conversation:
    """One control connection."""

    def __init__(
        self, archive: HostileArchive, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.archive, self.reader, self.writer = archive, reader, writer
        self.user = self.old = ""
        self.logged_in = self.muted = False
        self.passive: asyncio.Server | None = None
        self.data: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] | None = None

    def close(self) -> None:
        """Let go of all sockets."""
        self.writer.close()
        self._close_passive()

    async def run(self) -> None:
        """Greet, then act on commands until somebody hangs up."""
        goes_on = await self._act("CONNECT", "")
        while goes_on and (line := await self.reader.readline()):
            text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            verb, _, argument = text.partition(" ")
            self.archive.log.append(verb if verb == "PASS" else text)
            goes_on = await self._act(verb.upper(), argument)

    async def _act(self, verb: str, argument: str) -> bool:
        kind = self.archive.struck(verb, argument)
        match kind:
            case Say(reply):
                self.say(reply)
            case Cut(words):
                self.writer.write(words.encode())
                self.writer.close()
                return False
            case Silence():
                pass
            case HangUp(after=False):
                self._hang_up(kind)
                return False
            case _:
                if isinstance(kind, Slow):
                    await asyncio.sleep(kind.seconds)
                self.muted = isinstance(kind, Mute | HangUp)
                await self._obey(verb, argument, kind)
                self.muted = False
                if isinstance(kind, HangUp):
                    self._hang_up(kind)
                    return False
        await self.writer.drain()
        return verb != "QUIT"

    def _hang_up(self, how: HangUp) -> None:
        if how.reset:
            _reset(self.writer)
        self.writer.close()

    async def _obey(self, verb: str, argument: str, kind: Misbehaviour | None) -> None:
        action = getattr(self, f"do_{verb.lower()}", None)
        offered = {feature.split(" ")[0] for feature in self.archive.features}
        known = action is not None or verb in {"STOR", "RETR", "LIST", *HASHES}
        if not known or verb in {"SIZE", "MLST", "EPSV", *HASHES} - offered:
            self.say("502 not here")
        elif not self.logged_in and verb not in ("CONNECT", "USER", "PASS", "QUIT"):
            self.say("530 log in first")
        elif verb in ("STOR", "RETR", "LIST"):
            await self._transfer(verb, argument, kind)
        elif verb in HASHES:
            self._hash(verb, argument)
        elif asyncio.iscoroutinefunction(action):
            await action(argument)
        else:
            action(argument)  # type: ignore[misc]

    def say(self, reply: str) -> None:
        """Send a reply, unless it is to be withheld."""
        if not self.muted:
            self.writer.write(f"{reply}\r\n".encode("utf-8", "surrogateescape"))

    def do_connect(self, _: str) -> None:
        self.say("220 at your service")

    def do_user(self, user: str) -> None:
        self.user = user
        self.say("331 password")

    def do_pass(self, password: str) -> None:
        wanted = (self.archive.user, self.archive.password)
        self.logged_in = (self.user, password) == wanted
        self.say("230 welcome" if self.logged_in else "530 no")

    def do_type(self, _: str) -> None:
        self.say("200 ok")

    do_noop = do_opts = do_type

    def do_quit(self, _: str) -> None:
        self.say("221 bye")

    def do_feat(self, _: str) -> None:
        lines = "".join(f" {feature}\r\n" for feature in self.archive.features)
        self.say(f"211-Features:\r\n{lines}211 End")

    def do_mkd(self, path: str) -> None:
        known = path in self.archive.folders
        self.archive.folders.add(path)
        self.say("550 exists" if known else f'257 "{path}"')

    def do_size(self, path: str) -> None:
        data = self.archive.files.get(path)
        self.say("550 no such file" if data is None else f"213 {len(data)}")

    def do_mlst(self, path: str) -> None:
        data = self.archive.files.get(path)
        facts = "" if data is None else f" type=file;size={len(data)}; /{path}"
        self.say(f"250-Listing\r\n{facts}\r\n250 End" if facts else "550 no such file")

    def do_dele(self, path: str) -> None:
        known = self.archive.files.pop(path, None) is not None
        self.say("250 gone" if known else "550 no such file")

    def do_rnfr(self, path: str) -> None:
        self.old = path
        self.say("350 and to?" if path in self.archive.files else "550 no such file")

    def do_rnto(self, path: str) -> None:
        self.archive.files[path] = self.archive.files.pop(self.old)
        self.say("250 renamed")

    def _hash(self, verb: str, argument: str) -> None:
        data = self.archive.files.get(argument.strip('"'))
        self.say("550 no such file" if data is None else f"250 {HASHES[verb](data)}")

    async def do_epsv(self, _: str) -> None:
        self.say(f"229 here (|||{await self._listen()}|)")

    async def do_pasv(self, _: str) -> None:
        port = await self._listen()
        host = self.archive.data_host or "127.0.0.1"
        self.say(f"227 here ({host.replace('.', ',')},{port // 256},{port % 256})")

    async def _listen(self) -> int:
        self._close_passive()
        arrived = self.data = asyncio.get_running_loop().create_future()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if arrived.done():
                writer.close()
            else:
                arrived.set_result((reader, writer))

        own = self.writer.get_extra_info("sockname")[0]
        self.passive = await asyncio.start_server(accept, own, 0, limit=BLOCK)
        return int(self.passive.sockets[0].getsockname()[1])

    def _close_passive(self) -> None:
        if self.passive is not None:
            self.passive.close()
        if self.data is not None and self.data.done() and not self.data.cancelled():
            self.data.result()[1].close()
        self.passive = self.data = None

    async def _transfer(self, verb: str, argument: str, kind: Misbehaviour | None) -> None:
        if self.data is None:
            self.say("425 no data connection")
            return
        data = self.archive.files.get(argument)
        if verb == "RETR" and data is None:
            self.say("550 no such file")
            return
        if not isinstance(kind, No150):
            self.writer.write(b"150 go on\r\n")
        await self.writer.drain()
        reader, writer = await self.data
        if verb == "STOR":
            reply = await self._take(reader, argument, kind)
        else:
            sent = data if verb == "RETR" and data is not None else self._listing(argument)
            reply = await self._give(writer, sent, kind)
        if reply.startswith("!"):
            _reset(writer)
        self._close_passive()
        self.say(reply.removeprefix("!"))

    async def _take(self, reader: asyncio.StreamReader, path: str, kind: object) -> str:
        kept, files = bytearray(), self.archive.files
        files[path] = b""
        while block := await reader.read(BLOCK):
            kept += block
            if isinstance(kind, Stall) and len(kept) >= kind.size:
                await asyncio.Event().wait()
            if isinstance(kind, Break) and len(kept) >= kind.size:
                files[path] = bytes(kept[: kind.size])
                return "!" * kind.reset + kind.reply
            capacity = self.archive.capacity
            if capacity is not None:
                files[path] = bytes(kept)
                if sum(map(len, files.values())) > capacity:
                    return "452 full"
        if isinstance(kind, Keep):
            del kept[kind.size :]
        if isinstance(kind, Flip):
            kept[0] ^= 1
        files[path] = bytes(kept)
        return "226 thanks"

    async def _give(self, writer: asyncio.StreamWriter, data: bytes, kind: object) -> str:
        with contextlib.suppress(ConnectionError):
            if isinstance(kind, Break | Stall | Keep):
                data = data[: kind.size]
            if isinstance(kind, Add):
                data += kind.data
            pause = kind.seconds if isinstance(kind, Drip) else 0.0
            for part in [data[at : at + 1] for at in range(len(data))] if pause else [data]:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            if isinstance(kind, Stall):
                await asyncio.Event().wait()
        if isinstance(kind, Break):
            return "!" * kind.reset + kind.reply
        return "226 that was all"

    def _listing(self, path: str) -> bytes:
        return "".join(
            f"-rw-r--r-- 1 ftp ftp {len(data)} Jan 01 2024 {PurePosixPath(name).name}\r\n"
            for name, data in self.archive.files.items()
            if path in (name, str(PurePosixPath(name).parent))
        ).encode()


def _reset(writer: asyncio.StreamWriter) -> None:
    own: socket.socket = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
