"""The gateway put together: server, spool, forwarder and pipeline on one event loop.

    gateway = Gateway(settings, on_stored=driver_of_camera, on_change=records.post)
    await gateway.start()
    ...
    gateway.release(file.id)      # the pipeline is done with it
    ...
    await gateway.stop()

`on_stored(file, received)` is called once a start for each file that is committed, has its final
name and is not released: for those that an earlier run left, when the gateway starts, oldest first;
for new ones right after their 226. `received` has the bytes as long as they are in memory, else it
is None and the spool's copy is there to be read. It is kept until the file is both delivered and
released. Without an `on_stored` nobody waits for files, and each counts as released.

Callbacks are called on the event loop and should return at once. What they raise is logged and goes
no further: nothing downstream can endanger an upload or a delivery.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from tosip.errors import ConfigurationError
from tosip.gateway.announcer import Announcer, OnStored
from tosip.gateway.cameras import Cameras
from tosip.gateway.counters import GatewayCounters, Last
from tosip.gateway.forwarding.forwarder import Forwarder
from tosip.gateway.lives import tell
from tosip.gateway.rate import Rate
from tosip.gateway.receiving.memory import Memory, Received
from tosip.gateway.rounds import Rounds
from tosip.gateway.server.server import GatewayServer
from tosip.gateway.settings import GatewaySettings
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import Entry, State, StoredFile
from tosip.gateway.threads import Threads

logger = logging.getLogger(__name__)

ROUND = 1.0
UNDELIVERED = (State.PENDING, State.RENAMING)


class Gateway:
    """See the module's docstring; one object is started and stopped once."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        on_stored: OnStored | None = None,
        on_change: Callable[[GatewayCounters], None] | None = None,
    ) -> None:
        self.settings = settings
        self.on_stored = on_stored
        self.on_change = on_change
        self.counters = GatewayCounters(watermark=settings.limits.free_space)
        self._cameras = Cameras(settings.camera)
        self._threads = Threads(settings.limits.connections)
        self._received = Rate()
        self._archive_error = ""
        self._spool: Spool | None = None
        self._server: GatewayServer | None = None
        self._forwarder: Forwarder | None = None
        self._announcer: Announcer | None = None
        self._rounds: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened to; known once started."""
        return self.settings.port if self._server is None else self._server.port

    async def start(self) -> None:
        """Take the spool, go on with what is in it, listen; ConfigurationError if that fails."""
        try:
            spool = await self._threads.disk(Spool, self.settings.spool, self.settings.keeping)
            self._spool = spool
            self._announcer = Announcer(spool, self._threads, self.on_stored)
            self._forwarder = Forwarder(
                self.settings.archive,
                spool,
                self._threads,
                on_delivered=self._delivered,
                on_change=self._changed,
            )
            unreleased = await self._take_over(spool, self._forwarder)
            await self._listen(spool)
            self._forwarder.start()
        except BaseException:
            await self.stop()
            raise
        self._rounds = asyncio.create_task(self._go_rounds(spool))
        for file in unreleased:
            self._announcer.announce(file)
            await asyncio.sleep(0)  # there may be thousands

    async def _take_over(self, spool: Spool, forwarder: Forwarder) -> list[StoredFile]:
        try:
            entries = await self._threads.disk(spool.reconcile)
        except OSError as error:
            raise ConfigurationError(
                f"Spool.folder: expected a folder to work in, got {self.settings.spool} ({error})"
            ) from None
        for entry in entries:
            if entry.state in UNDELIVERED:
                forwarder.add(entry)
        return [entry.file for entry in entries if not entry.released and entry.state != State.HELD]

    async def _listen(self, spool: Spool) -> None:
        server = GatewayServer(
            self.settings,
            spool,
            self._threads,
            Memory(self.settings.memory if self.on_stored is not None else 0),
            camera=self._cameras,
            on_stored=self._stored,
            on_refused=self._refused,
            on_change=self._changed,
        )
        try:
            await server.start()
        except OSError as error:
            raise ConfigurationError(
                f"listen: expected ports that are free, got {error.strerror or error}"
            ) from None
        self._server = server

    async def stop(self) -> None:
        """End running uploads with a reply, stop delivering, let the spool go; may be repeated.

        What was acknowledged stays in the spool.
        """
        rounds, self._rounds = self._rounds, None
        if rounds is not None:
            rounds.cancel()
            with suppress(asyncio.CancelledError):
                await rounds
        server, self._server = self._server, None
        if server is not None:
            await server.stop()
        forwarder, self._forwarder = self._forwarder, None
        if forwarder is not None:
            await forwarder.stop()
        announcer, self._announcer = self._announcer, None
        if announcer is not None:
            await announcer.close()
        await self._threads.close()
        spool, self._spool = self._spool, None
        if spool is not None:
            await asyncio.to_thread(spool.close)

    # What the pipeline and people say

    def release(self, file_id: str) -> None:
        """Say that the pipeline is done with a file; call it on the loop, as often as you like."""
        if self._announcer is not None:
            self._announcer.release(file_id)

    def pause(self, paused: bool) -> None:
        """Stop or go on forwarding; what is on its way is delivered."""
        if self._forwarder is not None:
            self._forwarder.paused = paused
        self._changed()

    async def retry(self, ids: Collection[str] | None = None) -> list[StoredFile]:
        """Forward dead letters again, or all of them, and wait no longer for the next try."""
        if self._spool is None or self._forwarder is None:
            return []
        entries = await self._threads.disk(self._spool.retry, ids)
        for entry in entries:
            tell("retried", id=entry.file.id, camera=entry.file.camera, name=entry.file.name)
            self._forwarder.add(entry)
        self._forwarder.retry_now()
        self._changed()
        return [entry.file for entry in entries]

    async def discard(self, ids: Collection[str]) -> list[StoredFile]:
        """Give up dead letters for good: a person's decision."""
        if self._spool is None or self._announcer is None:
            return []
        entries = await self._threads.disk(self._spool.give_up, ids)
        await self._threads.disk(self._spool.settle)
        for entry in entries:
            tell("discarded", id=entry.file.id, camera=entry.file.camera, name=entry.file.name)
            self._announcer.forget(entry.file.id)
        self._changed()
        return [entry.file for entry in entries]

    # What happens

    def _stored(self, entry: Entry, received: Received | None) -> None:
        if self._forwarder is None or self._announcer is None:
            return
        file = entry.file
        self._received.add(file.size)
        self._announcer.keep(file, received)
        if entry.state in UNDELIVERED:
            self._forwarder.add(entry)
            self._announcer.announce(file)
        elif entry.state != State.HELD:
            self._announcer.forget(file.id)
        last = {**self.counters.last, file.camera: Last(file.name, file.received)}
        self._changed(last=last)

    def _refused(self, reason: str) -> None:
        self._changed(refused=self.counters.refused + 1, last_error=reason)

    def _delivered(self, file: StoredFile) -> None:
        self._changed()

    def _changed(self, **values: Any) -> None:
        """Bring the counters up to date and tell of it."""
        before = self.counters
        if self._spool is not None:
            values |= dataclasses.asdict(self._spool.totals)
            values["pending_since"] = self._spool.oldest_pending()
        if self._server is not None:
            values["connections"] = self._server.connections
            values["cameras"] = frozenset(self._server.cameras)
        if (forwarder := self._forwarder) is not None:
            values |= {"archive": forwarder.state, "paused": forwarder.paused}
            values["forward_rate"] = forwarder.rate
            if forwarder.last_error != self._archive_error:
                self._archive_error = values["last_error"] = forwarder.last_error
        values["receive_rate"] = self._received.value
        self.counters = dataclasses.replace(before, **values)
        if self.on_change is not None and self.counters != before:
            _call(self.on_change, self.counters)

    # Once a second

    async def _go_rounds(self, spool: Spool) -> None:
        rounds = Rounds(spool, self._threads, self.settings.policy.hold)
        while True:
            try:
                await self._look_around(rounds)
            except OSError as error:
                logger.error("spool: %s", error)
                self._changed(last_error=f"spool: {error}")
            await asyncio.sleep(ROUND)

    async def _look_around(self, rounds: Rounds) -> None:
        found = await rounds.look()
        for entry in found.overdue:
            self._release_from_hold(entry)
        for request in found.requests:
            if request.action == "retry":
                await self.retry(request.ids)
            else:
                await self.discard(request.ids or ())
        self._changed(free_space=found.free_space, dead_letters=found.dead_letters)
        await rounds.note(self.counters, self.port)

    def _release_from_hold(self, entry: Entry) -> None:
        logger.warning("%s (%s) was never renamed", entry.file.id, entry.file.name)
        if self._forwarder is not None and self._announcer is not None:
            self._forwarder.add(entry)
            self._announcer.announce(entry.file)


def _call(callback: Callable[[GatewayCounters], None], counters: GatewayCounters) -> None:
    try:
        callback(counters)
    except Exception:
        logger.exception("a callback of the gateway failed")
