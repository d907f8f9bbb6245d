"""A desk: the FTP server with a spool and nothing behind it, used by blocking clients."""

import asyncio
import contextlib
import ftplib
import io
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme

from tosip.gateway.receiving.memory import Memory, Received
from tosip.gateway.server.server import GatewayServer
from tosip.gateway.settings import ArchiveSettings, GatewaySettings, Limits, TlsSettings
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import Entry, State
from tosip.gateway.threads import Threads
from tosip.gateway.users import Users, hash_password

PASSWORD = "corr3ct horse"
PATIENCE = 15.0

T = TypeVar("T")


class Desk:
    """The server, what it has told, and clients for it; `stop` ends all of it."""

    def __init__(self, folder: Path, users: Users) -> None:
        self.folder, self.users = folder / "spool", users
        self.stored: list[tuple[Entry, bytes | None]] = []
        self.refused: list[str] = []
        self.cameras_asked: list[tuple[str, str, Mapping[str, str]]] = []
        self.changed = threading.Condition()
        self.server: Any = None
        self.spool: Any = None
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def start(self, limits: Mapping[str, Any] | None = None, **settings: Any) -> None:
        options = {"bad_password_delay": 0.05, "free_space": 0, **(limits or {})}
        archive = ArchiveSettings(host="127.0.0.1", user="gateway", password="none")
        all_settings = GatewaySettings(
            users=self.users,
            spool=self.folder,
            archive=archive,
            limits=Limits(**options),
            **({"port": 0} | settings),
        )
        self.spool = Spool(self.folder)
        self.threads = Threads(64)
        self.call(self._start(all_settings))

    async def _start(self, settings: GatewaySettings) -> None:
        self.server = GatewayServer(
            settings,
            self.spool,
            self.threads,
            Memory(8 << 20),
            camera=self._camera,
            on_stored=self._stored,
            on_refused=self._refused,
            on_change=self._changed,
        )
        await self.server.start()

    def stop_server(self) -> None:
        if self.server is not None:
            self.call(self.server.stop())
            self.server = None
            self.call(self.threads.close())
            self.spool.close()

    def stop(self) -> None:
        try:
            self.stop_server()
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()

    def _camera(self, user: str, name: str, header: Mapping[str, str]) -> str:
        self.cameras_asked.append((user, name, header))
        return user

    def _stored(self, entry: Entry, received: Received | None) -> None:
        data = None
        if received is not None and received.complete:
            data = bytearray(entry.file.size)
            received.read_into(memoryview(data), 0)
            received.free()
        self.stored.append((entry, None if data is None else bytes(data)))
        self._changed()

    def _refused(self, reason: str) -> None:
        self.refused.append(reason)
        self._changed()

    def _changed(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something that is told makes the condition true."""
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), (self.stored, self.refused)

    @property
    def files(self) -> dict[str, bytes]:
        """What will be forwarded, by name."""
        wanted = (State.PENDING, State.HELD)
        found = [one.file for one in self.spool.reconcile() if one.state in wanted]
        assert len({file.name for file in found}) == len(found)
        return {file.name: file.path.read_bytes() for file in found}

    def control(self, host: str = "127.0.0.1", **options: Any) -> ftplib.FTP:
        """Return a connection that has not logged in."""
        client = ftplib.FTP(timeout=PATIENCE, **options)
        try:
            client.connect(host, self.server.port)
        except BaseException:
            client.close()
            raise
        return client

    @contextlib.contextmanager
    def ftp(
        self, user: str = "cam01", password: str = PASSWORD, host: str = "127.0.0.1"
    ) -> Iterator[ftplib.FTP]:
        client = self.control(host)
        try:
            client.login(user, password)
            yield client
        finally:
            client.close()

    def upload(self, name: str, data: bytes, user: str = "cam01") -> str:
        """Upload and return the last reply."""
        with self.ftp(user) as client:
            return client.storbinary(f"STOR {name}", io.BytesIO(data))

    def until_receiving(self, client: ftplib.FTP, count: int) -> None:
        """Wait until so many bytes of the running upload are in the spool."""
        end = time.monotonic() + PATIENCE
        while f" {count} bytes" not in (status := client.sendcmd("STAT")):
            assert time.monotonic() < end, status

    def url(self, path: str, scheme: str = "ftp", host: str = "127.0.0.1", port: int = 0) -> str:
        return f"{scheme}://{host}:{port or self.server.port}/{path}"


def end_of(connection):
    """Return all that comes until the connection ends."""
    connection.settimeout(10)
    text = b""
    with contextlib.suppress(ConnectionResetError):
        while block := connection.recv(4096):
            text += block
    return text.decode()


@pytest.fixture(scope="session")
def users():
    return Users({name: hash_password(PASSWORD, 2) for name in ("cam01", "cam02")})


@pytest.fixture
def desk(tmp_path, users):
    """A desk where the server does not run yet."""
    desk = Desk(tmp_path, users)
    yield desk
    desk.stop()


@pytest.fixture
def running(desk):
    """A desk whose server runs."""
    desk.start()
    return desk


@pytest.fixture(scope="session")
def standing(tmp_path_factory, users):
    """A desk for tests that leave nothing behind: they ask, or are refused."""
    desk = Desk(tmp_path_factory.mktemp("standing"), users)
    desk.start()
    yield desk
    desk.stop()


@pytest.fixture
def begin():
    """Start an upload on a client and send its first bytes; return the data connection."""

    def start(client: ftplib.FTP, data: bytes, command: str = "STOR x.fits") -> socket.socket:
        client.voidcmd("TYPE I")
        connection = client.transfercmd(command)
        connection.sendall(data)
        return connection

    return start


@pytest.fixture
def interrupted(begin):
    """Leave a part of an upload behind that ABOR has ended; of `STEP` bytes, or nearly nothing."""

    def leave(desk: Desk, name: str, data: bytes, user: str = "cam01") -> None:
        with desk.ftp(user) as client:
            with begin(client, data, f"STOR {name}"):
                desk.until_receiving(client, len(data))
                client.abort()
            client.getline()

    return leave


class Authority:
    """Certificates for 127.0.0.1 and ::1, in files, and a client's context that trusts them."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1", "::1", "localhost")
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        self.root = folder / "root.pem"
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(str(self.certificate), append=True)
        certificate.private_key_pem.write_to_path(str(self.key))
        authority.cert_pem.write_to_path(str(self.root))
        self.context = ssl.create_default_context(cafile=str(self.root))

    def settings(self, **options: Any) -> TlsSettings:
        return TlsSettings(certificate=self.certificate, key=self.key, **options)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def program():
    """Return the path of a client program, or skip."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"needs {name}")
        return path

    return find
