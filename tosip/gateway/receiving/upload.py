"""One upload: from the data connection to a partial file of the spool.

The bytes are received by a thread, into memory that the pipeline can decode from, and go from there
to the disk, into the hash and past the check of completeness. The event loop does not see them at
all, which matters: it is the IOC's. What ends an upload early (ABOR, a lost control connection, the
gateway stopping) is noted as its cause and shuts the connection down, which wakes the thread.

    upload = Upload("x.fits", "cam01", limits=limits, policy=policy)
    try:
        await threads.disk(upload.resume, partial, received)            # after Spool.resume
        connection = await upload.connect(port)                         # on the loop
        proven = await threads.receive(upload.receive, connection, partial, received)
        upload.check()                                                  # last moment before commit
        spool.commit(partial, upload.description(camera=...))
    except UploadError as error:                                        # see its `fate`
        spool.keep(partial, upload.description())

Whoever calls `receive` frees `received` when the upload fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping

from tosip.gateway.digest import new_digest
from tosip.gateway.receiving.completeness import Completeness
from tosip.gateway.receiving.data import Port
from tosip.gateway.receiving.memory import Received
from tosip.gateway.receiving.refusal import UploadError, from_os_error, interrupted
from tosip.gateway.receiving.stream import (
    Pace,
    PlainStream,
    Stream,
    TlsStream,
    shake_hands,
    wrap,
)
from tosip.gateway.settings import Limits, Policy
from tosip.gateway.spool.partial import Description, Partial


class Upload:
    """An upload on its way; `abort` ends it from outside, as long as it is not being committed.

    `expected` is what ALLO named. With `tls` the data connection is protected. `superseded` tells
    that a later upload of the name has begun, so that nobody must go on with this one.
    """

    def __init__(
        self,
        name: str,
        user: str,
        expected: int | None = None,
        *,
        limits: Limits,
        policy: Policy,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self.user = user
        self.expected = expected
        self.task: asyncio.Task[None] | None = None
        self.proven = False
        self.superseded = False
        self._limits = limits
        self._tls = tls
        self._completeness = Completeness(name, expected, policy)
        self._digest = new_digest()
        self._lock = threading.Lock()
        self._cause = ""
        self._accepting: asyncio.Future[socket.socket] | None = None
        self._connection: socket.socket | None = None

    @property
    def size(self) -> int:
        """How many bytes are in the partial, by and by."""
        return self._completeness.size

    @property
    def header(self) -> Mapping[str, str]:
        """The primary FITS header, once everything has come; empty if there is none.

        Reading it may take long enough that it belongs in a thread.
        """
        return self._completeness.header

    def description(self, camera: str = "", held: bool = False) -> Description:
        """Describe what came, for the spool; once `receive` has ended, in whatever way."""
        digest = self._digest.hexdigest()
        return Description(self.name, self.user, self.size, digest, self.proven, camera, held)

    def abort(self, cause: str) -> None:
        """Give the upload a reason to end, on the event loop; the first one counts."""
        with self._lock:
            if self._cause:
                return
            self._cause = cause
            if self._accepting is not None:
                self._accepting.cancel()
            if self._connection is not None:
                with contextlib.suppress(OSError):
                    # Not the method of an SSLSocket, which would take TLS off under the reader.
                    socket.socket.shutdown(self._connection, socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise what ended the upload, if something did."""
        if self._cause:
            raise interrupted(self._cause)

    async def connect(self, port: Port) -> socket.socket:
        """Wait for the data connection; the port is closed then."""
        self._accepting = asyncio.ensure_future(port.accept(self._limits.connect_timeout))
        try:
            self.check()
            self._connection = await self._accepting
        except asyncio.CancelledError:
            self.abort("the gateway is stopping")
            self.check()
            raise
        finally:
            self._accepting.cancel()
            port.close()
        return self._connection

    def resume(self, partial: Partial, received: Received) -> None:
        """Hash and check what an earlier upload has left, in a thread; UploadError if that fails.

        Call it before `connect`, so that `description` tells of these bytes whatever comes next.
        The pipeline will read the file from the disk. Without such bytes nothing is done.
        """
        if self.size == partial.size:
            return
        received.let_go()
        try:
            for block in partial.blocks():
                self._take(block, received)
            if self.size != partial.size:
                raise OSError(errno.EIO, f"expected {partial.size} bytes kept, got {self.size}")
        except OSError as error:
            raise from_os_error(error) from None

    def receive(
        self,
        connection: socket.socket,
        partial: Partial,
        received: Received,
        on_begin: Callable[[], None] = lambda: None,
    ) -> bool:
        """Receive until the client ends, in a thread; tell whether the file is proven whole.

        UploadError unless it may be whole. A partial that has bytes already is gone on with.
        `on_begin` is called once the data connection stands.
        """
        try:
            with self._open(connection) as stream:
                on_begin()
                self.resume(partial, received)
                self._take_all(stream, partial, received)
                self.check()
                stream.finish()
        except UploadError:
            self.check()  # what happened to the connection may be what we did to it
            raise
        except OSError as error:
            raise from_os_error(error) from None
        self.proven = self._completeness.verdict()
        return self.proven

    @contextlib.contextmanager
    def _open(self, connection: socket.socket) -> Iterator[Stream]:
        """Prepare the connection for reading; close it in the end."""
        try:
            pace = Pace(self._limits.stall_timeout, self._limits.least_rate)
            with self._lock:
                self.check()
                if self._tls is not None:
                    connection = wrap(connection, self._tls)
                self._connection = connection
            if isinstance(connection, ssl.SSLSocket):
                shake_hands(connection, self._limits.connect_timeout)
                yield TlsStream(connection, pace)
            else:
                yield PlainStream(connection, pace)
        finally:
            # Closed only when `abort` can no longer hit whoever gets this descriptor next.
            with self._lock:
                self._connection = None
            connection.close()

    def _take_all(self, stream: Stream, partial: Partial, received: Received) -> None:
        while count := stream.fill(room := received.room()):
            block = room[:count]
            partial.write(block)
            self._take(block, received)

    def _take(self, block: memoryview, received: Received) -> None:
        self._digest.update(block)
        received.took(len(block))
        # Last, because this may refuse the file, and what is kept must be described.
        self._completeness.feed(block)
