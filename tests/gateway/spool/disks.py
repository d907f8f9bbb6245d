"""Disks that count, fail or kill, to put in the place of the real one."""

import os
import signal
from pathlib import Path

from tosip.gateway.spool.disk import Disk


class SteppedDisk(Disk):
    """The real disk; `step` hears of each change before it is made."""

    def __init__(self) -> None:
        self.paths: dict[int, Path] = {}
        self.clock = 0.0

    def step(self, name: str, path: Path) -> None:
        """To be overridden: raise, and the change is not made."""

    def now(self) -> float:
        return super().now() + self.clock

    def make_folder(self, path: Path) -> None:
        self.step("make_folder", path)
        super().make_folder(path)

    def create(self, path: Path) -> int:
        self.step("create", path)
        fd = super().create(path)
        self.paths[fd] = path
        return fd

    def open(self, path: Path) -> int:
        self.step("open", path)
        fd = super().open(path)
        self.paths[fd] = path
        return fd

    def close(self, fd: int) -> None:
        path = self.paths.pop(fd)
        super().close(fd)
        self.step("close", path)

    def write(self, fd: int, block: memoryview, offset: int) -> int:
        self.step("write", self.paths[fd])
        return super().write(fd, block, offset)

    def truncate(self, fd: int, size: int) -> None:
        self.step("truncate", self.paths[fd])
        super().truncate(fd, size)

    def allocate(self, fd: int, size: int) -> None:
        self.step("allocate", self.paths[fd])
        super().allocate(fd, size)

    def start_writing(self, fd: int, offset: int, count: int) -> None:
        self.step("start_writing", self.paths[fd])
        super().start_writing(fd, offset, count)

    def sync(self, fd: int) -> None:
        self.step("sync", self.paths[fd])
        super().sync(fd)

    def sync_folder(self, path: Path) -> None:
        self.step("sync_folder", path)
        super().sync_folder(path)

    def rename(self, old: Path, new: Path) -> None:
        self.step("rename", new)
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        self.step("unlink", path)
        super().unlink(path)


class RecordingDisk(SteppedDisk):
    """Remembers what was done, as `sync_folder files` or `rename files/*.json`."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []

    def step(self, name: str, path: Path) -> None:
        star = "*" + path.suffix
        where = path.name if name == "sync_folder" else f"{path.parent.name}/{star}"
        self.steps.append(f"{name} {where}")

    def count(self, name: str) -> int:
        return sum(step.split()[0] == name for step in self.steps)


class FailingDisk(SteppedDisk):
    """Fails the n-th step from now on, or all from there when it is `broken`; then it is whole."""

    def __init__(self) -> None:
        super().__init__()
        self.heal()

    def fail(self, number: int, code: int, *, broken: bool = False) -> None:
        self.countdown, self.code, self.broken, self.failed = number, code, broken, ""

    def heal(self) -> None:
        self.countdown, self.code, self.broken, self.failed = -1, 0, False, ""

    def step(self, name: str, path: Path) -> None:
        if self.countdown == 0:
            self.failed = self.failed or name
            if not self.broken:
                self.countdown = -1
            raise OSError(self.code, os.strerror(self.code), str(path))
        self.countdown -= 1


class KillingDisk(SteppedDisk):
    """Kills its process before the n-th step from when it was armed."""

    def __init__(self) -> None:
        super().__init__()
        self.countdown = -1

    def arm(self, number: int) -> None:
        self.countdown = number

    def step(self, name: str, path: Path) -> None:
        if self.countdown == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.countdown -= 1
