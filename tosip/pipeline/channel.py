"""The IOC's end of a worker's socket, on the event loop.

Sending never waits: what the socket does not take at once goes out when it does. Until `listen` is
called, messages are waited for one by one; after that each is handed to a function as it comes.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tosip.errors import ProtocolError
from tosip.pipeline import socketpair
from tosip.pipeline.protocol import Message, encode
from tosip.shortage import is_shortage

LAST_WORDS = 16  # messages read of a worker that has ended

AGAIN = 0.1  # s until another try when there is nothing to send with, such as descriptors

Hear = Callable[[Message, list[int]], None]
Lost = Callable[[Message | None], None]
Fault = Callable[[ProtocolError | None], None]


class Channel:
    """Usage: `await channel.message()` as needed, then `channel.listen(hear, lost, fault)`.

    `hear` has to close the descriptors that it is given; `lost` gets a message whose descriptors
    this process had no room for, or None if it was in one of them; `fault` is told what a worker
    sent that is no message, or None when the worker has closed its end.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._unsent: deque[tuple[list[int], bytes]] = deque()
        self._resume: asyncio.TimerHandle | None = None
        self._hear: Hear | None = None
        self._lost: Lost | None = None
        self._fault: Fault | None = None
        self._readable: asyncio.Future[None] | None = None
        self._ended = False

    def send(self, type_: str, *descriptors: int, **fields: Any) -> None:
        """Send a message, now or as soon as the socket takes it.

        ProtocolError if it is none, another OSError if there is nothing to send it with: then
        nothing was sent. What goes to a worker that has gone is lost.
        """
        data = encode(type_, **fields)
        if self._unsent:
            self._keep(descriptors, data)
            return
        try:
            socketpair.send_encoded(self._socket, descriptors, data)
        except BlockingIOError:
            self._keep(descriptors, data)
            self._write_on()
        except (BrokenPipeError, ConnectionResetError):
            pass  # what it sent before it went, or how it ended, says more

    def _keep(self, descriptors: Sequence[int], data: bytes) -> None:
        # Copies: the memory may be given up before they are sent.
        copies: list[int] = []
        try:
            copies += map(os.dup, descriptors)
        except OSError:
            socketpair.close(copies)
            raise
        self._unsent.append((copies, data))

    def _write_on(self) -> None:
        self._resume = None
        asyncio.get_running_loop().add_writer(self._socket, self._send_more)

    def _send_more(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._unsent:
                descriptors, data = self._unsent[0]
                socketpair.send_encoded(self._socket, descriptors, data)
                socketpair.close(self._unsent.popleft()[0])
        except BlockingIOError:
            return
        except (OSError, MemoryError) as error:
            if is_shortage(error):
                self._resume = loop.call_later(AGAIN, self._write_on)
            else:
                self._forget_unsent()
        loop.remove_writer(self._socket)

    def _forget_unsent(self) -> None:
        while self._unsent:
            socketpair.close(self._unsent.popleft()[0])

    async def message(self) -> tuple[Message | None, list[int]]:
        """Wait for the next message; None when the worker has closed its end or has ended.

        ProtocolError if what came is none.
        """
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                return socketpair.receive(self._socket)
            if self._ended:
                return None, []
            self._readable = loop.create_future()
            loop.add_reader(self._socket, self._wake)
            try:
                await self._readable
            finally:
                self._readable = None
                loop.remove_reader(self._socket)

    def _wake(self) -> None:
        if self._readable and not self._readable.done():
            self._readable.set_result(None)

    def listen(self, hear: Hear, lost: Lost, fault: Fault) -> None:
        """Hand every message to `hear` from now on, and what is none to `lost` or `fault`."""
        self._hear, self._lost, self._fault = hear, lost, fault
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def _read(self) -> None:
        # One packet at a time: a flood of them leaves room for others.
        try:
            message, descriptors = socketpair.receive(self._socket)
        except (BlockingIOError, ConnectionResetError):
            return
        except ProtocolError as error:
            self._stop(error)
            return
        except socketpair.ContentLost as error:
            if self._lost:
                self._lost(error.message)
            return
        if message is None:
            self._stop(None)
        elif self._hear:
            self._hear(message, descriptors)

    def _stop(self, error: ProtocolError | None) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        fault, self._hear, self._lost, self._fault = self._fault, None, None, None
        if fault:
            fault(error)

    def end(self) -> None:
        """Hear the last messages of a worker that has ended: they may tell why."""
        self._ended = True
        self._wake()
        for _ in range(LAST_WORDS):
            if self._hear:
                self._read()
        if self._hear:
            self._stop(None)

    def close(self) -> None:
        """Close the socket, if it is open."""
        if self._socket.fileno() < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)
        if self._resume:
            self._resume.cancel()
        self._forget_unsent()
        self._socket.close()
