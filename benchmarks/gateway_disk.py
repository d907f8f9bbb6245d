"""What bounds a durable gateway: the disk, and the hash of every byte."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from blake3 import blake3

from benchmarks.timing import block, in_turns, medians, table

_BLOCK = 1 << 20
_ROUNDS = 5
_HASHES: dict[str, Callable[[], Any]] = {
    "blake3": blake3,
    "sha256": hashlib.sha256,
    "blake2b": hashlib.blake2b,
    "sha1": hashlib.sha1,
}


def write_durably(folder: Path, size: int, at_once: int) -> list[float]:
    """Write so many files at once, each synced when it is whole; seconds for all of them."""
    data = memoryview(os.urandom(_BLOCK))
    together = threading.Barrier(at_once + 1)

    def write(number: int) -> None:
        descriptor = os.open(folder / f"disk{number}", os.O_CREAT | os.O_WRONLY, 0o600)
        together.wait()
        for start in range(0, size, _BLOCK):
            os.write(descriptor, data[: min(_BLOCK, size - start)])
        os.fdatasync(descriptor)
        os.close(descriptor)

    with ThreadPoolExecutor(at_once) as threads:
        running = [threads.submit(write, number) for number in range(at_once)]
        together.wait()
        begun = time.monotonic()
        for one in running:
            one.result()
        taken = time.monotonic() - begun
    for number in range(at_once):
        (folder / f"disk{number}").unlink()
    return [taken]


def hashes(size: int) -> dict[str, float]:
    """Time each hash over `size` bytes in blocks as they are received; seconds, and a table."""
    data = memoryview(os.urandom(size))

    def way(new: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            digest = new()
            for start in range(0, size, _BLOCK):
                digest.update(data[start : start + _BLOCK])
            digest.digest()

        return run

    taken = medians(in_turns({name: block(way(new)) for name, new in _HASHES.items()}, _ROUNDS))
    table(
        f"Hashes of {size / 2**20:.0f} MiB, one thread",
        ("hash", "ms", "MB/s"),
        [(name, f"{1e3 * each:.1f}", f"{1e-6 * size / each:.0f}") for name, each in taken.items()],
    )
    return taken
