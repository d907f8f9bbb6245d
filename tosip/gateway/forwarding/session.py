"""A worker's connection to the archive: kept between files, made anew without a word when stale."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

import aioftp

from tosip.gateway.forwarding.client import ArchiveClient
from tosip.gateway.settings import ArchiveSettings

# After so many seconds without a command the archive may have ended the session.
STALE = 0.2


class Session:
    """Gives a client that is logged in; `drop` it after a failure."""

    def __init__(self, archive: ArchiveSettings, context: ssl.SSLContext | None) -> None:
        self._archive, self._context = archive, context
        self._client: ArchiveClient | None = None
        self._used = 0.0
        # How often in a row it could not be opened while others were, and until when it leaves
        # the archive to these.
        self.turned_away = 0
        self.rests_until = 0.0

    @property
    def idle_since(self) -> float | None:
        """When it was used last, in the loop's time; None when it is not connected."""
        return None if self._client is None else self._used

    @property
    def is_open(self) -> bool:
        """Whether the archive has let it in, and has not hung up as far as is known."""
        return self._client is not None and self._client.connected

    async def client(self) -> ArchiveClient:
        """Return a client that the archive listens to."""
        if self._client is not None and not await self._answers(self._client):
            self.drop()
        if self._client is None:
            client = ArchiveClient(self._archive, self._context)
            try:
                await client.open()
            except BaseException:
                client.close()
                raise
            self._client = client
            self.turned_away, self.rests_until = 0, 0.0
        self.touch()
        return self._client

    async def _answers(self, client: ArchiveClient) -> bool:
        if not client.connected:
            return False
        if asyncio.get_running_loop().time() - self._used < STALE:
            return True
        try:
            code, _ = await client.ask("NOOP", "2xx", "5xx")
        except (OSError, ValueError, aioftp.AIOFTPException):
            return False
        return code != "530"

    def touch(self) -> None:
        """Note that it was used just now."""
        self._used = asyncio.get_running_loop().time()

    def drop(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()
        self._client = None

    async def quit(self) -> None:
        """End politely."""
        if self._client is not None:
            with suppress(OSError, ValueError, aioftp.AIOFTPException):
                await self._client.ask("QUIT", "xxx", timeout=1.0)
        self.drop()
