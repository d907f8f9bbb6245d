"""One upload: from the data connection to a file in the spool.

The bytes are received by a thread with a blocking socket, into one buffer of 1 MiB, and go from
there to the disk and into the hash. So the event loop does not see them at all, which matters: it
is the IOC's. What ends an upload early (ABOR, a lost control connection, the gateway stopping) is
noted as its cause and shuts the socket down, which wakes the thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tosip.errors import TosipError
from tosip.gateway import fits_length

BLOCK = 1 << 20
BACKLOG = 8


class UploadError(TosipError):
    """An upload that is not acknowledged; `code` is what FTP calls the reason."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class Received:
    """What came: its size, its SHA-256, and whether it is known to be whole."""

    size: int
    sha256: str
    proven: bool = False


class PassivePort:
    """A port that waits for one data connection, from the peer of the control connection alone."""

    def __init__(self, host: str, peer: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, 0), family=family, backlog=BACKLOG)
        self._socket.setblocking(False)
        self._peer = peer
        self.family = family
        self.host, self.port = self._socket.getsockname()[:2]

    async def accept(self, timeout: float) -> socket.socket:
        """Wait for the peer; whoever else calls is hung up on."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                while True:
                    connection, address = await loop.sock_accept(self._socket)
                    if address[0] == self._peer:
                        return connection
                    connection.close()
        except TimeoutError:
            raise UploadError("425", f"no data connection within {timeout:g} s") from None

    def close(self) -> None:
        """Stop waiting."""
        self._socket.close()


class Upload:
    """An upload on its way; `abort` ends it from outside, as long as it is not being committed."""

    def __init__(self, name: str, user: str, expected: int | None) -> None:
        self.name = name
        self.user = user
        self.expected = expected
        self.task: asyncio.Task[None] | None = None
        self._cause = ""
        self._wake: Callable[[], object] = lambda: None

    def abort(self, cause: str) -> None:
        """Give the upload a reason to end; the first one counts."""
        if not self._cause:
            self._cause = cause
            self._wake()

    def check(self) -> None:
        """Raise what ended the upload, if something did."""
        if self._cause:
            raise UploadError("426", f"upload discarded: {self._cause}")

    async def connect(self, port: PassivePort, timeout: float) -> socket.socket:
        """Wait for the data connection."""
        accepting = asyncio.ensure_future(port.accept(timeout))
        self._wake = accepting.cancel
        try:
            self.check()
            connection = await accepting
        except asyncio.CancelledError:
            self.abort("the gateway is stopping")
            self.check()
            raise
        finally:
            accepting.cancel()
            port.close()
        self._wake = lambda: _shut_down(connection)
        return connection

    def receive(self, connection: socket.socket, fd: int, stall_timeout: float) -> Received:
        """Receive until the client ends, in a thread; raise unless the file may be whole."""
        digest = hashlib.sha256()
        size = 0
        with connection:
            self.check()
            connection.settimeout(stall_timeout)
            for block in self._blocks(connection, stall_timeout):
                _write(fd, block)
                digest.update(block)
                size += len(block)
        self.check()
        return Received(size, digest.hexdigest(), self._whole(fd, size))

    def _blocks(self, connection: socket.socket, stall_timeout: float) -> Iterator[memoryview]:
        view = memoryview(bytearray(BLOCK))
        filled = BLOCK
        try:
            while filled == BLOCK:
                filled = 0
                while filled < BLOCK and (count := connection.recv_into(view[filled:])):
                    filled += count
                yield view[:filled]
        except TimeoutError:
            self.abort(f"no data for {stall_timeout:g} s")
        except ConnectionError as error:
            self.abort(f"data connection lost ({error.strerror})")

    def _whole(self, fd: int, size: int) -> bool:
        """Tell whether the file is known to be whole; raise when it is known not to be."""
        if self.expected is not None and size < self.expected:
            raise UploadError("451", f"expected {self.expected} bytes (ALLO), got {size}")
        with os.fdopen(os.dup(fd), "rb") as file:
            implied = fits_length.implied_length(file)
            if fits_length.looks_cut(file, self.name):
                implied = fits_length.BLOCK
        if implied is not None and size < implied:
            raise UploadError("451", f"expected {implied} bytes (FITS headers), got {size}")
        return implied is not None or size == self.expected


def from_os_error(error: OSError) -> UploadError:
    """Turn what the disk says into what FTP says."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    code, hint = ("452", "disk full") if full else ("451", "storage failed")
    return UploadError(code, f"upload discarded: {hint} ({error.strerror})")


def _write(fd: int, block: memoryview) -> None:
    while block:
        block = block[os.write(fd, block) :]


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
