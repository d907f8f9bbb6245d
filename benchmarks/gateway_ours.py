"""The gateway to be timed: `python -m benchmarks.gateway_ours FOLDER`, told what to do.

It is the gateway alone: nobody waits for the files but the archive.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from pathlib import Path

from benchmarks.records_process import Handler, obey
from tosip.gateway import ArchiveSettings, Gateway, GatewaySettings, Limits, Users, hash_password

CAMERAS = tuple(f"cam{number:02}" for number in range(1, 17))
PASSWORD = "a password of the hour"


def settings(
    spool: Path, archive_port: int, user: str = "nobody", password: str = ""
) -> GatewaySettings:
    """Return the defaults, but without a watermark, and with an archive on this machine."""
    hashed = hash_password(PASSWORD, cost=2)
    return GatewaySettings(
        users=Users(dict.fromkeys(CAMERAS, hashed)),
        spool=spool,
        port=0,
        archive=ArchiveSettings(
            host="127.0.0.1", port=archive_port, user=user, password=password, first_delay=0.2
        ),
        limits=Limits(free_space=0),
    )


class Ours:
    """What the process can be told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._gateway: Gateway | None = None
        self._moved = asyncio.Event()

    async def start(
        self, *, archive_port: int, user: str, password: str, paused: bool, hung: bool = False
    ) -> int:
        """Begin with an empty spool; return the port. `hung`: with a pipeline that does nothing."""
        spool = self._folder / "spool"
        made = settings(spool, archive_port, user, password)
        gateway = Gateway(made, on_change=lambda _: self._moved.set())
        if hung:
            gateway.on_stored = lambda _file, _received: None
        await gateway.start()
        gateway.pause(paused)
        self._gateway = gateway
        return gateway.port

    async def stop(self) -> None:
        """End, and remove the spool."""
        if self._gateway is not None:
            await self._gateway.stop()
        await asyncio.to_thread(shutil.rmtree, self._folder / "spool")

    async def forward(self) -> float:
        """Let everything go to the archive; return how many seconds that took."""
        gateway = self._gateway
        if gateway is None:
            raise RuntimeError("expected a running gateway, got none")
        begun = time.monotonic()
        gateway.pause(False)
        while gateway.counters.pending:
            self._moved.clear()
            await asyncio.wait_for(self._moved.wait(), 60)
        return time.monotonic() - begun

    async def pending(self) -> int:
        """Return how many files wait."""
        return 0 if self._gateway is None else self._gateway.counters.pending


if __name__ == "__main__":
    ours = Ours(Path(sys.argv[1]))
    handlers: dict[str, Handler] = {
        "start": ours.start,
        "stop": ours.stop,
        "forward": ours.forward,
        "pending": ours.pending,
    }
    asyncio.run(obey(handlers))
