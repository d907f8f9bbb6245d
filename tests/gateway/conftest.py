"""A site: a gateway and an archive on an event loop in a thread, used by blocking clients."""

import asyncio
import contextlib
import ftplib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tosip.gateway import (
    ArchiveSettings,
    Gateway,
    GatewayCounters,
    GatewaySettings,
    Limits,
    StoredFile,
    Users,
    hash_password,
)
from tosip.gateway.archive import ArchiveServer
from tosip.gateway.receiving.memory import Received
from tosip.testing.ioc import free_port

PASSWORD = "corr3ct horse"
ARCHIVE_PASSWORD = "batt3ry staple"
PATIENCE = 15.0

T = TypeVar("T")


class Site:
    """Everything one test needs; `stop` ends all of it."""

    def __init__(self, folder: Path, users: Users) -> None:
        self.spool, self.root = folder / "spool", folder / "archive"
        self.root.mkdir()
        self.users = users
        self.password = PASSWORD
        self.archive_password = ARCHIVE_PASSWORD
        self.stored: list[StoredFile] = []
        self.received: dict[str, Received | None] = {}
        self.archive: Any = None
        # A test that uses the gateway before it was started deserves its AttributeError.
        self.gateway: Any = None
        self.archive_port = free_port()
        self.changed = threading.Condition()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def settings(self, **limits: Any) -> GatewaySettings:
        options = {"bad_password_delay": 0.05, "free_space": 0} | limits
        return GatewaySettings(
            users=self.users,
            spool=self.spool,
            port=0,
            archive=ArchiveSettings(
                host="127.0.0.1",
                port=self.archive_port,
                user="gateway",
                password=ARCHIVE_PASSWORD,
                first_delay=0.05,
                longest_delay=0.2,
                timeout=5,
            ),
            limits=Limits(**options),
        )

    def start_archive(self, server: Callable[..., Any] = ArchiveServer) -> None:
        self.archive = server(self.root, "gateway", ARCHIVE_PASSWORD)
        self.call(self.archive.start("127.0.0.1", self.archive_port, limit=1 << 20))

    def stop_archive(self) -> None:
        if self.archive is not None:
            self.call(self.archive.close())
        self.archive = None

    def start_gateway(self, **limits: Any) -> None:
        self.start_with(self.settings(**limits))

    def start_with(self, settings: GatewaySettings) -> None:
        self.gateway = Gateway(settings, on_stored=self._stored, on_change=self._notify)
        self.call(self.gateway.start())

    def stop_gateway(self) -> None:
        if self.gateway is not None:
            self.call(self.gateway.stop())
            self._notify(None)

    def stop(self) -> None:
        try:
            self.stop_gateway()
            self.stop_archive()
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()

    def _stored(self, file: StoredFile, received: Received | None) -> None:
        self.stored.append(file)
        self.received[file.id] = received
        self._notify(None)

    def _notify(self, _: object) -> None:
        with self.changed:
            self.changed.notify_all()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something changed that makes the condition true."""
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), self.counters

    def until_delivered(self, count: int) -> None:
        self.until(lambda: self.counters.delivered == count)

    def release(self, file: StoredFile) -> None:
        self.loop.call_soon_threadsafe(self.gateway.release, file.id)

    @property
    def counters(self) -> GatewayCounters:
        counters: GatewayCounters = self.gateway.counters
        return counters

    @contextlib.contextmanager
    def ftp(self, user: str = "cam01", password: str = PASSWORD) -> Iterator[ftplib.FTP]:
        client = ftplib.FTP(timeout=PATIENCE)
        client.connect("127.0.0.1", self.gateway.port)
        try:
            client.login(user, password)
            yield client
        finally:
            client.close()

    def upload(self, name: str, data: bytes) -> str:
        """Upload and return the last reply."""
        with self.ftp() as client:
            return put(client, name, data)

    def committed(self) -> list[Path]:
        files = self.spool / "files"
        return [path for path in files.iterdir() if path.suffix != ".json"]

    def archived(self) -> dict[str, bytes]:
        """Return what stands on the archive under final names."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and path.suffix != ".part"
        }


class Child:
    """A Python process with a pipe to its standard input and one ready line on its output."""

    def __init__(self, arguments: Iterable[str], first_line: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pipes: list[Any] = [self.process.stdin, self.process.stdout, self.process.stderr]
        self.pipes[0].write(json.dumps(first_line) + "\n")
        self.pipes[0].flush()
        self.ready = self.pipes[1].readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        for pipe in self.pipes:
            pipe.close()


def put(client: ftplib.FTP, name: str, data: bytes) -> str:
    client.voidcmd("TYPE I")
    with client.transfercmd(f"STOR {name}") as connection:
        connection.sendall(data)
    return client.voidresp()


def until(condition: Callable[[], object]) -> None:
    """Wait for something in another process, which cannot notify us."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def fits(side: int = 100, cards: Iterable[str] = ()) -> bytes:
    """Return a FITS file with one image of 16-bit pixels."""
    header = ["SIMPLE  =                    T", "BITPIX  =                   16"]
    header += ["NAXIS   =                    2", f"NAXIS1  = {side:20d}", f"NAXIS2  = {side:20d}"]
    text = "".join(card.ljust(80) for card in [*header, *cards, "END"])
    data = bytes(range(256)) * (side * side * 2 // 256 + 1)
    padded = text.ljust(-(-len(text) // 2880) * 2880).encode() + data[: side * side * 2]
    return padded.ljust(-(-len(padded) // 2880) * 2880, b"\0")


@pytest.fixture(scope="session")
def users():
    return Users({"cam01": hash_password(PASSWORD), "cam02": hash_password(PASSWORD)})


@pytest.fixture
def site(tmp_path, users):
    """A site where nothing runs yet."""
    site = Site(tmp_path, users)
    yield site
    site.stop()


@pytest.fixture
def running(site):
    """A site whose archive and gateway run."""
    site.start_archive()
    site.start_gateway()
    return site


@pytest.fixture
def child():
    """Start `python <arguments>`, tell it its first line, read its ready line."""
    children = []

    def start(*arguments, first_line):
        children.append(Child(arguments, first_line))
        return children[-1]

    yield start
    for one in children:
        one.kill()


@pytest.fixture
def image():
    return fits


@pytest.fixture(name="put")
def _put():
    return put


@pytest.fixture(name="until")
def _until():
    return until


@pytest.fixture
def gateway_process(site, child):
    """Run the site's gateway in a process that can be killed; return it and its port."""
    script = Path(__file__).with_name("gateway_process.py")

    def start():
        facts = {
            "spool": str(site.spool),
            "archive_port": site.archive_port,
            "user": "cam01",
            "password": PASSWORD,
            "archive_password": ARCHIVE_PASSWORD,
        }
        started = child(str(script), first_line=facts)
        return started, int(started.ready.split()[1])

    return start
