"""The IOC's end of the socket to the process that serves its images; it never waits for it."""

import asyncio
import socket
from collections.abc import Callable, Sequence

from tosip.images import words
from tosip.pipeline import socketpair


class Link:
    """Usage: hand `theirs` to the process, `listen`, `send`, and `close` in any case.

    `hear` is called with each packet, an empty one when the process has closed its end; `on_room`
    when a packet that found no room may be sent again.
    """

    def __init__(self, hear: Callable[[bytes], None], on_room: Callable[[], None]) -> None:
        self._socket, self.theirs = socketpair.pair()
        self._socket.setblocking(False)
        self._hear = hear
        self._on_room = on_room

    def listen(self) -> None:
        """Hear the process, which has its end by now."""
        self.theirs.close()
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> bool:
        """Send a packet; False if there is no room for it now. OSError if it cannot be sent.

        What goes to a process that has ended is lost.
        """
        try:
            socketpair.send_encoded(self._socket, descriptors, data)
        except BlockingIOError:
            asyncio.get_running_loop().add_writer(self._socket, self._room)
            return False
        except (BrokenPipeError, ConnectionResetError):
            pass  # its end is seen by others
        return True

    def close(self) -> None:
        """Close both ends, as far as they are open."""
        self.theirs.close()
        if self._socket.fileno() >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
            self._socket.close()

    def _room(self) -> None:
        asyncio.get_running_loop().remove_writer(self._socket)
        self._on_room()

    def _read(self) -> None:
        try:
            data = self._socket.recv(words.LONGEST, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._socket)
        self._hear(data)
