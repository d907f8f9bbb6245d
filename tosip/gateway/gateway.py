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
released; only when the disk fills up, the oldest that are delivered go unreleased. Without an
`on_stored` nobody waits for files, and each counts as released.

Callbacks are called on the event loop and should return at once. What they raise is logged and goes
no further: nothing downstream can endanger an upload or a delivery.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import Any, TypeVar

from tosip.errors import ConfigurationError
from tosip.events import call
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
from tosip.gateway.spool.requests import Request
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import Entry, State, StoredFile
from tosip.gateway.threads import Threads
from tosip.tasks import BackgroundTask, in_thread

logger = logging.getLogger(__name__)

T = TypeVar("T")

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
        self._rounds: BackgroundTask | None = None

    @property
    def port(self) -> int:
        """The port that is listened to; known once started."""
        return self.settings.port if self._server is None else self._server.port

    async def start(self) -> None:
        """Take the spool, go on with what is in it, listen; ConfigurationError if that fails."""
        try:
            spool = await self._threads.disk(Spool, self.settings.spool, self.settings.keeping)
            self._spool = spool
            announcer = Announcer(spool, self._threads, self.on_stored)
            self._announcer = announcer
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
        rounds = Rounds(spool, self._threads, self.settings)
        work = partial(self._go_rounds, rounds, announcer)
        self._rounds = BackgroundTask("gateway rounds", work, self._tell)
        self._rounds.start()
        async for file in _unhurried(unreleased):
            announcer.announce(file)

    async def _take_over(self, spool: Spool, forwarder: Forwarder) -> list[StoredFile]:
        try:
            entries = await self._threads.disk(spool.reconcile)
            newest = await self._threads.disk(spool.newest)
            free_space = await self._threads.disk(spool.free_space)
        except OSError as error:
            raise ConfigurationError(
                f"Spool.folder: expected a folder to work in, got {self.settings.spool} ({error})"
            ) from None
        self._changed(free_space=free_space, last=_last(entry.file for entry in newest))
        async for entry in _unhurried(entries):
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
                f"listen: expected free ports of this machine, got {error.strerror or error}"
            ) from None
        self._server = server

    async def stop(self) -> None:
        """End running uploads with a reply, stop delivering, let the spool go; may be repeated.

        What was acknowledged stays in the spool.
        """
        rounds, self._rounds = self._rounds, None
        if rounds is not None:
            await rounds.stop()
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
            await in_thread(spool.close)

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
        spool, forwarder = self._spool, self._forwarder
        if spool is None or forwarder is None:
            return []
        entries = await self._threads.disk(spool.retry, ids)
        async for entry in _unhurried(entries):
            tell("retried", **entry.file.facts)
            forwarder.add(entry)
        forwarder.retry_now()
        self._changed()
        return [entry.file for entry in entries]

    async def discard(self, ids: Collection[str]) -> list[StoredFile]:
        """Give up dead letters for good: a person's decision."""
        spool, announcer = self._spool, self._announcer
        if spool is None or announcer is None:
            return []
        entries = await self._threads.disk(spool.give_up, ids)
        async for entry in _unhurried(entries):
            tell("discarded", **entry.file.facts)
            announcer.forget(entry.file.id)
        await self._threads.disk(spool.settle)
        self._changed()
        return [entry.file for entry in entries]

    # What happens

    def _stored(self, entry: Entry, received: Received | None) -> None:
        if self._announcer is None:
            return
        file = entry.file
        if received is not None:  # else it came before, under a temporary name
            self._received.add(file.size)
        self._announcer.keep(file, received)
        self._go_on(entry)
        self._changed(last={**self.counters.last, **_last([file])})

    def _go_on(self, entry: Entry) -> None:
        """Do with a file what follows from its state, once it has been committed or renamed."""
        if self._forwarder is None or self._announcer is None:
            return
        if entry.state in UNDELIVERED:
            self._forwarder.add(entry)
            self._announcer.announce(entry.file)
        elif entry.state != State.HELD:
            self._announcer.forget(entry.file.id)

    def _refused(self, reason: str) -> None:
        self._changed(refused=self.counters.refused + 1, last_refusal=reason)

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
        if self.counters != before:
            self._tell()

    def _tell(self) -> None:
        if self.on_change is not None:
            call("gateway.on_change", self.on_change, self.counters)

    # Once a second

    async def _go_rounds(self, rounds: Rounds, announcer: Announcer) -> None:
        steps = (
            rounds.tidy,
            announcer.record_again,
            partial(self._make_room, rounds, announcer),
            partial(self._end_holding, rounds),
            partial(self._meet_requests, rounds),
            partial(self._look, rounds),
            lambda: rounds.note(self.counters, self.port),
        )
        while True:
            for step in steps:
                await self._attempt(step())
            await asyncio.sleep(ROUND)

    async def _attempt(self, step: Awaitable[None], what: str = "spool") -> None:
        """Do one thing by itself: nothing else is left out because it fails."""
        try:
            await step
        except OSError as error:
            logger.error("%s: %s", what, error)
            self._changed(last_error=f"{what}: {error}")
        except Exception as error:
            logger.exception("%s: a fault of TOSIP", what)
            self._changed(last_error=f"{what}: {error!r}")

    async def _make_room(self, rounds: Rounds, announcer: Announcer) -> None:
        if files := await rounds.spare():
            await announcer.let_go(files)
            told = f"disk nearly full: {len(files)} delivered files let go unseen by the pipeline"
            logger.warning(told)
            self._changed(last_error=told, unseen=self.counters.unseen + len(files))
            # Where copies are retained it is that which makes room.
            await rounds.tidy(thoroughly=True)

    async def _end_holding(self, rounds: Rounds) -> None:
        async for entry in _unhurried(await rounds.overdue()):
            logger.warning("%s (%s) was never renamed", entry.file.id, entry.file.name)
            self._go_on(entry)

    async def _meet_requests(self, rounds: Rounds) -> None:
        for request in await rounds.requests():
            await self._attempt(self._meet(rounds, request), f"{request.action} asked for")

    async def _meet(self, rounds: Rounds, request: Request) -> None:
        if request.action == "retry":
            await self.retry(request.ids)
        else:
            await self.discard(request.ids or ())
        await rounds.done(request)

    async def _look(self, rounds: Rounds) -> None:
        found = await rounds.look()
        self._changed(free_space=found.free_space, dead_letters=found.dead_letters)
        self._tell()  # ages grow although nothing changes


def _last(files: Iterable[StoredFile]) -> dict[str, Last]:
    return {file.camera: Last(file.name, file.received) for file in files}


async def _unhurried(items: Iterable[T]) -> AsyncIterator[T]:
    """Go through what may be thousands, and leave the loop to others now and then."""
    for number, item in enumerate(items, 1):
        yield item
        if number % 100 == 0:
            await asyncio.sleep(0)
