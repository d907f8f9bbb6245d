"""The forwarder: every file in the spool goes to the archive, however long that takes.

A delivery: upload under a temporary name that contains the id, compare the size, record the final
name, rename, compare again, record that it is delivered. The bytes are hashed as they are sent, so
that a file damaged in the spool is never renamed into the archive.

After an interruption it may be unknown whether the rename was done. The journal tells that it had
begun: if the temporary file is gone and the final name is there with our size, it was done. Any
other file under a final name is somebody else's and is never overwritten: ours becomes
`name~<id>`.

Some workers share the work. The even ones take the newest file, so that what cameras send now does
not wait for a backlog; the odd ones take the oldest, so that the backlog ends. A file that the
archive refuses waits longer after each try. When the archive itself fails, only worker 0 goes on
trying, with growing delays; a delivered file wakes the others.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from tosip.errors import DeliveryError
from tosip.gateway.archive_client import ArchiveClient, explain, is_about_file
from tosip.gateway.journal import Entry, State
from tosip.gateway.settings import ArchiveSettings
from tosip.gateway.spool import Spool
from tosip.gateway.stored import StoredFile
from tosip.gateway.threads import Threads

logger = logging.getLogger(__name__)

LONGEST_COMPONENT = 255


@dataclass
class Job:
    """A file to deliver; `target` is set while its rename may have been done."""

    file: StoredFile
    target: str = ""
    tries: int = 0
    not_before: float = 0.0


class Forwarder:
    """Delivers what it is given; calls back on the loop."""

    def __init__(
        self,
        archive: ArchiveSettings,
        spool: Spool,
        threads: Threads,
        *,
        on_delivered: Callable[[StoredFile], None],
        on_archive: Callable[[bool, str], None],
    ) -> None:
        self._archive, self._spool, self._threads = archive, spool, threads
        self._on_delivered, self._on_archive = on_delivered, on_archive
        self._jobs: dict[str, Job] = {}
        self._busy: set[str] = set()
        # Final names that deliveries under way have chosen, by whom.
        self._claims: dict[str, str] = {}
        self._work = asyncio.Event()
        self._up = asyncio.Event()
        self._failures = 0
        self._workers: list[asyncio.Task[None]] = []

    def add(self, entry: Entry) -> None:
        """Take over a file that is not delivered yet."""
        self._jobs[entry.file.id] = Job(entry.file, entry.target)
        if entry.target:
            self._claims[entry.target] = entry.file.id
        self._work.set()

    def accept(self, file: StoredFile) -> None:
        """Take over a file that has just been stored."""
        self.add(Entry(file))

    def start(self) -> None:
        """Begin; everything known so far should have been added."""
        self._workers = [
            asyncio.create_task(self._run(number)) for number in range(self._archive.workers)
        ]

    async def stop(self) -> None:
        """Stop at once; what was under way is looked up at the next start."""
        pending = set(self._workers)
        while pending:
            for worker in pending:
                worker.cancel()
            # Again and again: aioftp uses asyncio.wait_for, which before Python 3.12 may swallow
            # a cancellation (https://github.com/python/cpython/issues/86296).
            _, pending = await asyncio.wait(pending, timeout=0.1)

    async def _run(self, number: int) -> None:
        while True:
            if number > 0:
                await self._up.wait()
            elif not self._up.is_set():
                await asyncio.sleep(self._delay(self._failures))
            job = await self._next(number)
            if job is None and number > 0:
                continue
            try:
                async with ArchiveClient.session(self._archive) as client:
                    await self._converse(client, number, job)
            except Exception as error:  # noqa: BLE001, a worker outlives whatever the archive says
                self._archive_fails(error)
            finally:
                if job is not None:
                    self._give_back(job)

    async def _converse(self, client: ArchiveClient, number: int, job: Job | None) -> None:
        """Deliver until nothing is due; without a job it was only asked whether we may log in."""
        if job is None:
            self._archive_works()
        while job is not None:
            if await self._attempt(client, job):
                self._archive_works()
            job = self._take(number)

    async def _next(self, number: int) -> Job | None:
        """Wait for a job; None when there is something else to look after first."""
        now = asyncio.get_running_loop().time
        look = now() + (self._archive.check_interval if self._up.is_set() else 0.0)
        while (job := self._take(number)) is None:
            if number > 0 and not self._up.is_set():
                return None
            due = [job.not_before for job in self._jobs.values() if job.file.id not in self._busy]
            if number == 0 and not self._jobs:
                if now() >= look:
                    return None
                due.append(look)
            self._work.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(due, default=None)):
                    await self._work.wait()
        return job

    def _take(self, number: int) -> Job | None:
        now = asyncio.get_running_loop().time()
        due = [
            job
            for job in self._jobs.values()
            if job.not_before <= now and job.file.id not in self._busy
        ]
        if not due or (number > 0 and not self._up.is_set()):
            return None
        choose = min if number % 2 else max
        job = choose(due, key=lambda job: job.file.received)
        self._busy.add(job.file.id)
        return job

    def _give_back(self, job: Job) -> None:
        self._busy.discard(job.file.id)
        self._work.set()

    async def _attempt(self, client: ArchiveClient, job: Job) -> bool:
        """Try one file; raise only what concerns more than this file."""
        try:
            await self._deliver(client, job)
        except Exception as error:
            job.tries += 1
            job.not_before = asyncio.get_running_loop().time() + self._delay(job.tries)
            if not is_about_file(error):
                raise
            reason = f"{job.file.name} not delivered: {explain(error)}"
            logger.warning("%s: %s", job.file.id, reason)
            self._on_archive(False, reason)
            return False
        finally:
            self._give_back(job)
        del self._jobs[job.file.id]
        self._on_delivered(job.file)
        return True

    async def _deliver(self, client: ArchiveClient, job: Job) -> None:
        file = job.file
        final = PurePosixPath(self._archive.folder, file.name)
        temporary = final.with_name(_temporary_name(final.name, file.id))
        if not (job.target and await self._was_renamed(client, job, temporary)):
            await client.ensure_folder(final.parent)
            if job.tries:
                # Some servers refuse to write to what an earlier try has left there.
                await client.command(f"DELE {temporary}", ("2xx", "5xx"))
            if await client.send(self._threads, file.path, temporary) != file.sha256:
                raise DeliveryError("the spool's copy is damaged: its hash has changed")
            await _expect_size(client, temporary, file.size)
            target = await self._choose(client, file, final)
            # Recorded first: after a crash this tells that it may have been done.
            await self._mark(job, State.RENAMING, str(target))
            await client.rename(temporary, target)
            await _expect_size(client, target, file.size)
        await self._mark(job, State.DELIVERED, job.target)
        self._claims.pop(job.target, None)

    async def _was_renamed(self, client: ArchiveClient, job: Job, temporary: PurePosixPath) -> bool:
        there = await client.size(PurePosixPath(job.target)) == job.file.size
        if there and await client.size(temporary) is None:
            return True
        self._claims.pop(job.target, None)
        await self._mark(job, State.PENDING, "")
        return False

    async def _choose(
        self, client: ArchiveClient, file: StoredFile, final: PurePosixPath
    ) -> PurePosixPath:
        """Return a final name that is free on the archive and that no other delivery will take."""
        for candidate in (final, final.with_name(_unique_name(final.name, file.id))):
            if self._claims.setdefault(str(candidate), file.id) != file.id:
                continue
            if await client.size(candidate) is None:
                if candidate != final:
                    logger.warning(
                        "%s is on the archive already; ours becomes %s", final, candidate
                    )
                return candidate
            del self._claims[str(candidate)]
        raise DeliveryError("expected a free name on the archive, got none")

    async def _mark(self, job: Job, state: State, target: str) -> None:
        await self._threads.disk(self._spool.mark, job.file.id, state, target)
        job.target = target

    def _archive_works(self) -> None:
        if not self._up.is_set():
            logger.info("the archive answers")
        self._failures = 0
        self._up.set()
        self._on_archive(True, "")

    def _archive_fails(self, error: Exception) -> None:
        reason = f"archive {self._archive.host}:{self._archive.port}: {explain(error)}"
        if self._up.is_set() or not self._failures:
            logger.warning("%s; trying again", reason)
        self._failures += 1
        self._up.clear()
        self._on_archive(False, reason)

    def _delay(self, failures: int) -> float:
        """Return how long to wait: doubling, bounded, jittered so that nothing beats in step."""
        if failures == 0:
            return 0.0
        delay = self._archive.first_delay * 2.0 ** min(failures - 1, 30)
        return min(delay, self._archive.longest_delay) * random.uniform(0.5, 1.0)  # noqa: S311


async def _expect_size(client: ArchiveClient, path: PurePosixPath, size: int) -> None:
    there = await client.size(path)
    if there != size:
        got = "no file" if there is None else f"{there} bytes"
        raise DeliveryError(f"expected {size} bytes on the archive, got {got}")


def _temporary_name(name: str, file_id: str) -> str:
    whole = f".{name}.{file_id}.part"
    return whole if len(whole.encode()) <= LONGEST_COMPONENT else f".{file_id}.part"


def _unique_name(name: str, file_id: str) -> str:
    """Return `name~<id>`, with the suffix last so that it still tells what the file is."""
    path = PurePosixPath(name)
    whole = f"{path.stem}~{file_id}{path.suffix}"
    return whole if len(whole.encode()) <= LONGEST_COMPONENT else f"~{file_id}{path.suffix[:20]}"
