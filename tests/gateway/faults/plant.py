"""A gateway and an archive that can be killed and started again, and what is left of it all."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.gateway.faults.camera import Camera
from tests.gateway.faults.ledger import Ledger
from tests.gateway.faults.victims import CAMERAS
from tosip.gateway.spool.stored import State, Totals
from tosip.gateway.spool.view import SpoolView
from tosip.testing.ioc import free_port
from tosip.testing.process import LinesProcess

PATIENCE = 20.0
DRAIN = 30.0
TEMPORARY = ".part"
ROOT = Path(__file__).parents[3]
_LIVING = (State.HELD, State.PENDING, State.RENAMING)


@dataclass
class Victim:
    """A process that was forked; `pid` is known before it is ready."""

    zygote: LinesProcess
    tag: int
    pid: int

    def ready(self) -> int | None:
        """Wait until it serves and return its port; None when it has ended before."""
        _, word, number = self.zygote.wait_line(f"is:{self.tag} ", PATIENCE).split()
        return int(number) if word == "ready" else None

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for the end and return the status."""
        return int(self.zygote.wait_line(f"is:{self.tag} ended", timeout).split()[2])

    def ended(self, within: float) -> bool:
        """Wait so long for its end."""
        try:
            self.wait(within)
        except TimeoutError:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it is there."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait()


class Plant:
    """Everything that a test of the whole needs; a context manager that leaves nothing running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool, self.root = folder / "spool", folder / "archive"
        self.record, self.log = folder / "record.jsonl", folder / "log"
        self.ledger = Ledger()
        self.port = 0
        self.archive_port = free_port()
        self.gateway: Victim | None = None
        self.archive: Victim | None = None
        self._tags = itertools.count(1)

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True)
        self._zygote = LinesProcess(
            [sys.executable, "-m", "tests.gateway.faults.zygote"], {"PYTHONPATH": str(ROOT)}
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for victim in (self.gateway, self.archive):
            if victim is not None:
                victim.signal(signal.SIGKILL)
        self._zygote.stop()

    # The gateway

    def fork_gateway(self, **facts: Any) -> Victim:
        """Begin to start a gateway; `Victim.ready` waits for it."""
        paths = {"spool": self.spool, "record": self.record, "log": self.log}
        words = {name: str(path) for name, path in paths.items()}
        return self._fork("gateway", archive_port=self.archive_port, **words, **facts)

    def start_gateway(self, **facts: Any) -> None:
        """Start the gateway, and expect that it serves."""
        self.gateway = self.fork_gateway(**facts)
        port = self.gateway.ready()
        assert port is not None, "\n".join(self.log_lines()[-20:])
        self.port = port

    def kill_gateway(self) -> None:
        """Kill it as a power switch does, but for the disk's cache."""
        if self.gateway is not None:
            self.gateway.kill()
        self.gateway = None

    def stop_gateway(self) -> None:
        """Let it end as it should."""
        if self.gateway is not None:
            self.gateway.signal(signal.SIGTERM)
            status = self.gateway.wait()
            assert status == 0, "\n".join(self.log_lines()[-20:])
        self.gateway = None

    # The archive

    def start_archive(self, **facts: Any) -> None:
        """Start the archive, on the port that it has always had."""
        facts |= {"root": str(self.root), "port": self.archive_port}
        self.archive = self._fork("archive", **facts)
        assert self.archive.ready() == self.archive_port

    def kill_archive(self) -> None:
        """Kill it."""
        if self.archive is not None:
            self.archive.kill()
        self.archive = None

    # Cameras

    def camera(self, number: int = 1) -> Camera:
        """Log a camera in."""
        return Camera(self.port, self.ledger, CAMERAS[number - 1])

    # What there is

    def totals(self) -> Totals:
        """Return the counts as the spool tells them to anybody."""
        return SpoolView(self.spool).totals()

    def unfinished(self) -> int:
        """Return how many files still have to be delivered."""
        return self.totals().pending

    def archived(self) -> list[Path]:
        """Return what stands on the archive under final names."""
        return [path for path in self._on_archive() if path.suffix != TEMPORARY]

    def temporaries(self) -> list[Path]:
        """Return what stands on the archive under temporary names."""
        return [path for path in self._on_archive() if path.suffix == TEMPORARY]

    def _on_archive(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.is_file()]

    def recorded(self) -> list[dict[str, Any]]:
        """Return what the pipeline has written down; a torn last line does not count."""
        lines = self.record.read_text().split("\n") if self.record.exists() else []
        return [json.loads(line) for line in lines[:-1]]

    def released(self) -> bool:
        """Whether nothing is left in the spool for archive or pipeline."""
        return all(path.suffix == ".json" for path in (self.spool / "files").iterdir())

    def log_lines(self) -> list[str]:
        """Return what the gateways have logged."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def until(
        self, condition: Callable[[], object], timeout: float = PATIENCE, what: str = ""
    ) -> None:
        """Wait for something in another process, which cannot notify us."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, what or "\n".join(self.log_lines()[-20:])
            time.sleep(0.02)

    def drain(self, timeout: float = DRAIN) -> None:
        """With everything up, wait until each file is delivered and released."""
        if self.totals().dead:
            SpoolView(self.spool).ask("retry", None)
            self.until(lambda: self.totals().dead == 0, timeout, "expected no dead letters")
        self.until(lambda: self.unfinished() == 0, timeout, "expected all files delivered")
        self.until(self.released, timeout, "expected all files released")

    def _fork(self, kind: str, **facts: Any) -> Victim:
        tag = next(self._tags)
        self._zygote.say(json.dumps({"tag": tag, "kind": kind, **facts}))
        pid = int(self._zygote.wait_line(f"born:{tag} ", PATIENCE).split()[1])
        return Victim(self._zygote, tag, pid)
