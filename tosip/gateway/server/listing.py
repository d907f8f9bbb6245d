"""Lists of the user's own files, as `ls -l` shows them, as names, or as facts (RFC 3659).

Names are virtual paths; a folder is there as long as a name lies in it. Nothing here blocks, but
long lists take a while: format them in a thread.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tosip.gateway.spool.names import NameFacts

HALF_YEAR = 182 * 86400.0
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


@dataclass(frozen=True)
class Line:
    """One thing in a folder; sizes in bytes, `modified` is Unix time."""

    name: str
    size: int
    modified: float
    folder: bool = False

    def long(self, user: str, now: float) -> str:
        """Return a line of `ls -l`, in UTC."""
        mode = "drwxr-xr-x" if self.folder else "-rw-r-----"
        owner = user.replace(" ", "_")
        date = _date(self.modified, now)
        return f"{mode} 1 {owner:<8} {owner:<8} {self.size:>12} {date} {self.name}"

    def facts(self, wanted: Iterable[str]) -> str:
        """Return a line of MLSD."""
        known = {
            "type": "dir" if self.folder else "file",
            "size": "" if self.folder else str(self.size),
            "modify": timestamp(self.modified),
        }
        told = (f"{fact}={known[fact]};" for fact in wanted if known[fact])
        return f"{''.join(told)} {self.name}"


def timestamp(moment: float) -> str:
    """Return a Unix time as MDTM tells it."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(moment))


def of_file(facts: NameFacts) -> Line:
    """Return the line of one file, with the last part of its name."""
    return Line(facts.name.rpartition("/")[2], facts.size, facts.modified)


def in_folder(known: Iterable[NameFacts], folder: Sequence[str], pattern: str = "*") -> list[Line]:
    """Return what lies in a folder and matches the pattern, in the order of names."""
    return sorted(
        (line for line in _all(known, folder) if fnmatch.fnmatchcase(line.name, pattern)),
        key=lambda line: line.name,
    )


def is_folder(known: Iterable[NameFacts], folder: Sequence[str]) -> bool:
    """Tell whether a name lies in this folder; the root is always one."""
    start = "".join(f"{part}/" for part in folder)
    return not start or any(facts.name.startswith(start) for facts in known)


def _all(known: Iterable[NameFacts], folder: Sequence[str]) -> Iterator[Line]:
    start = "".join(f"{part}/" for part in folder)
    folders: dict[str, float] = {}
    for facts in known:
        if not facts.name.startswith(start):
            continue
        name, slash, _ = facts.name[len(start) :].partition("/")
        if slash:
            folders[name] = max(folders.get(name, 0.0), facts.modified)
        else:
            yield of_file(facts)
    for name, modified in folders.items():
        yield Line(name, 0, modified, folder=True)


def _date(moment: float, now: float) -> str:
    when = time.gmtime(moment)
    recent = 0 <= now - moment < HALF_YEAR
    last = f"{when.tm_hour:02}:{when.tm_min:02}" if recent else f"{when.tm_year:5}"
    # Not strftime: clients expect English, whatever the gateway's locale is.
    return f"{MONTHS[when.tm_mon - 1]} {when.tm_mday:2} {last}"
