"""The files that wait for the archive; picking one costs the same however many there are."""

from __future__ import annotations

import bisect
import heapq
import itertools
from collections import deque
from dataclasses import dataclass

from tosip.gateway.spool.stored import Entry, StoredFile

# No name on the archive has it, because FTP cannot say it.
BETWEEN = "\n"


@dataclass(eq=False)
class Job:
    """A file to deliver.

    `target` is set while its rename may have been done; `renames` counts renames before that of
    which nobody knows, because the archive may carry them out yet; `names_refused` counts final
    names that it refused. `unsure` means that an earlier try may have left something on the
    archive; `hiccups` counts tries that failed while other files passed. `failed_at` is how many
    files had passed when it failed last, `doubted_at` how many when doubts about it began: those
    that pass from then on speak against it.
    """

    file: StoredFile
    target: str = ""
    refusals: int = 0
    renames: int = 0
    names_refused: int = 0
    unsure: bool = True
    forgotten: bool = False
    hiccups: int = 0
    failed_at: int = -1
    doubted_at: int = -1

    @classmethod
    def of(cls, entry: Entry) -> Job:
        """Return the job that an entry of the spool asks for."""
        target, _, renames = entry.target.partition(BETWEEN)
        return cls(entry.file, target, entry.refusals, int(renames or 0))

    def to_record(self, target: str) -> str:
        """Return what the journal keeps beside the state: the target, and `renames` if any."""
        return f"{target}{BETWEEN}{self.renames}" if self.renames else target

    def __lt__(self, other: Job) -> bool:
        return (self.file.received, self.file.id) < (other.file.received, other.file.id)


class Jobs:
    """Jobs that are ready (in the order received), delayed until a time, or parked.

    Parked are those that failed by the archive's fault: others are tried before them, so that one
    file that the archive chokes on does not stand for all.
    """

    def __init__(self) -> None:
        self._all: dict[str, Job] = {}
        self._ready: list[Job] = []
        self._delayed: list[tuple[float, int, Job]] = []
        self._parked: deque[Job] = deque()
        self._failed: set[str] = set()
        self._serial = itertools.count()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def failed(self) -> int:
        """How many of them have failed."""
        return len(self._failed)

    def add(self, job: Job) -> None:
        """Take in a new job; one that is known already goes on as it is."""
        if job.file.id not in self._all:
            self._all[job.file.id] = job
            bisect.insort(self._ready, job)

    def forget(self, file_id: str) -> None:
        """Drop a job, also while it is being delivered."""
        self._failed.discard(file_id)
        if (job := self._all.pop(file_id, None)) is not None:
            job.forgotten = True

    def take(self, now: float, *, newest: bool) -> Job | None:
        """Hand out the newest or oldest job that is ready, else one that is parked."""
        while self._delayed and self._delayed[0][0] <= now:
            self._make_ready(heapq.heappop(self._delayed)[2])
        while self._ready:
            job = self._ready.pop(-1 if newest else 0)
            if not job.forgotten:
                return job
        while self._parked:
            job = self._parked.popleft()
            if not job.forgotten:
                return job
        return None

    def following(self, *, newest: bool) -> Job | None:
        """Return, without handing it out, the job that is next if nothing else comes."""
        job = self._ready[-1 if newest else 0] if self._ready else None
        return None if job is None or job.forgotten else job

    def put_back(self, job: Job) -> None:
        """Give a job back as it was."""
        self._make_ready(job)

    def delay(self, job: Job, until: float) -> None:
        """Give a job back that failed, for later."""
        if not job.forgotten:
            self._failed.add(job.file.id)
            heapq.heappush(self._delayed, (until, next(self._serial), job))

    def park(self, job: Job) -> None:
        """Give a job back that failed by the archive's fault."""
        if not job.forgotten:
            self._failed.add(job.file.id)
            self._parked.append(job)

    def unpark(self) -> list[Job]:
        """Hand out all parked jobs: the archive works again."""
        jobs = [job for job in self._parked if not job.forgotten]
        self._parked.clear()
        return jobs

    def hurry(self) -> None:
        """Make all delayed jobs ready."""
        delayed, self._delayed = self._delayed, []
        for _, _, job in delayed:
            self._make_ready(job)

    @property
    def next_due(self) -> float | None:
        """When the first delayed job is due."""
        return self._delayed[0][0] if self._delayed else None

    def _make_ready(self, job: Job) -> None:
        if not job.forgotten:
            bisect.insort(self._ready, job)
