"""A pipeline that writes down what it has been given, durably, before it releases the file."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tosip.gateway import Gateway, StoredFile
from tosip.gateway.digest import new_digest
from tosip.gateway.receiving.memory import Received

SLOW = 0.2
BLOCK = 1 << 20


class Pipeline:
    """`how`: `well`, `slow`, `hung` (releases nothing), or `raising` (never knows of a file)."""

    def __init__(self, gateway: Gateway, record: Path, how: str) -> None:
        self._gateway, self._how = gateway, how
        self._loop = asyncio.get_running_loop()
        self._files: queue.Queue[tuple[StoredFile, Received | None]] = queue.Queue()
        self._record = os.open(record, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        threading.Thread(target=self._run, daemon=True).start()

    def stored(self, file: StoredFile, received: Received | None) -> None:
        """Be the gateway's `on_stored`."""
        if self._how == "raising":
            raise RuntimeError("a pipeline that fails at once")
        self._files.put((file, received))

    def _run(self) -> None:
        while True:
            file, received = self._files.get()
            if self._how == "slow":
                time.sleep(SLOW)
            digest, size = _look_at(file, received)
            self._write(file, digest, size)
            if self._how != "hung":
                self._loop.call_soon_threadsafe(self._gateway.release, file.id)

    def _write(self, file: StoredFile, digest: str, size: int) -> None:
        facts = {
            "id": file.id,
            "name": file.name,
            "size": size,
            "digest": digest,
            "claimed": file.digest,
        }
        os.write(self._record, (json.dumps(facts) + "\n").encode())
        os.fsync(self._record)


def _look_at(file: StoredFile, received: Received | None) -> tuple[str, int]:
    """Hash the bytes: from memory if they are there, else from the spool's copy."""
    if received is not None:
        digest, size = _hash(received.read_into)
        # A gateway that stops takes its memory back, at any moment.
        if size == file.size:
            return digest, size
    with file.path.open("rb") as copy:
        return _hash(lambda buffer, offset: copy.readinto(buffer))


def _hash(read_into: Callable[[memoryview, int], int]) -> tuple[str, int]:
    digest, size = new_digest(), 0
    buffer = memoryview(bytearray(BLOCK))
    while count := read_into(buffer, size):
        digest.update(buffer[:count])
        size += count
    return digest.hexdigest(), size
