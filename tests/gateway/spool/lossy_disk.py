"""A disk that forgets what was not synced, as a power failure does.

It is the real disk, and keeps beside it what would be left after a power failure at this moment.
Bytes written since the last `sync` of their file may be there, be zeros, or not be there. Names
that were made, renamed or removed since the last `sync_folder` of their folder may be as before or
as now, each for itself; only a rename from one folder to another never loses the file altogether,
as on every file system with a journal. `crash` writes what is left to another folder.

SQLite's files do not pass here. `crash` takes them as they are, since a lasting transaction has
synced them, or drops them all.
"""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.gateway.spool.disks import SteppedDisk


class PowerFailure(BaseException):
    """The moment at which nothing more reaches the disk."""


@dataclass(eq=False)
class Content:
    """The bytes of a file: all that were written, and those that are sure to be on the disk."""

    current: bytearray = field(default_factory=bytearray)
    synced: bytes = b""

    def variants(self) -> list[bytes]:
        """What may be left, the least first."""
        kept = self.synced[: len(self.current)]
        zeros = kept + bytes(len(self.current) - len(kept))
        return [self.synced, zeros, bytes(self.current)]


@dataclass(eq=False)
class Naming:
    """A name that was given (or, without content, taken away) and is not synced yet.

    `after` is the other half of a rename, which must not be lost when this one is kept.
    """

    name: str
    content: Content | None
    after: "Naming | None" = None
    synced: bool = False


@dataclass(eq=False)
class Folder:
    """Names that are sure to be on the disk, and what was done with names since."""

    durable: dict[str, Content] = field(default_factory=dict)
    changes: list[Naming] = field(default_factory=list)
    synced: bool = False

    def find(self, name: str) -> Content | None:
        for change in reversed(self.changes):
            if change.name == name:
                return change.content
        return self.durable.get(name)

    def left(self, keeps: Callable[[Naming], bool]) -> dict[str, Content]:
        names = dict(self.durable)
        for change in self.changes:
            if change.synced or keeps(change):
                _apply(names, change)
        return names


class LossyDisk(SteppedDisk):
    """See the module's docstring; `root` is the spool's folder, which may exist.

    The power fails at the n-th step after `fail_after(n)`, or at the first one called `fail_at`.
    The syncs whose numbers are in `skip`, or that are called `skip_all`, are left out: they return
    without having synced.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.folders: dict[Path, Folder] = {}
        self.countdown = -1
        self.fail_at = ""
        self.dead = False
        self.syncs: list[str] = []
        self.skip: set[int] = set()
        self.skip_all = ""
        if root.exists():
            for path in [root, *(path for path in root.iterdir() if path.is_dir())]:
                self.folders[path] = Folder(
                    {
                        file.name: Content(bytearray(file.read_bytes()), file.read_bytes())
                        for file in path.iterdir()
                        if file.is_file() and path != root
                    },
                    synced=True,
                )

    def fail_after(self, steps: int) -> None:
        self.countdown = steps

    def come_back(self) -> None:
        """Go on after what was no power failure, but a kill: nothing is lost yet."""
        self.countdown, self.fail_at, self.dead = -1, "", False

    def step(self, name: str, path: Path) -> None:
        self.dead = self.dead or self.countdown == 0 or self.fail_at == name
        self.countdown -= 1
        if self.dead:
            raise PowerFailure(name)

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self.folders[path] = Folder()

    def create(self, path: Path) -> int:
        fd = super().create(path)
        if path.parent != self.root:
            self._change(path, Content())
        return fd

    def write(self, fd: int, block: memoryview, offset: int) -> int:
        count = super().write(fd, block, offset)
        current = self._content(fd).current
        current[offset : offset + count] = block[:count]
        return count

    def truncate(self, fd: int, size: int) -> None:
        super().truncate(fd, size)
        del self._content(fd).current[size:]

    def sync(self, fd: int) -> None:
        super().sync(fd)
        if self._reaches("sync", self.paths[fd]):
            content = self._content(fd)
            content.synced = bytes(content.current)

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        if self._reaches("sync_folder", path):
            for child, folder in self.folders.items():
                if child.parent == path:
                    folder.synced = True
            if path in self.folders:
                self._sync_names(self.folders[path])

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        if old.parent == self.root:
            return  # a journal that is put aside
        content = self.folders[old.parent].find(old.name)
        given = self._change(new, content)
        self._change(old, None, given)
        for fd, path in self.paths.items():
            if path == old:
                self.paths[fd] = new

    def unlink(self, path: Path) -> None:
        there = path.exists()
        super().unlink(path)
        if there and path.parent != self.root:
            self._change(path, None)

    def _content(self, fd: int) -> Content:
        path = self.paths[fd]
        content = self.folders[path.parent].find(path.name)
        assert content is not None
        return content

    def _change(self, path: Path, content: Content | None, after: Naming | None = None) -> Naming:
        change = Naming(path.name, content, after)
        self.folders[path.parent].changes.append(change)
        return change

    def _reaches(self, name: str, path: Path) -> bool:
        where = path.name if name == "sync_folder" else f"{path.parent.name}/*{path.suffix}"
        self.syncs.append(f"{name} {where}")
        return len(self.syncs) - 1 not in self.skip and self.syncs[-1] != self.skip_all

    @staticmethod
    def _sync_names(folder: Folder) -> None:
        for change in folder.changes:
            _apply(folder.durable, change)
            change.synced = True
            if change.after is not None:
                change.after.synced = True
        folder.changes.clear()

    def crash(
        self,
        target: Path,
        *,
        keeps: Callable[[Naming], bool],
        choose: Callable[[list[bytes]], bytes],
        journal: bool,
    ) -> Path:
        """Write what is left to a new folder, as `keeps`, `choose` and `journal` decide."""
        target.mkdir(parents=True)
        decided: dict[int, bool] = {}

        def kept(change: Naming) -> bool:
            if change.after is not None and not (change.after.synced or kept(change.after)):
                return False
            return decided.setdefault(id(change), keeps(change))

        for path, folder in self.folders.items():
            if path != self.root and folder.synced:
                (target / path.name).mkdir()
                for name, content in folder.left(kept).items():
                    (target / path.name / name).write_bytes(choose(content.variants()))
        if journal:
            for path in self.root.glob("journal.sqlite*"):
                if not path.name.endswith("-shm"):
                    shutil.copy(path, target)
        return target

    def worst(self, target: Path) -> Iterator[Path]:
        """Write what is left in each of the worst cases; `target` is where to."""
        numbers = iter(range(100))
        for names in (False, True):
            for least in (0, 1, -1):
                for journal in (False, True):
                    yield self.crash(
                        target / str(next(numbers)),
                        keeps=lambda change, names=names: names,  # type: ignore[misc]
                        choose=lambda variants, least=least: variants[least],  # type: ignore[misc]
                        journal=journal,
                    )

    def any_case(self, target: Path, dice: random.Random, *, journal: bool = True) -> Path:
        """Write what is left in a random case."""
        return self.crash(
            target,
            keeps=lambda change: dice.random() < 0.5,
            choose=dice.choice,
            journal=journal and dice.random() < 0.5,
        )


def _apply(names: dict[str, Content], change: Naming) -> None:
    if change.content is None:
        names.pop(change.name, None)
    else:
        names[change.name] = change.content
