"""The PVAccess server, between its clients and the IOC."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from p4p.server import DynamicProvider, Server
from p4p.server.raw import SharedPV

from tosip.errors import ProtocolError
from tosip.images import words
from tosip.images.process.frame import read_frame
from tosip.images.process.network import server_settings
from tosip.images.process.ntndarray import image_value, preview_value
from tosip.images.process.stream import Stream
from tosip.pipeline import socketpair
from tosip.pipeline.protocol import Message

MAKERS = {words.IMAGE: image_value, words.PREVIEW: preview_value}
_LONGEST_SETTINGS = 1 << 20

log = logging.getLogger(__name__)


async def serve(ioc: socket.socket) -> int:
    """Serve as the IOC says until its end of the socket closes; return the exit status."""
    settings = words.Settings.decode(ioc.recv(_LONGEST_SETTINGS))
    line = Line(ioc)
    streams = {
        name: Stream(name, MAKERS[kind], line.say) for name, kind in settings.streams.items()
    }
    provider = DynamicProvider("images", _Channels(streams))
    network = server_settings(os.environ, settings.port)
    try:
        server = _start(provider, network)
    except (RuntimeError, ValueError, OSError) as error:  # as pvxs's are told by p4p
        line.say(
            "failed",
            "images: expected a PVAccess server on "
            f"{network['EPICS_PVAS_INTF_ADDR_LIST']}, TCP port {settings.port}: {error}",
        )
        return 1
    line.say("serving", int(server.conf()["EPICS_PVAS_SERVER_PORT"]))
    await line.listen(streams)
    server.stop()
    return 0


def _start(provider: DynamicProvider, settings: dict[str, str]) -> Server:
    server = Server(providers=[provider], conf=settings, useenv=False)
    asked = settings["EPICS_PVAS_SERVER_PORT"]
    if asked not in ("0", server.conf()["EPICS_PVAS_SERVER_PORT"]):  # pvxs took another one
        server.stop()
        raise RuntimeError("the port is in use")
    return server


class Line:
    """This end of the socket to the IOC."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._streams: Mapping[str, Stream] = {}
        self._closed = asyncio.Event()

    def say(self, word: str, value: str | int) -> None:
        """Say one word; waits for an IOC that does not listen."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended
            self._socket.send(words.say(word, value))

    async def listen(self, streams: Mapping[str, Stream]) -> None:
        """Show what comes until the IOC closes its end."""
        self._streams = streams
        asyncio.get_running_loop().add_reader(self._socket, self._read)
        await self._closed.wait()

    def _read(self) -> None:
        try:
            message, descriptors = socketpair.receive(self._socket)
        except (ConnectionResetError, ProtocolError) as error:
            log.warning("the IOC: %s", error)
            message, descriptors = None, []
        if message is None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._closed.set()
            return
        try:
            self._show(message, descriptors)
        finally:
            self.say("done", message["port"])  # nobody reads the frame's memory any more

    def _show(self, message: Message, descriptors: list[int]) -> None:
        try:
            frame = read_frame(message, *descriptors) if descriptors else None
        except (OSError, ValueError):
            log.exception("%s: frame %d", message["port"], message["unique_id"])
            frame = None
        self._streams[message["port"]].show(frame)


class _Channels:
    """What p4p asks when a client searches for a PV or opens it; in threads of pvxs."""

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self._streams = streams
        self._loop = asyncio.get_running_loop()

    def testChannel(self, name: str) -> bool:
        return name in self._streams

    def makeChannel(self, name: str, _peer: str) -> SharedPV | None:
        stream = self._streams.get(name)
        return stream and SharedPV(handler=_Channel(stream, self._loop))


class _Channel:
    """What p4p tells about one client's channel; in threads of pvxs."""

    def __init__(self, stream: Stream, loop: asyncio.AbstractEventLoop) -> None:
        self._stream, self._loop = stream, loop

    def onFirstConnect(self, pv: SharedPV) -> None:
        self._call(self._stream.join, pv)

    def onLastDisconnect(self, pv: SharedPV) -> None:
        self._call(self._stream.leave, pv)

    def put(self, _pv: SharedPV, operation: Any) -> None:
        operation.done(error=f"{self._stream.name}: images are read-only")

    def _call(self, function: Callable[[SharedPV], None], pv: SharedPV) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function, pv)
