"""One data connection: a socket of our own, used by a thread while the loop listens for replies.

Plain files go by sendfile, which copies nothing; over TLS they go in large blocks. What does not
move at least at a `pace` is ended. `abort` may be called from anywhere and ends what the thread is
doing; `close` comes when the thread is done.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import socket
import ssl
import struct
import termios
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any, BinaryIO, ParamSpec, TypeVar

from tosip.gateway.forwarding.faults import SpoolDamage, SpoolUnreadable
from tosip.gateway.forwarding.pace import Pace

P = ParamSpec("P")
T = TypeVar("T")

BLOCK = 1 << 20
SENDFILE_BLOCK = 8 << 20
NO_LINGER = struct.pack("ii", 1, 0)


class DataConnection:
    """See the module's docstring; each wait for the archive is bounded by `timeout` seconds."""

    def __init__(self, family: int, timeout: float, threads: Executor) -> None:
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._timeout, self._threads = timeout, threads
        self._running: Future[Any] | None = None
        self._aborted = False
        self._count = 0

    async def connect(self, address: tuple[Any, ...]) -> None:
        """Connect to the port that the archive has named."""
        self._socket.setblocking(False)
        async with asyncio.timeout(self._timeout):
            await asyncio.get_running_loop().sock_connect(self._socket, address)
        self._socket.settimeout(self._timeout)

    async def protect(
        self, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None
    ) -> None:
        """Begin TLS, as a part of the control connection's session."""
        tls = context.wrap_socket(
            self._socket,
            server_hostname=host,
            session=session,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
        self._socket = tls
        await self.run(tls.do_handshake)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call something that waits for the socket in a thread."""
        running = self._threads.submit(function, *args, **kwargs)
        self._running = running
        return await asyncio.wrap_future(running)

    def send(self, file: BinaryIO, size: int, sent: Callable[[int], None]) -> None:
        """Send all of a file and the end of it; `sent` is told of each block."""
        if isinstance(self._socket, ssl.SSLSocket):
            self._send_blocks(file, size, sent)
            self._say_end(self._socket)
        else:
            self._send_file(file, size, sent)
        # The peer reads the end; what it still says (TLS tickets) must not become a reset.
        _raw_shutdown(self._socket, socket.SHUT_WR)

    def _send_file(self, file: BinaryIO, size: int, sent: Callable[[int], None]) -> None:
        pace, position = self.pace(), 0
        while position < size:
            self._expect_not_aborted()
            block = min(SENDFILE_BLOCK, size - position)
            try:
                count = os.sendfile(self._socket.fileno(), file.fileno(), position, block)
            except BlockingIOError:
                self._wait_for_room()
            else:
                _expect_more(count, size, position)
                position += count
                self._count = position
                sent(count)
            pace.check()

    def _wait_for_room(self) -> bool:
        """Wait until the kernel takes more; False if it does not in time."""
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        return bool(poll.poll(self._timeout * 1000))

    def _send_blocks(self, file: BinaryIO, size: int, sent: Callable[[int], None]) -> None:
        buffer = memoryview(bytearray(min(BLOCK, max(size, 1))))
        pace, position = self.pace(), 0
        while position < size:
            try:
                count = os.preadv(file.fileno(), [buffer[: size - position]], position)
            except OSError as error:
                raise SpoolUnreadable(f"spool file cannot be read: {error.strerror}") from None
            _expect_more(count, size, position)
            self._send_block(buffer[:count], pace)
            position += count
            sent(count)

    def _send_block(self, block: memoryview, pace: Pace) -> None:
        while block:
            self._expect_not_aborted()
            # After a time-out TLS wants the same bytes again.
            with suppress(TimeoutError):
                count = self._socket.send(block)
                self._count += count
                block = block[count:]
            pace.check()

    def _expect_not_aborted(self) -> None:
        if self._aborted:
            raise ConnectionAbortedError("given up")

    def _say_end(self, tls: ssl.SSLSocket) -> None:
        """Send close_notify, so that the end cannot be mistaken; do not wait for the peer's."""
        tls.settimeout(0)
        while True:
            try:
                tls.unwrap()
            except ssl.SSLWantWriteError:
                if not self._wait_for_room():
                    raise TimeoutError from None
                continue
            except (ssl.SSLWantReadError, ssl.SSLError, OSError):
                # It was said; what the peer makes of it, its reply and SIZE will tell.
                pass
            return

    def receive(self, most: int, take: Callable[[memoryview], object]) -> int:
        """Hand over what comes, block by block, until its end; return the size of it.

        After more than `most` bytes it is given up.
        """
        buffer = memoryview(bytearray(BLOCK))
        pace = self.pace()
        # Many servers end TLS without saying so; the reply tells whether that was all.
        with suppress(ssl.SSLEOFError):
            while self._count <= most and (count := self._socket.recv_into(buffer)):
                take(buffer[:count])
                self._count += count
                pace.check()
        return self._count

    def pace(self) -> Pace:
        """Return a judge of what goes through from now on."""
        return Pace(lambda: self._count - self.unsent(), self._timeout)

    def unsent(self) -> int:
        """Return how many bytes the peer has not acknowledged."""
        if self._socket.fileno() < 0:
            return 0
        answer = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        return int(struct.unpack("i", answer)[0])

    def abort(self) -> None:
        """End what the thread is doing, with an error; over TLS the peer knows that it is cut."""
        self._aborted = True
        _raw_shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the socket, as soon as no thread uses it; what is unsent is dropped."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        if self._running is None or self._running.done():
            self._socket.close()
        else:
            # Its number must not be given to another socket while the thread may still use it.
            self.abort()
            self._running.add_done_callback(lambda _: self._socket.close())


def _expect_more(count: int, size: int, position: int) -> None:
    if count == 0:
        raise SpoolDamage(f"expected {size} bytes in the spool, got {position}")


def _raw_shutdown(plain_or_tls: socket.socket, how: int) -> None:
    # Not the method of SSLSocket: after that a thread would go on in the clear.
    with suppress(OSError):
        socket.socket.shutdown(plain_or_tls, how)
