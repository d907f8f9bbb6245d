"""The client that times updates: `python -m benchmarks.records_client`, over Channel Access.

What counts is the age of an update's time stamp when the client's function is called with it.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import Any

import aioca

from benchmarks.records_process import obey


class Client:
    """Monitors PVs, and keeps the age of each update."""

    def __init__(self) -> None:
        self._monitors: list[Any] = []
        self._ages: dict[str, list[float]] = defaultdict(list)

    async def watch(self, names: list[str]) -> None:
        """Monitor `names` and nothing else; returns when each has given its value."""
        for monitor in self._monitors:
            monitor.close()
        await aioca.connect(names, timeout=30)
        self._monitors = aioca.camonitor(
            names, self._updated, format=aioca.FORMAT_TIME, all_updates=True
        )
        while len(self._ages) < len(names):
            await asyncio.sleep(0.05)
        self._ages.clear()

    async def take(self, settle: float = 0.5) -> dict[str, list[float]]:
        """Give all ages since the last time, in seconds, in order."""
        await asyncio.sleep(settle)
        ages, self._ages = dict(self._ages), defaultdict(list)
        return ages

    def _updated(self, value: Any, _index: int) -> None:
        self._ages[value.name].append(time.time() - value.timestamp)


def main() -> None:
    """Obey until standard input ends."""
    client = Client()
    asyncio.run(obey({"watch": client.watch, "take": client.take}))


if __name__ == "__main__":
    main()
