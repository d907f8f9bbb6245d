"""The judge: what cameras were promised, against what archive, pipeline and counters have.

Called when everything is up again and drained. A file that was acknowledged stands on the archive
once, byte for byte, under its name (or, where another file has that, under its name with the id),
and the pipeline has written it down. Nothing else stands there but files that were sent whole by a
camera that could not read the reply. The counters balance and count each acknowledged upload.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tests.gateway.faults.ledger import Attempt, Ending
from tests.gateway.faults.plant import Plant
from tosip.gateway.digest import new_digest

_SHOWN = 12


@dataclass(frozen=True)
class _Archived:
    name: str
    digest: str
    size: int


def judge(plant: Plant) -> list[str]:
    """Return what is wrong, a sentence each; empty when the promise was kept."""
    archived = [_read(plant.root, path) for path in plant.archived()]
    faults = [
        *plant.ledger.wrongs,
        *_archive_faults(plant, archived),
        *_pipeline_faults(plant),
        *_counter_faults(plant),
    ]
    faults += [f"a temporary file is left on the archive: {p.name}" for p in plant.temporaries()]
    return faults


def assert_kept(plant: Plant) -> None:
    """Fail with all that is wrong."""
    faults = judge(plant)
    shown = "\n".join(faults[:_SHOWN])
    assert not faults, f"{len(faults)} faults ({plant.ledger.counts()}):\n{shown}"


def _read(root: Path, path: Path) -> _Archived:
    digest, size = new_digest(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return _Archived(str(path.relative_to(root)), digest.hexdigest(), size)


def _archive_faults(plant: Plant, archived: list[_Archived]) -> list[str]:
    there: dict[str, list[_Archived]] = {}
    for file in archived:
        there.setdefault(file.digest, []).append(file)
    faults = []
    for attempt in plant.ledger.acknowledged:
        copies = there.get(attempt.digest, [])
        if not any(_is_name_of(copy.name, attempt) for copy in copies):
            faults.append(f"{attempt.names} was acknowledged and is not on the archive: {copies}")
    counted = Counter((file.digest, _plain(file.name)) for file in archived)
    faults += [
        f"{count} copies are on the archive: {[copy.name for copy in there[digest]]}"
        for (digest, _), count in counted.items()
        if count > 1
    ]
    possible = _sent_whole(plant)
    faults += [
        f"{file.name} ({file.size} bytes) is on the archive, and nobody has sent it so"
        for file in archived
        if not any(_is_name_of(file.name, attempt) for attempt in possible.get(file.digest, ()))
    ]
    return faults


def _sent_whole(plant: Plant) -> dict[str, list[Attempt]]:
    """Return what may be there: the acknowledged, and what nobody has read the reply to."""
    sent: dict[str, list[Attempt]] = {}
    for ending in (Ending.ACKNOWLEDGED, Ending.UNKNOWN):
        for attempt in plant.ledger.ended(ending):
            sent.setdefault(attempt.digest, []).append(attempt)
    return sent


def _is_name_of(archived: str, attempt: Attempt) -> bool:
    return archived in attempt.names or _plain(archived) in attempt.names


def _plain(archived: str) -> str:
    """Return a name on the archive without the id that tells it from another file's."""
    path = PurePosixPath(archived)
    return str(path.with_name(re.sub(r"~[^.]*", "", path.name)))


def _pipeline_faults(plant: Plant) -> list[str]:
    recorded = plant.recorded()
    faults = [
        f"the pipeline got other bytes than were received: {line}"
        for line in recorded
        if line["digest"] != line["claimed"]
    ]
    seen = {line["digest"] for line in recorded}
    faults += [
        f"{attempt.names} was acknowledged and the pipeline has not got it"
        for attempt in plant.ledger.acknowledged
        if attempt.digest not in seen
    ]
    possible = _sent_whole(plant)
    faults += [
        f"the pipeline got {line['name']}, and nobody has sent it so"
        for line in recorded
        if line["digest"] not in possible
    ]
    return faults


def _counter_faults(plant: Plant) -> list[str]:
    totals = plant.totals()
    uploads = len(plant.ledger.acknowledged) - plant.ledger.renames
    most = uploads + len(plant.ledger.ended(Ending.UNKNOWN))
    faults = []
    if not totals.balanced:
        faults.append(f"the counters do not balance: {totals}")
    if totals.pending or totals.dead or totals.discarded:
        faults.append(f"expected all files delivered: {totals}")
    if not uploads <= totals.acknowledged <= most:
        faults.append(f"expected {uploads} to {most} files acknowledged: {totals}")
    if totals.delivered + totals.duplicates != totals.acknowledged:
        faults.append(f"expected each file delivered or a duplicate: {totals}")
    return faults


def announced_twice(plant: Plant) -> list[str]:
    """Return the ids that the pipeline got more than once: none unless the gateway was killed."""
    counted = Counter(line["id"] for line in plant.recorded())
    return [file_id for file_id, count in counted.items() if count > 1]
