"""Uploads that are received for real: a TCP connection, a thread, a partial file, no FTP."""

import io
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme
from astropy.io import fits

from tosip.gateway.receiving.memory import Memory, Received
from tosip.gateway.receiving.refusal import UploadError
from tosip.gateway.receiving.upload import Upload
from tosip.gateway.server.protection import load_context
from tosip.gateway.settings import Limits, Policy, TlsSettings
from tosip.gateway.spool.disk import Disk
from tosip.gateway.spool.partial import Partial

PATIENCE = 10.0
RESET = struct.pack("ii", 1, 0)


def connected_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), PATIENCE)
        return client, server.accept()[0]


class Reception:
    """One upload; the test plays its client with `client`."""

    def __init__(self, folder: Path, memory: Memory) -> None:
        self.folder, self.memory = folder, memory
        self.threads = ThreadPoolExecutor(1)
        self.client, self.server = connected_pair()
        self.received: Received = memory.begin()
        self.partial = self.open(Disk())
        self.upload = self.make()

    def open(self, disk: Disk, kept: bytes = b"") -> Partial:
        path = self.folder / "partial"
        path.write_bytes(kept)
        return Partial(disk, path, disk.open(path), len(kept))

    def make(
        self,
        name: str = "x.fits",
        expected: int | None = None,
        tls: ssl.SSLContext | None = None,
        policy: Policy | None = None,
        **limits: Any,
    ) -> Upload:
        self.upload = Upload(
            name,
            "cam01",
            expected,
            limits=Limits(**limits),
            policy=Policy() if policy is None else policy,
            tls=tls,
        )
        return self.upload

    def begin(self) -> "Future[bool]":
        return self.threads.submit(self.upload.receive, self.server, self.partial, self.received)

    def send_all(self, data: bytes) -> None:
        """Send everything and end properly."""
        self.client.sendall(data)
        self.client.close()

    def reset(self) -> None:
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.client.close()

    def written(self) -> bytes:
        return self.partial.path.read_bytes()

    def decoded(self) -> bytes:
        """Read back what is in memory, in pieces that fit no block."""
        data = bytearray(self.received.size)
        view, at = memoryview(data), 0
        while at < len(data) and (count := self.received.read_into(view[at : at + 700_001], at)):
            at += count
        return bytes(data[:at])

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.002)

    def close(self) -> None:
        self.upload.abort("the test is over")
        self.client.close()
        self.server.close()
        self.threads.shutdown()
        self.partial.close()


def refusal_of(outcome: "Future[bool]") -> UploadError:
    """Return the UploadError that an upload ended with, and nothing else."""
    error = outcome.exception(PATIENCE)
    assert isinstance(error, UploadError), error
    return error


def frame(size: int = 200_000) -> bytes:
    """A FITS file of about so many bytes, no two parts of which are alike."""
    pixels = np.frombuffer(os.urandom(size // 2 * 2), np.int16)
    buffer = io.BytesIO()
    fits.PrimaryHDU(pixels, fits.Header([("CAMERA", "cam 7/a")])).writeto(buffer)
    return buffer.getvalue()


@pytest.fixture
def memory() -> Memory:
    return Memory(64 << 20)


@pytest.fixture
def reception(tmp_path: Path, memory: Memory) -> Iterator[Reception]:
    reception = Reception(tmp_path, memory)
    yield reception
    reception.close()


@pytest.fixture(scope="session")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What server and client need for TLS; the server's is the gateway's own."""
    authority = trustme.CA()
    certificate = tmp_path_factory.mktemp("tls") / "certificate.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    server = load_context(TlsSettings(certificate=certificate))
    assert server is not None
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return server, client


@pytest.fixture(scope="session")
def small_frame() -> bytes:
    return frame()


@pytest.fixture(scope="session")
def large_frame() -> bytes:
    return frame(5 << 20)


@pytest.fixture(name="refusal_of")
def _refusal_of() -> Any:
    return refusal_of


@pytest.fixture(name="connected_pair")
def _connected_pair() -> Any:
    return connected_pair
