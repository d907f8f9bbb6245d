"""Reading a data connection in a thread: with or without TLS, with limits, to its proper end.

`fill` returns what came, 0 at the client's end, and raises `UploadError` when the connection ended
in another way. Bytes that came before a fault are returned first.

A slow client must not hold a thread for ever: it has to send something, and more than a least rate
over windows of the same length. Only the time spent waiting for it counts, not that of our disk.
A client that stops is ended after one to two such times.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from typing import Protocol

from tosip.gateway.receiving.refusal import UploadError, interrupted, unconnected


class Stream(Protocol):
    """A data connection that is being read."""

    def fill(self, view: memoryview) -> int:
        """Receive until `view` is full or the stall time is over; see the module."""

    def finish(self) -> None:
        """Take leave properly after the client's end."""


class Pace:
    """Measures how fast a client sends."""

    def __init__(self, stall_timeout: float, least_rate: int) -> None:
        self.stall_timeout, self._least_rate = stall_timeout, least_rate
        self._waited = 0.0
        self._came = 0

    def add(self, count: int, seconds: float) -> None:
        """Count bytes that came while waiting so long; UploadError at the end of a poor window."""
        self._waited += seconds
        self._came += count
        # A little early, because the kernel's clock may tick before the one that we measure with.
        if self._waited < 0.9 * self.stall_timeout:
            return
        if self._came < self._least_rate * self._waited:
            rate = f"{self._came / self._waited:.0f}"
            raise interrupted(f"expected at least {self._least_rate} bytes/s, got {rate}")
        self._waited = 0.0
        self._came = 0


class PlainStream:
    """A connection without TLS.

    The kernel fills the whole view in one call: a thread that woke up for each packet would compete
    for the interpreter with all others each time.
    """

    def __init__(self, connection: socket.socket, pace: Pace) -> None:
        self._connection, self._pace = connection, pace
        connection.setblocking(True)
        # Python's own time-outs make the socket non-blocking, and then it does not wait for all.
        seconds, rest = divmod(pace.stall_timeout, 1)
        timeout = struct.pack("ll", int(seconds), int(rest * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        self._fault: UploadError | None = None

    def fill(self, view: memoryview) -> int:
        """See `Stream`."""
        if self._fault is not None:
            raise self._fault
        start = time.monotonic()
        try:
            count = self._connection.recv_into(view, 0, socket.MSG_WAITALL)
        except (BlockingIOError, TimeoutError):
            raise interrupted(f"no data for {self._pace.stall_timeout:g} s") from None
        except OSError as error:
            raise interrupted(f"data connection lost ({error.strerror})") from None
        if count:
            try:
                self._pace.add(count, time.monotonic() - start)
            except UploadError as fault:
                self._fault = fault
        return count

    def finish(self) -> None:
        """See `Stream`; without TLS there is nothing to say."""


class TlsStream:
    """A connection with TLS; its end must be announced, or it may have been cut by anybody."""

    def __init__(self, connection: ssl.SSLSocket, pace: Pace) -> None:
        self._connection, self._pace = connection, pace
        connection.settimeout(pace.stall_timeout)
        self._fault: UploadError | None = None
        self._ended = False

    def fill(self, view: memoryview) -> int:
        """See `Stream`."""
        filled = 0
        start = time.monotonic()
        try:
            while self._fault is None and filled < len(view) and not self._ended:
                # A record of TLS, 16 KiB at most.
                count = self._receive(view[filled:])
                filled += count
                self._ended = count == 0
                if time.monotonic() - start > self._pace.stall_timeout:
                    break
            if not self._ended:
                self._pace.add(filled, time.monotonic() - start)
        except UploadError as fault:
            self._fault = fault
        if self._fault is not None and not filled:
            raise self._fault
        return filled

    def _receive(self, view: memoryview) -> int:
        try:
            return self._connection.recv_into(view)
        except TimeoutError:
            raise interrupted(f"no data for {self._pace.stall_timeout:g} s") from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise interrupted("TLS ended without notice: the file may be cut") from None
        except ssl.SSLError as error:
            raise interrupted(f"TLS failed ({error.reason})") from None
        except OSError as error:
            raise interrupted(f"data connection lost ({error.strerror})") from None

    def finish(self) -> None:
        """See `Stream`: answer the notice, for which many clients wait."""
        with contextlib.suppress(OSError, ValueError):
            self._connection.unwrap()


def wrap(connection: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
    """Return the connection with TLS to come; whoever calls whom, we are the server of TLS."""
    connection.setblocking(True)
    try:
        return tls.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
    except OSError as error:  # it has ended already
        connection.close()
        raise unconnected(f"no data connection ({error.strerror})") from None


def shake_hands(connection: ssl.SSLSocket, timeout: float) -> None:
    """Do the whole handshake within `timeout`, or raise UploadError 425."""
    connection.settimeout(timeout)
    try:
        connection.do_handshake()
    except TimeoutError:
        raise unconnected(f"no TLS handshake within {timeout:g} s") from None
    except ssl.SSLError as error:
        raise unconnected(f"TLS handshake failed ({error.reason})") from None
    except (OSError, ValueError) as error:
        raise unconnected(f"TLS handshake failed ({error})") from None
