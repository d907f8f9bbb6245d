"""What a worker process may take, and what it finds when it starts.

Niceness and processors are the worker's own doing, before it loads NumPy, whose threads are as many
as the processors that it sees then; environment and folder come with the start of the process. An
IOC has threads: nothing of ours runs between its fork and the worker's exec.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tosip.errors import ConfigurationError
from tosip.pipeline.environment import environment

NICEST = 19


@dataclass(frozen=True)
class Limits:
    """The limits of each worker of a plugin.

    `memory_mib` is for the worker's own memory, without the frames that it shares and without its
    children's; None is no limit. `nice` adds to the IOC's own niceness. No `cpus` are all that the
    IOC has. `environment` comes on top of the IOC's.
    """

    memory_mib: int | None = None
    nice: int = 0
    cpus: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    folder: Path | None = None

    def check(self, owner: str) -> None:
        """Refuse what this machine cannot give; ConfigurationError names `owner` and all keys."""
        faults = [f"{owner}.limits.{fault}" for fault in self._faults()]
        if faults:
            raise ConfigurationError("; ".join(faults))

    def _faults(self) -> list[str]:
        faults = []
        if self.memory_mib is not None and self.memory_mib < 1:
            faults.append(f"memory_mib: expected at least 1, got {self.memory_mib}")
        if not 0 <= self.nice <= NICEST:
            faults.append(f"nice: expected 0 to {NICEST}, got {self.nice}")
        there = os.sched_getaffinity(0)
        missing = sorted(set(self.cpus) - there)
        if missing:
            faults.append(f"cpus: expected some of {_ranges(there)}, got {_ranges(missing)}")
        for name, value in self.environment.items():
            if not name or "=" in name or "\0" in name + value:
                faults.append(f"environment: expected a name and a text, got {name!r}: {value!r}")
        if self.folder is not None and not self.folder.is_dir():
            faults.append(f"folder: expected a folder, got {self.folder}")
        elif self.folder is not None and not os.access(self.folder, os.X_OK):
            faults.append(f"folder: expected one that may be entered, got {self.folder}")
        return faults

    def arguments(self) -> list[str]:
        """Write down what the worker's bootstrap reads: its niceness and its processors."""
        return [str(self.nice), ",".join(str(number) for number in sorted(self.cpus))]

    def in_environment(self) -> dict[str, str]:
        """Return the whole environment of the worker."""
        return environment(**self.environment)


NO_LIMITS = Limits()


def _ranges(numbers: set[int] | list[int]) -> str:
    """Write numbers shortly: `0-3, 8`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(str(end) for end in run) for run in runs)
