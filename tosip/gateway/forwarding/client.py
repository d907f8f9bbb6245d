"""A conversation with the archive: aioftp's client, made to give up and to trust nobody.

aioftp waits for ever unless told otherwise, takes half a line for a reply, and sends data through
the event loop. Here every reply has a time-out, and data goes by `transfer`. Each `ArchiveClient`
lives for one session: after any error that is not an `ArchiveRefusal`, close it and make another.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from pathlib import PurePosixPath
from typing import Any

import aioftp
from aioftp.common import Code, ThrottleStreamIO

from tosip.gateway.forwarding.faults import (
    ArchiveRefusal,
    UnexpectedReply,
    explain,
    is_about_file,
)
from tosip.gateway.settings import ArchiveSettings

EXTENDED = re.compile(r"\((.)\1\1(\d{1,5})\1\)")
PASSIVE = re.compile(r"\d+,\d+,\d+,\d+,(\d{1,3}),(\d{1,3})")
ENCODING = "utf-8"
# Names may hold bytes that are no UTF-8; they must reach the archive as they came.
ODD_BYTES = "surrogateescape"


class ArchiveClient(aioftp.Client):
    """One session with the archive; `open` it, `close` it."""

    def __init__(self, archive: ArchiveSettings, context: ssl.SSLContext | None = None) -> None:
        # No time-outs of aioftp's: its wait_for may swallow a cancellation before Python 3.12.
        super().__init__(ssl=context if archive.tls == "implicit" else None)
        self.archive, self.tls = archive, context
        self._clear_stream: ThrottleStreamIO | None = None
        self.features: dict[str, str] = {}
        self._folders: set[PurePosixPath] = set()
        self._extended_passive = True

    async def open(self) -> None:
        """Connect, protect the connection, log in; every step has its time-out."""
        archive = self.archive
        async with asyncio.timeout(archive.timeout):
            await self._connect()
        async with asyncio.timeout(archive.timeout):
            await self._expect("220", wait="120")
        if self.tls is not None and archive.tls == "explicit":
            await self.ask("AUTH TLS", "234")
            async with asyncio.timeout(archive.timeout):
                await self._start_tls(self.tls)
        async with asyncio.timeout(archive.timeout):
            await self.login(archive.user, archive.password)
        if self.tls is not None:
            await self.ask("PBSZ 0", "200")
            await self.ask("PROT P", "200")
        await self.ask("TYPE I", "200")
        await self._learn_features()

    async def _connect(self) -> None:
        host, port = self.archive.host, self.archive.port
        self.server_host, self.server_port = host, port
        self._use(*await asyncio.open_connection(host, port, ssl=self.ssl))

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        """Begin TLS with a reader of its own: nothing that came in the clear is believed."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport = await loop.start_tls(
            self.stream.writer.transport, protocol, context, server_hostname=self.server_host
        )
        if transport is None:
            raise ConnectionResetError("connection lost at the start of TLS")
        protocol.connection_made(transport)
        # Kept: a writer that is forgotten closes its connection.
        self._clear_stream = self._stream
        self._use(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    def _use(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._stream = ThrottleStreamIO(reader, writer)

    async def _learn_features(self) -> None:
        # What else it says does not mean that it offers no hash, by which we would know its faults.
        code, lines = await self.ask("FEAT", "2xx", "50x")
        if code.startswith("2"):
            for line in lines[1:-1]:
                name, _, rest = line.strip(" -").partition(" ")
                self.features[name.upper()] = rest.strip()
        if "UTF8" in self.features:
            await self.ask("OPTS UTF8 ON", "xxx")

    @property
    def connected(self) -> bool:
        """Whether the archive has not hung up yet, as far as is known."""
        if self._stream is None:
            return False
        reader = self._stream.reader
        return not reader.at_eof() and reader.exception() is None

    @property
    def tls_session(self) -> ssl.SSLSession | None:
        """The control connection's session: servers want data connections to resume it."""
        tls = self.stream.writer.get_extra_info("ssl_object")
        return None if tls is None else tls.session

    async def parse_line(self) -> tuple[Code, str]:
        """Read one line; half a line, then the end, is no reply."""
        line = await self.stream.readline()
        if not line.endswith(b"\n"):
            self.close()
            raise ConnectionResetError("the archive has hung up")
        text = line.decode(ENCODING, ODD_BYTES).rstrip()
        return Code(text[:3]), text[3:]

    async def ask(
        self, command: str, *expected: str, timeout: float | None = None
    ) -> tuple[Code, list[str]]:
        """Say one line and return the reply; StatusCodeError if it is not as expected."""
        if set(command) & set("\r\n\0"):
            raise ArchiveRefusal(f"expected a name that FTP can say, got {command!r}")
        async with asyncio.timeout(timeout or self.archive.timeout):
            await self.stream.write(f"{command}\r\n".encode(ENCODING, ODD_BYTES))
            code, lines = await self._expect()
        if not any(code.matches(mask) for mask in expected):
            raise UnexpectedReply(command, code, lines)
        return code, lines

    async def ask_about_file(
        self, command: str, *expected: str, timeout: float | None = None
    ) -> tuple[Code, list[str]]:
        """Do as `ask`, but ArchiveRefusal when the reply is about the file that is named."""
        try:
            return await self.ask(command, *expected, timeout=timeout)
        except aioftp.StatusCodeError as error:
            if is_about_file(error):
                raise ArchiveRefusal(explain(error)) from None
            raise

    async def _expect(self, expected: str = "xxx", wait: str = "") -> tuple[Code, list[str]]:
        code, lines = await self.parse_response()
        while wait and code.matches(wait):
            code, lines = await self.parse_response()
        self.check_codes(Code(expected), code, lines)
        return code, lines

    async def data_address(self) -> tuple[int, tuple[Any, ...]]:
        """Return address family and address for one data connection.

        The host is always that of the control connection, whatever the archive says: behind a
        translating firewall it does not know better, and nobody else is to get our files.
        """
        if self._extended_passive:
            code, lines = await self.ask("EPSV", "229", "5xx")
            self._extended_passive = code == "229"
            found = EXTENDED.search(lines[-1])
            port = int(found[2]) if found else 0
        if not self._extended_passive:
            _, lines = await self.ask("PASV", "227")
            found = PASSIVE.search(lines[-1])
            port = int(found[1]) * 256 + int(found[2]) if found else 0
        if not 0 < port < 65536:
            raise ConnectionError(f"expected a port for data, got {lines[-1].strip()!r}")
        peer = self.stream.writer.get_extra_info("peername")
        family = self.stream.writer.get_extra_info("socket").family
        return family, (peer[0], port, *peer[2:])

    async def ensure_folder(self, folder: PurePosixPath) -> None:
        """Make a folder and those above it; that it is there already is no error."""
        for path in reversed((folder, *folder.parents)):
            if path.name and path not in self._folders:
                # Servers disagree about how to say "it exists"; STOR will tell if it does not.
                await self.ask(f"MKD {path}", "2xx", "5xx")
                self._folders.add(path)

    def forget_folders(self) -> None:
        """Look again: a folder may have been removed on the archive."""
        self._folders.clear()

    async def move(self, old: PurePosixPath, new: PurePosixPath) -> None:
        """Rename a file on the archive."""
        await self.ask_about_file(f"RNFR {old}", "350")
        await self.ask_about_file(f"RNTO {new}", "2xx")

    async def delete(self, path: PurePosixPath) -> bool:
        """Remove a file on the archive; False if it says no, also to what is not there."""
        code, _ = await self.ask(f"DELE {path}", "2xx", "5xx")
        return code.startswith("2")
