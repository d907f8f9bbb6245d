"""A depot: a spool and a forwarder on an event loop in a thread, for tests that read downwards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from tests.gateway.forwarding.hostile_archive import HostileArchive
from tosip.gateway.digest import new_digest
from tosip.gateway.forwarding.forwarder import ArchiveState, Forwarder
from tosip.gateway.settings import ArchiveSettings
from tosip.gateway.spool.spool import Description, Spool
from tosip.gateway.spool.stored import Entry, State, StoredFile
from tosip.gateway.threads import Threads

PATIENCE = 15.0
USER, PASSWORD = "gateway", "batt3ry staple"

T = TypeVar("T")


class Depot:
    """Everything one test needs; `close` ends all of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = Spool(folder)
        self.changed = threading.Condition()
        self.delivered: list[StoredFile] = []
        self.errors: list[str] = []
        self.states: list[ArchiveState] = []
        self.archives: list[HostileArchive] = []
        # A test that uses the forwarder before it was started deserves its AttributeError.
        self.forwarder: Any = None
        self.threads: Threads | None = None
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def do(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call something on the loop."""

        async def run() -> T:
            return function(*arguments)

        return self.call(run())

    def archive(self, host: str = "127.0.0.1", port: int = 0, **options: Any) -> HostileArchive:
        """Start an archive that can be told to misbehave."""
        archive = HostileArchive(USER, PASSWORD, **options)
        self.call(archive.start(host, port))
        self.archives.append(archive)
        return archive

    def start(self, archive: HostileArchive | int, **options: Any) -> None:
        """Start a forwarder to this archive or port."""
        facts: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": archive if isinstance(archive, int) else archive.port,
            "user": USER,
            "password": PASSWORD,
            "timeout": 5.0,
            "first_delay": 0.01,
            "longest_delay": 0.05,
        } | options
        self.threads = Threads(1)

        async def start() -> None:
            assert self.threads is not None
            self.forwarder = Forwarder(
                ArchiveSettings(**facts),
                self.spool,
                self.threads,
                on_delivered=self._delivered,
                on_change=self._changed,
            )
            for entry in self.spool.reconcile():
                self.forwarder.add(entry)
            self.forwarder.start()

        self.call(start())

    def stop(self) -> None:
        """Stop the forwarder, not the archives."""
        if self.forwarder is not None:
            self.call(self.forwarder.stop())
        if self.threads is not None:
            self.call(self.threads.close())
        self.forwarder = self.threads = None

    def close(self) -> None:
        try:
            self.stop()
            for archive in self.archives:
                self.call(archive.stop())
            self.spool.close()
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()

    def commit(self, name: str, data: bytes = b"data", user: str = "cam01") -> Entry:
        """Put a file into the spool, and give it to the forwarder if one runs."""
        partial = self.spool.begin()
        partial.write(data)
        digest = new_digest()
        digest.update(data)
        description = Description(name, user, len(data), digest.hexdigest(), True)
        entry = self.spool.commit(partial, description)
        self.spool.release(entry.file.id)
        if self.forwarder is not None:
            self.do(self.forwarder.add, entry)
        return entry

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that comes with a callback of the forwarder."""
        with self.changed:
            if not self.changed.wait_for(condition, PATIENCE):
                raise AssertionError(f"not so in time; errors: {self.errors[-5:]}")

    def until_delivered(self, count: int) -> None:
        self.until(lambda: len(self.delivered) >= count)

    def until_dead(self, count: int = 1) -> list[Entry]:
        self.until(lambda: len(self.spool.dead()) >= count)
        return self.spool.dead()

    def waiting(self) -> list[Entry]:
        """Return what the journal says is still to be delivered."""
        return [e for e in self.spool.reconcile() if e.state in (State.PENDING, State.RENAMING)]

    def _delivered(self, file: StoredFile) -> None:
        with self.changed:
            self.delivered.append(file)
            self.changed.notify_all()

    def _changed(self) -> None:
        with self.changed:
            self.errors.append(self.forwarder.last_error)
            self.states.append(self.forwarder.state)
            self.changed.notify_all()
