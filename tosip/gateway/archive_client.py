"""A conversation with the archive: aioftp's client, made to give up and to clean up.

aioftp waits for ever unless told otherwise, and forgets the data connection of a refused upload.
Each `ArchiveClient` lives for one session: after any error close it and make another one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Self

import aioftp
from aioftp.client import ConnType

from tosip.errors import DeliveryError
from tosip.gateway.settings import ArchiveSettings
from tosip.gateway.threads import Threads

BLOCK = 1 << 20


class ArchiveClient(aioftp.Client):
    """One session with the archive.

    >>> async with ArchiveClient.session(settings) as client:
    ...     print(await client.size(PurePosixPath("cam01/x.fits")))
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._data: asyncio.StreamWriter | None = None
        self._folders: set[PurePosixPath] = set()

    @classmethod
    @asynccontextmanager
    async def session(cls, archive: ArchiveSettings) -> AsyncIterator[Self]:
        """Connect and log in; end politely after a success and at once after an error."""
        client = cls(socket_timeout=archive.timeout, connection_timeout=archive.timeout)
        try:
            await client.connect(archive.host, archive.port)
            await client.login(archive.user, archive.password)
            await client.command("TYPE I", "200")
            yield client
            with suppress(OSError, aioftp.StatusCodeError):
                await client.quit()
        finally:
            client.close()

    def close(self) -> None:
        """Close both connections."""
        if self._data is not None:
            self._data.close()
        super().close()

    async def get_passive_connection(
        self, conn_type: ConnType = "I", commands: Sequence[str] | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a data connection, and remember it until the session ends."""
        reader, self._data = await super().get_passive_connection(conn_type, commands)
        return reader, self._data

    async def size(self, path: PurePosixPath) -> int | None:
        """Return the size of a file on the archive, None when it is not there."""
        try:
            try:
                _, lines = await self.command(f"SIZE {path}", "213")
                return int(lines[-1])
            except aioftp.StatusCodeError as error:
                if not error.received_codes[-1].matches("50x"):
                    raise
            return int((await self.stat(path))["size"])
        except aioftp.StatusCodeError as error:
            if error.received_codes[-1].matches("55x"):
                return None
            raise

    async def ensure_folder(self, folder: PurePosixPath) -> None:
        """Make a folder and those above it; that it is there already is no error."""
        for path in reversed((folder, *folder.parents)):
            if path.name and path not in self._folders:
                # Servers disagree about how to say "it exists"; STOR will tell if it does not.
                await self.command(f"MKD {path}", ("257", "2xx", "5xx"))
                self._folders.add(path)

    async def send(self, threads: Threads, source: Path, destination: PurePosixPath) -> str:
        """Upload a file under exactly this name; return the SHA-256 of what was sent."""
        digest = hashlib.sha256()

        def read_block(file: BinaryIO) -> bytes:
            try:
                block = file.read(BLOCK)
            except OSError as error:
                raise _unreadable(source, error) from None
            digest.update(block)
            return block

        try:
            file = await threads.disk(source.open, "rb")
        except OSError as error:
            raise _unreadable(source, error) from None
        try:
            async with self.upload_stream(destination) as stream:
                while block := await threads.disk(read_block, file):
                    await stream.write(block)
        finally:
            await threads.disk(file.close)
        return digest.hexdigest()


def explain(error: BaseException) -> str:
    """Say in one line what went wrong with the archive."""
    if isinstance(error, aioftp.StatusCodeError):
        return f"{error.received_codes[-1]} {' '.join(error.info).strip()}"
    if isinstance(error, DeliveryError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def is_about_file(error: BaseException) -> bool:
    """Tell whether only the file at hand is concerned; all else puts the archive in doubt."""
    if isinstance(error, aioftp.StatusCodeError):
        return error.received_codes[-1] in ("501", "550", "551", "553")
    return isinstance(error, DeliveryError)


def _unreadable(source: Path, error: OSError) -> DeliveryError:
    # Not an OSError as it came: that would be taken for a fault of the archive's connection.
    return DeliveryError(f"spool file {source.name} cannot be read: {error.strerror}")
