"""The forwarder: every file in the spool goes to the archive, however long that takes.

Some workers share the work, each with a connection of its own. The even ones take the newest file,
so that what cameras send now does not wait for a backlog; the odd ones take the oldest, so that the
backlog ends. A file that the archive refuses waits longer after each try, and is given up (a dead
letter, kept in the spool) after some; an error that may be about all files is held against one only
when enough others have gone through. When the archive itself fails, one worker at a time goes on
trying, with growing pauses; one delivered file brings all of them back. When it lets in some
workers and not others, these rest: it may allow fewer sessions than there are workers.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tosip.gateway.forwarding.breaker import ArchiveState, Breaker
from tosip.gateway.forwarding.checked import Copies
from tosip.gateway.forwarding.delivery import Delivery, Means
from tosip.gateway.forwarding.faults import ArchiveRefusal, ForgottenFile
from tosip.gateway.forwarding.jobs import Job, Jobs
from tosip.gateway.forwarding.naming import Claims
from tosip.gateway.forwarding.outcomes import Outcomes
from tosip.gateway.forwarding.session import Session
from tosip.gateway.forwarding.tls import tls_context
from tosip.gateway.rate import Rate
from tosip.gateway.settings import ArchiveSettings
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import Entry, State, StoredFile
from tosip.gateway.threads import Threads
from tosip.tasks import BackgroundTask, in_thread

__all__ = ["ArchiveState", "Forwarder"]

TO_DELIVER = (State.PENDING, State.RENAMING)


class Forwarder:
    """Delivers what it is given; calls back on the loop.

    `on_delivered` comes once for each file that the archive holds, `on_change` when `state` or
    `last_error` has changed or a file has become a dead letter. `last_error` stays until the next.
    """

    def __init__(
        self,
        archive: ArchiveSettings,
        spool: Spool,
        threads: Threads,
        *,
        on_delivered: Callable[[StoredFile], None],
        on_change: Callable[[], None],
    ) -> None:
        self._archive = archive
        self._context = tls_context(archive)
        self._on_change = on_change
        self._jobs, self._claims = Jobs(), Claims()
        self._breaker = Breaker(archive.first_delay, archive.longest_delay)
        # Of its own: a slow archive must not hold up a commit.
        workers = max(archive.workers, 1)
        self._pool = ThreadPoolExecutor(2 * workers, "gateway-forward")
        self._copies = Copies(self._pool, workers)
        self._means = Means(
            archive, spool, threads, self._pool, self._copies, self._claims, self._count
        )
        self._recording: dict[int, asyncio.Task[None]] = {}
        self._rate = Rate()
        self._paused = False
        self._next_look = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._workers: list[BackgroundTask] = []
        self._sessions = [Session(archive, self._context) for _ in range(workers)]
        self._wake_up = [asyncio.Event() for _ in range(workers)]
        self._outcomes = Outcomes(self._means, self._jobs, self._breaker, on_delivered, on_change)

    @property
    def state(self) -> ArchiveState:
        """How the last try went, or that there are to be none."""
        return ArchiveState.PAUSED if self._paused else self._breaker.state

    @property
    def last_error(self) -> str:
        """What went wrong last."""
        return self._outcomes.last_error

    @property
    def rate(self) -> float:
        """Bytes a second that went to the archive, lately."""
        return self._rate.value

    @property
    def paused(self) -> bool:
        """Whether no more deliveries begin; those under way end as they would."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        if paused != self._paused:
            self._paused = paused
            self._wake()
            self._on_change()

    def add(self, entry: Entry) -> None:
        """Take over a file that is to be delivered; others are none of its business."""
        if entry.state not in TO_DELIVER:
            return
        job = Job.of(entry)
        # What came while we run was never tried.
        job.unsure = self._loop is None or bool(entry.target or entry.refusals)
        if job.target:
            self._claims.take(job.target, job.file.id)
        self._jobs.add(job)
        self._wake()

    def forget(self, file_id: str) -> None:
        """Deliver this file no more; one that is nearly there may still arrive."""
        self._jobs.forget(file_id)

    def retry_now(self) -> None:
        """End all waiting: for the archive, and for files that it has refused."""
        self._breaker.hurry()
        self._jobs.hurry()
        for session in self._sessions:
            session.rests_until = 0.0
        self._next_look = 0.0
        self._wake()

    def start(self) -> None:
        """Begin; everything known so far should have been added."""
        self._loop = asyncio.get_running_loop()
        for number in range(len(self._wake_up)):
            work = functools.partial(self._work, number)
            self._workers.append(BackgroundTask(f"forwarder {number}", work, self._on_change))
            self._workers[-1].start()

    async def stop(self) -> None:
        """Stop at once; what was under way is looked up at the next start."""
        for worker in self._workers:
            worker.cancel()
        for worker in self._workers:
            await worker.ended()
        if self._recording:
            await asyncio.wait(self._recording.values())
        self._copies.close()
        await in_thread(self._pool.shutdown)

    async def _work(self, number: int) -> None:
        session = self._sessions[number]
        try:
            while True:
                job = await self._next(number, session)
                self._breaker.begin(number)
                try:
                    await self._serve(number, session, job)
                except Exception:
                    if job is not None:  # a fault of TOSIP: the file must not be forgotten for it
                        self._jobs.delay(job, _now() + self._archive.longest_delay)
                    raise
                finally:
                    self._breaker.end(number)
                    self._wake()
        finally:
            session.drop()

    async def _next(self, number: int, session: Session) -> Job | None:
        """Wait for a job; None when it is time to look whether the archive still answers."""
        while True:
            self._wake_up[number].clear()
            now = _now()
            if not (self._paused or self._rests(session, now)) and self._breaker.allows(now):
                job = self._jobs.take(now, newest=number % 2 == 0)
                if job is not None or (number == 0 and now >= self._next_look):
                    return job
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_event(session, now)):
                    await self._wake_up[number].wait()
                    continue
            idle = session.idle_since
            if idle is not None and _now() - idle >= self._archive.check_interval:
                await session.quit()

    def _next_event(self, session: Session, now: float) -> float:
        """Return until when a worker that has nothing to do may sleep."""
        events: list[float | None] = [now + self._archive.check_interval]
        if self._paused:
            pass
        elif self._rests(session, now):
            events.append(session.rests_until)
        elif self._breaker.allows(now):
            events += [self._jobs.next_due, self._next_look]
        elif not self._breaker.is_probing:
            events.append(self._breaker.next_try)
        return min(at for at in events if at is not None and at > now)

    def _rests(self, session: Session, now: float) -> bool:
        """Whether a worker that was turned away leaves the archive to those that it has let in."""
        return now < session.rests_until and self._others_are_in(session)

    def _is_turned_away(self, session: Session, error: Exception) -> bool:
        """Whether no session could be begun, but not because the archive is gone for all."""
        silence = isinstance(error, TimeoutError)
        return session.idle_since is None and not silence and self._others_are_in(session)

    def _others_are_in(self, session: Session) -> bool:
        return any(other.is_open for other in self._sessions if other is not session)

    async def _serve(self, number: int, session: Session, job: Job | None) -> None:
        """Deliver a file, or look after the archive; whatever goes wrong is dealt with."""
        try:
            client = await session.client()
            self._next_look = _now() + self._archive.check_interval
            if job is not None:
                following = self._jobs.following(newest=number % 2 == 0)
                suspect = self._outcomes.suspects(job)
                delivery = Delivery(
                    self._means,
                    client,
                    job,
                    following.file if following else None,
                    suspect=suspect,
                )
                await delivery.run()
            session.touch()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001, a worker outlives whatever the archive says
            if self._is_turned_away(session, error):
                self._outcomes.turned_away(session, job, error)
                return
            if not isinstance(error, ArchiveRefusal | ForgottenFile):
                session.drop()
            await self._outcomes.failed(number, job, error)
        else:
            self._outcomes.archive_works(delivered=job is not None)
            if job is not None:
                await self._record(number, job)

    async def _record(self, number: int, job: Job) -> None:
        """Let the journal be written while the next file is sent, one write behind."""
        if number in self._recording:
            await asyncio.wait({self._recording[number]})
        task = asyncio.create_task(self._outcomes.delivered(job))
        task.add_done_callback(lambda _: self._wake())
        self._recording[number] = task

    def _count(self, size: int) -> None:
        """Count what went out; called from a thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._rate.add, size)

    def _wake(self) -> None:
        for event in self._wake_up:
            event.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
