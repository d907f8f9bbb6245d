"""What follows from a try: a file is delivered, waits, or is given up; the archive works or not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import aioftp

from tosip.errors import DeliveryError
from tosip.events import call
from tosip.gateway import lives
from tosip.gateway.forwarding.breaker import ArchiveState, Breaker
from tosip.gateway.forwarding.delivery import Means
from tosip.gateway.forwarding.faults import (
    ArchiveRefusal,
    ForgottenFile,
    SpoolDamage,
    SpoolTrouble,
    SpoolUnreadable,
    explain,
    is_permanent,
)
from tosip.gateway.forwarding.jobs import Job, Jobs
from tosip.gateway.forwarding.session import Session
from tosip.gateway.spool.stored import State, StoredFile

logger = logging.getLogger(__name__)


class Outcomes:
    """Puts each job where it belongs after a try, and tells who should know."""

    def __init__(
        self,
        means: Means,
        jobs: Jobs,
        breaker: Breaker,
        on_delivered: Callable[[StoredFile], None],
        on_change: Callable[[], None],
    ) -> None:
        self._means, self._jobs, self._breaker = means, jobs, breaker
        self._on_delivered, self._on_change = on_delivered, on_change
        self._where = f"{means.archive.host}:{means.archive.port}"
        self.last_error = ""

    def suspects(self, job: Job) -> bool:
        """Tell whether so many others passed since a file was refused that it must be the file.

        One for each that waits after a failure: an archive that is full, and has room for a file
        now and then, would else have us give up many of those that it will take.
        """
        return 0 <= job.doubted_at <= self._breaker.successes - self._jobs.failed

    def archive_works(self, *, delivered: bool) -> None:
        """Note that the archive does what it should: nobody waits for it any more."""
        before = self._breaker.state
        self._breaker.works(delivered=delivered)
        if before in (ArchiveState.UNREACHABLE, ArchiveState.REFUSING):
            logger.info("the archive %s works again", self._where)
        for parked in self._jobs.unpark():
            if parked.hiccups:
                self._jobs.delay(parked, self._later(parked.hiccups))
            else:
                self._jobs.put_back(parked)
        if before != ArchiveState.OK:
            call("forwarder.on_change", self._on_change)

    def turned_away(self, session: Session, job: Job | None, error: Exception) -> None:
        """Let a worker rest that the archive does not let in, while it serves others of us."""
        session.turned_away += 1
        session.rests_until = self._later(session.turned_away)
        if job is not None:
            self._jobs.put_back(job)
        if session.turned_away == 1:
            self._say(f"archive {self._where}: {explain(error)}; others of us are connected")

    async def delivered(self, job: Job) -> None:
        """Record that the archive holds a file; if that fails it is looked up there later."""
        try:
            await self._means.mark(job, State.DELIVERED, job.target)
        except (ForgottenFile, SpoolTrouble) as error:
            await self.failed(None, job, error)
            return
        except Exception as error:
            logger.exception("%s: that it was delivered is not recorded", job.file.name)
            await self.failed(None, job, SpoolTrouble(f"a fault of TOSIP: {error!r}"))
            return
        self._means.claims.give_back(job.target, job.file.id)
        self._jobs.forget(job.file.id)
        call("forwarder.on_delivered", self._on_delivered, job.file)

    async def failed(self, number: int | None, job: Job | None, error: Exception) -> None:
        """Find out by whose fault a worker's try has failed, and act on it."""
        if job is not None:
            job.unsure = True
            self._doubt(job, error)
        if job is None or not isinstance(error, DeliveryError):
            self._archive_failed(number, job, error)
            return
        try:
            if isinstance(error, SpoolDamage):
                await self._give_up(job, explain(error))
            elif isinstance(error, ArchiveRefusal | SpoolUnreadable):
                await self._refused(number, job, error)
            else:
                raise error
        except ForgottenFile:
            self._jobs.forget(job.file.id)
            self._means.claims.give_back(job.target, job.file.id)
        except SpoolTrouble as trouble:
            job.hiccups += 1
            self._jobs.delay(job, self._later(job.hiccups))
            self._say(f"{job.file.name} not delivered: {explain(trouble)}")

    def _doubt(self, job: Job, error: Exception) -> None:
        """Begin to count what speaks against a file: at its first 5xx, and at each refusal."""
        begins = job.doubted_at < 0 and is_permanent(error)
        if begins or isinstance(error, ArchiveRefusal):
            # Those that are under way tell nothing: they may have got the last room.
            job.doubted_at = self._breaker.at_most - 1

    def _archive_failed(self, number: int | None, job: Job | None, error: Exception) -> None:
        if job is not None:
            # Others went through since its last failure, so it may be about this file after all.
            job.hiccups += 0 <= job.failed_at < self._breaker.successes
            job.failed_at = self._breaker.successes
            self._jobs.park(job)
        refusing = isinstance(error, aioftp.StatusCodeError)
        state = ArchiveState.REFUSING if refusing else ArchiveState.UNREACHABLE
        reason = f"archive {self._where}: {explain(error)}"
        begins = self._breaker.fails(number, state, _now())
        self._say(reason, log=begins)

    async def _refused(self, number: int | None, job: Job, error: DeliveryError) -> None:
        job.refusals += 1
        reason = explain(error)
        if job.refusals >= self._means.archive.refusals:
            await self._give_up(job, reason)
        else:
            # With a target the rename was done, as far as is known.
            state = State.RENAMING if job.target else State.PENDING
            await self._means.mark(job, state, job.target, reason)
            self._jobs.delay(job, self._later(job.refusals))
            self._say(f"{job.file.name} not delivered: {reason}", log=job.refusals == 1)
        if isinstance(error, ArchiveRefusal):
            self._breaker.refused(number, job.file.id, _now())

    async def _give_up(self, job: Job, reason: str) -> None:
        await self._means.mark(job, State.DEAD, reason=reason)
        self._jobs.forget(job.file.id)
        file = job.file
        lives.tell("dead", **file.facts, reason=reason)
        self._say(f"{file.name} given up: {reason}")

    def _say(self, reason: str, *, log: bool = True) -> None:
        if log:
            logger.warning("%s", reason)
        self.last_error = reason
        call("forwarder.on_change", self._on_change)

    def _later(self, tries: int) -> float:
        return _now() + self._breaker.delay(tries)


def _now() -> float:
    return asyncio.get_running_loop().time()
