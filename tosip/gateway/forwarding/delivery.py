"""The delivery of one file, from the spool's copy to a verified file on the archive.

The copy is checked before it is sent. It goes up under a temporary name that contains the id; size
and, as configured, hash or bytes are compared; the final name is recorded, then given, then the
size is compared again. Only then the file counts as delivered.

After an interruption nobody knows what was done, so the archive is asked first. A file under a
final name that provably has our bytes is ours; any other is somebody else's, is never overwritten,
and ours becomes `name~<id>`. A rename that was not seen to happen may happen yet, so nothing is
written any more under the temporary name that it was to end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import BinaryIO

import aioftp

from tosip.gateway import lives
from tosip.gateway.forwarding.checked import Copies
from tosip.gateway.forwarding.client import ArchiveClient
from tosip.gateway.forwarding.faults import (
    ArchiveRefusal,
    ForgottenFile,
    SpoolDamage,
    SpoolTrouble,
    SpoolUnreadable,
    explain,
    is_permanent,
)
from tosip.gateway.forwarding.jobs import Job
from tosip.gateway.forwarding.looking import Looker
from tosip.gateway.forwarding.naming import Claims, final_names, temporary_name
from tosip.gateway.forwarding.transfer import store
from tosip.gateway.settings import ArchiveSettings
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import State, StoredFile
from tosip.gateway.threads import Threads

# A name that is refused so often may be that of a folder; then it is `name~<id>`.
NAME_REFUSALS = 2

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Means:
    """What all deliveries share; `sent` is told of bytes that went out, from any thread."""

    archive: ArchiveSettings
    spool: Spool
    disk: Threads
    threads: Executor
    copies: Copies
    claims: Claims
    sent: Callable[[int], None]

    async def mark(self, job: Job, state: State, target: str = "", reason: str = "") -> None:
        """Record how far a file is."""
        try:
            entry = await self.disk.disk(
                self.spool.mark,
                job.file.id,
                state,
                target=target if state == State.DELIVERED else job.to_record(target),
                reason=reason,
                refusals=job.refusals,
            )
        except OSError as error:
            raise SpoolTrouble(f"the journal cannot be written: {error}") from None
        if entry is None or entry.state != state or job.forgotten:
            raise ForgottenFile(f"{job.file.id} is not in the spool any more")
        self.aim(job, target)

    def aim(self, job: Job, target: str) -> None:
        """Note what a file is to be called, and let others have the name that it was to have."""
        if job.target != target:
            self.claims.give_back(job.target, job.file.id)
        job.target = target


class Delivery:
    """One try to deliver one file through one session.

    With `suspect` each permanent error of the archive's is a refusal of the file.
    """

    def __init__(
        self,
        means: Means,
        client: ArchiveClient,
        job: Job,
        following: StoredFile | None = None,
        *,
        suspect: bool = False,
    ) -> None:
        self._means, self._client, self._job = means, client, job
        self._file, self._following, self._suspect = job.file, following, suspect
        self._looker = Looker(client, means.threads)
        self._final = PurePosixPath(means.archive.folder, job.file.name)
        self._temporary = temporary_name(self._final, job.file.id, job.renames)
        self._hash = ""
        self._begun = time.monotonic()

    async def run(self) -> None:
        """Deliver; returns when the archive holds the file, which the journal does not say yet.

        Meanwhile the copy of the `following` file is checked.
        """
        copies, offer = self._means.copies, self._looker.offer
        try:
            checked = await copies.take(self._file, offer)
        except (SpoolDamage, SpoolUnreadable):
            if self._job.unsure:
                await self._clean_up()
            raise
        self._hash = checked.hash
        if self._following is not None:
            copies.look_ahead(self._following, offer)
        try:
            await self._deliver(checked.copy)
        finally:
            checked.copy.close()

    async def _deliver(self, copy: BinaryIO) -> None:
        try:
            with self._judged():
                if not await self._was_done():
                    await self._upload(copy)
                    await self._give_final_name()
        except ArchiveRefusal:
            self._client.forget_folders()
            if self._job.refusals + 1 >= self._means.archive.refusals:
                # This was the last try.
                await self._let_go_of(self._temporary)
            raise

    @contextmanager
    def _judged(self) -> Iterator[None]:
        """Let a permanent error be a refusal of this file, if others go through."""
        try:
            yield
        except aioftp.StatusCodeError as error:
            if self._suspect and is_permanent(error):
                raise ArchiveRefusal(explain(error)) from None
            raise

    async def _was_done(self) -> bool:
        """Tell whether an earlier try has succeeded without our knowing."""
        job = self._job
        if job.target:
            if await self._was_renamed(PurePosixPath(job.target)):
                return True
            await self._use_another_name()
        if job.unsure:
            for name in final_names(self._final, self._file.id):
                size = await self._looker.size(name)
                if size is None:
                    break
                if size == self._file.size and await self._take_over(name):
                    return True
        return False

    async def _was_renamed(self, target: PurePosixPath) -> bool:
        looker, file = self._looker, self._file
        if await looker.size(self._temporary) is not None:
            return False
        if await looker.size(target) != file.size:
            return False
        same = await looker.is_ours(target, file, self._hash)
        if same is None:
            # A checksum speaks against others' bytes at least; without one the size must do.
            same = await looker.same_hash(target, file, self._hash)
        return same is not False

    async def _use_another_name(self) -> None:
        """Leave nothing to a rename that the archive may carry out late."""
        await self._remove(self._temporary)
        self._job.renames += 1
        self._temporary = temporary_name(self._final, self._file.id, self._job.renames)
        await self._means.mark(self._job, State.PENDING)

    async def _take_over(self, name: PurePosixPath) -> bool:
        """Count a file that is there as ours, if it provably has our bytes."""
        claims, file = self._means.claims, self._file
        if not claims.take(str(name), file.id):
            return False
        if not await self._looker.is_ours(name, file, self._hash):
            claims.give_back(str(name), file.id)
            return False
        await self._remove(self._temporary)
        self._means.aim(self._job, str(name))
        return True

    async def _upload(self, copy: BinaryIO) -> None:
        await self._client.ensure_folder(self._final.parent)
        if self._job.unsure and await self._is_uploaded():
            return
        try:
            await self._store(copy)
            await self._verify(self._temporary)
        except ArchiveRefusal:
            await self._let_go_of(self._temporary)
            raise

    async def _store(self, copy: BinaryIO) -> None:
        begun = time.monotonic()
        size, means = self._file.size, self._means
        try:
            with self._judged():
                await store(self._client, means.threads, self._temporary, copy, size, means.sent)
        except aioftp.StatusCodeError:
            # What came until then takes room: on an archive that is full, partial files of several
            # workers would keep all of them out.
            await self._clean_up()
            raise
        self._tell("forwarded", seconds=time.monotonic() - begun)

    async def _is_uploaded(self) -> bool:
        """Look for what an earlier try has left; without a hash it is not worth believing."""
        size = await self._looker.size(self._temporary)
        if size is None:
            return False
        if size == self._file.size and await self._looker.same_hash(
            self._temporary, self._file, self._hash
        ):
            return True
        # Some servers refuse to write to a file that is there.
        await self._remove(self._temporary)
        return False

    async def _verify(self, path: PurePosixPath) -> None:
        """Compare with what is on the archive; ArchiveRefusal if it is not what was sent."""
        size, read_back = self._file.size, self._means.archive.verify == "read-back"
        there = await self._looker.size(path)
        if there != size:
            got = "no file" if there is None else f"{there} bytes"
            raise ArchiveRefusal(f"expected {size} bytes on the archive, got {got}")
        by, same = "hash", None
        if not read_back:
            same = await self._looker.same_hash(path, self._file, self._hash)
        if same is None and (read_back or self._looker.offer is not None):
            by, same = "read-back", await self._looker.same_bytes(path, self._file)
        if same is None and read_back:
            raise ArchiveRefusal("the archive does not let us read the file back")
        if same is False:
            raise ArchiveRefusal("expected the bytes that were sent on the archive, got others")
        self._tell("verified", by="size" if same is None else by, seconds=self._seconds())

    async def _give_final_name(self) -> None:
        name = await self._choose()
        if name is None:
            return
        await self._means.mark(self._job, State.RENAMING, str(name))
        try:
            with self._judged():
                await self._client.move(self._temporary, name)
            there = await self._looker.size(name)
            if there != self._file.size:
                # It was ours a moment ago: nobody shall take it for the whole file.
                await self._let_go_of(name)
                got = "no file" if there is None else f"{there} bytes"
                raise ArchiveRefusal(f"expected {self._file.size} bytes after RNTO, got {got}")
        except ArchiveRefusal:
            self._job.names_refused += 1
            self._means.aim(self._job, "")
            raise

    async def _choose(self) -> PurePosixPath | None:
        """Claim a name that is free on the archive; None if the file turns out to be there."""
        claims, file = self._means.claims, self._file
        refused = int(self._job.names_refused >= NAME_REFUSALS)
        for name in islice(final_names(self._final, file.id), refused, None):
            if not claims.take(str(name), file.id):
                continue
            size = await self._looker.size(name)
            if size is None:
                return name
            claims.give_back(str(name), file.id)
            if size == file.size and await self._take_over(name):
                return None
        raise ArchiveRefusal(f"expected a free name for {file.name} on the archive, got none")

    async def _remove(self, path: PurePosixPath) -> None:
        """Remove what is ours on the archive, if it is there and we may."""
        for _ in range(2):
            # An archive says no to what is not there, to what it forbids, and when in trouble.
            if await self._client.delete(path) or await self._looker.size(path) is None:
                return
        logger.warning("the archive does not let us remove %s", path)

    async def _let_go_of(self, path: PurePosixPath) -> None:
        """Remove what was refused; whatever the archive says, that it was refused matters more."""
        with suppress(aioftp.StatusCodeError):
            await self._remove(path)

    async def _clean_up(self) -> None:
        """Remove the temporary file if that works; the session is given up after this."""
        with suppress(OSError, ValueError, aioftp.AIOFTPException):
            await self._remove(self._temporary)

    def _seconds(self) -> float:
        return time.monotonic() - self._begun

    def _tell(self, step: str, **facts: object) -> None:
        lives.tell(step, **self._file.facts, **facts)
