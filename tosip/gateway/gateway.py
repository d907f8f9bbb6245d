"""The gateway put together: server, spool and forwarder on one event loop.

    gateway = Gateway(settings, on_stored=driver.queue, on_change=records.post)
    await gateway.start()
    ...
    gateway.release(file.id)      # the pipeline is done with it
    ...
    await gateway.stop()

`on_stored` is called once a start for each file that is committed and not released: for those that
an earlier run left, when the gateway starts, oldest first; for new ones right after their 226. The
spool's copy is kept until the file is both delivered and released. Without an `on_stored` nobody
waits for files, and each counts as released.

Callbacks are called on the event loop and should return at once. What they raise is logged and goes
no further: nothing downstream can endanger an upload or a delivery.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tosip.errors import ConfigurationError
from tosip.gateway.forwarder import Forwarder
from tosip.gateway.journal import State
from tosip.gateway.server import GatewayServer
from tosip.gateway.settings import GatewaySettings
from tosip.gateway.spool import Spool
from tosip.gateway.stored import StoredFile
from tosip.gateway.threads import Threads

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class GatewayCounters:
    """The state at one moment. Always: acknowledged = delivered + pending.

    Counts are since the start; `acknowledged` includes the undelivered files found in the spool.
    `refused` counts uploads that were answered with an error, `bytes` those acknowledged.
    `archive_ok` tells how the last try went; `last_error` stays until the next error.
    """

    connections: int = 0
    acknowledged: int = 0
    refused: int = 0
    delivered: int = 0
    pending: int = 0
    bytes: int = 0
    archive_ok: bool = False
    last_error: str = ""


class Gateway:
    """See the module's docstring; one object is started and stopped once."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        on_stored: Callable[[StoredFile], None] | None = None,
        on_change: Callable[[GatewayCounters], None] | None = None,
    ) -> None:
        self.settings = settings
        self.on_stored = on_stored
        self.on_change = on_change
        self.counters = GatewayCounters()
        self._threads = Threads(settings.limits.connections)
        self._spool: Spool | None = None
        self._server: GatewayServer | None = None
        self._forwarder: Forwarder | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port that is listened to; known once started."""
        return self.settings.port if self._server is None else int(self._server.server_port)

    async def start(self) -> None:
        """Take the spool, go on with what is in it, listen; ConfigurationError if that fails."""
        try:
            spool = await self._threads.disk(Spool, self.settings.spool)
            self._spool = spool
            self._forwarder = Forwarder(
                self.settings.archive,
                spool,
                self._threads,
                on_delivered=self._delivered,
                on_archive=self._archive_changed,
            )
            unreleased = await self._take_over(spool, self._forwarder)
            await self._listen(spool)
            self._forwarder.start()
        except BaseException:
            await self.stop()
            raise
        for file in unreleased:
            self._announce(file)

    async def _take_over(self, spool: Spool, forwarder: Forwarder) -> list[StoredFile]:
        try:
            entries = await self._threads.disk(spool.reconcile)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"Spool.folder: expected a folder to work in, got {self.settings.spool} ({error})"
            ) from None
        undelivered = [entry for entry in entries if entry.state != State.DELIVERED]
        for entry in undelivered:
            forwarder.add(entry)
        self._change(acknowledged=len(undelivered), pending=len(undelivered))
        return [entry.file for entry in entries if not entry.released]

    async def _listen(self, spool: Spool) -> None:
        host, port = self.settings.host, self.settings.port
        server = GatewayServer(
            self.settings.users,
            spool,
            self._threads,
            self.settings.limits,
            on_stored=self._stored,
            on_refused=self._refused,
            on_connections=lambda count: self._change(connections=count),
        )
        try:
            await server.start(host, port)
        except OSError as error:
            reason = error.strerror or error
            raise ConfigurationError(
                f"Gateway.port: expected a free port on {host}, got {port} ({reason})"
            ) from None
        self._server = server

    async def stop(self) -> None:
        """Discard running uploads with a reply, stop delivering, let the spool go; may be repeated.

        What was acknowledged stays in the spool.
        """
        server, self._server = self._server, None
        if server is not None:
            await server.stop()
        forwarder, self._forwarder = self._forwarder, None
        if forwarder is not None:
            await forwarder.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._threads.close()
        spool, self._spool = self._spool, None
        if spool is not None:
            await asyncio.to_thread(spool.close)

    def release(self, file_id: str) -> None:
        """Say that the pipeline is done with a file; call it on the loop, as often as you like."""
        if self._spool is not None:
            self._in_background(self._threads.disk(self._spool.release, file_id))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stored(self, file: StoredFile) -> None:
        if self._forwarder is not None:
            self._forwarder.accept(file)
        now = self.counters
        self._change(
            acknowledged=now.acknowledged + 1, pending=now.pending + 1, bytes=now.bytes + file.size
        )
        self._announce(file)

    def _announce(self, file: StoredFile) -> None:
        if self.on_stored is None:
            self.release(file.id)
        else:
            _call(self.on_stored, file)

    def _refused(self, reason: str) -> None:
        self._change(refused=self.counters.refused + 1, last_error=reason)

    def _delivered(self, file: StoredFile) -> None:
        now = self.counters
        self._change(delivered=now.delivered + 1, pending=now.pending - 1)

    def _archive_changed(self, works: bool, reason: str) -> None:
        self._change(archive_ok=works, last_error=reason or self.counters.last_error)

    def _change(self, **values: Any) -> None:
        before, self.counters = self.counters, replace(self.counters, **values)
        if self.on_change is not None and self.counters != before:
            _call(self.on_change, self.counters)


def _call(callback: Callable[[T], None], argument: T) -> None:
    try:
        callback(argument)
    except Exception:
        logger.exception("a callback of the gateway failed")


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except (OSError, sqlite3.Error) as error:
        logger.error("spool: %s", error)
