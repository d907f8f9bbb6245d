"""What a worker's algorithm may start and leave behind, each kind by other means.

`Family` runs in the worker, where this file is beside the algorithm's; `Watch` in the test.
"""

import multiprocessing
import os
import select
import subprocess
import time
from collections.abc import Iterable
from multiprocessing import resource_tracker, shared_memory
from pathlib import Path

STUBBORN = ["sh", "-c", "trap '' HUP INT TERM; exec sleep 600"]


class Family:
    """Processes that stay, and names in /dev/shm."""

    def __init__(self) -> None:
        spawn, fork = multiprocessing.get_context("spawn"), multiprocessing.get_context("fork")
        hang = [each.Process(target=time.sleep, args=(600,)) for each in (spawn, fork)]
        for process in hang:
            process.start()
        children = [
            subprocess.Popen(["sleep", "600"]),
            subprocess.Popen(["sleep", "600"], process_group=0),
            subprocess.Popen(STUBBORN, start_new_session=True),
        ]
        self.lock = spawn.Lock()
        self.memory = shared_memory.SharedMemory(create=True, size=1000)
        tracker = vars(resource_tracker._resource_tracker)["_pid"]
        self.pids = [
            os.getpid(),
            daemon(),
            tracker,
            *(c.pid for c in children),
            *(p.pid for p in hang),
        ]
        self.names = [vars(self.lock)["_semlock"].name, self.memory.name]

    def __str__(self) -> str:
        return " ".join(map(str, [*self.pids, *self.names]))


def daemon() -> int:
    """Start a process that has left its parent, session and descriptors, with no environment."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            os.write(writer, str(os.getpid()).encode())
            os.closerange(0, 1000)
            os.execve("/bin/sleep", ["sleep", "600"], {})
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with open(reader) as pid:
        return int(pid.read(10))


class Watch:
    """Waits for the end of processes that are alive now."""

    def __init__(self, said: str) -> None:
        self.pids = [int(word) for word in said.split() if word.isdigit()]
        self.names = [Path("/dev/shm", w.lstrip("/")) for w in said.split() if not w.isdigit()]
        self._watched = {os.pidfd_open(pid): pid for pid in self.pids}
        assert all(name.exists() for name in self._shared())

    def _shared(self) -> list[Path]:
        # A semaphore's file has another name than the semaphore.
        return [
            n if n.name.startswith("psm_") else n.with_name(f"sem.{n.name}") for n in self.names
        ]

    def left(self) -> list[int]:
        """Return the numbers of those that have not ended."""
        ended = self._wait(self._watched, 0.0)
        return [pid for descriptor, pid in self._watched.items() if descriptor not in ended]

    @staticmethod
    def _wait(descriptors: Iterable[int], seconds: float) -> set[int]:
        """Wait until one of the processes ends and return those that have; not by `select`, which
        takes no descriptor above 1023."""
        poller = select.poll()
        for descriptor in descriptors:
            poller.register(descriptor, select.POLLIN)
        return {descriptor for descriptor, _ in poller.poll(1000 * seconds)}

    def wait(self, limit: float = 20.0) -> None:
        """Wait until all have ended."""
        began = time.monotonic()
        while left := self.left():
            rest = began + limit - time.monotonic()
            if rest <= 0:
                break
            self._wait([d for d, pid in self._watched.items() if pid in left], rest)
        assert not self.left(), [Path(f"/proc/{p}/cmdline").read_bytes() for p in self.left()]
        assert not [name for name in self._shared() if name.exists()]

    def close(self) -> None:
        for descriptor in self._watched:
            os.close(descriptor)
