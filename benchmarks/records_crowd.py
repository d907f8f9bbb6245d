"""Many clients in one process, a connection each: `python -m benchmarks.records_crowd PROTOCOL`.

`ca` and `pva` monitor PVs over Channel Access and PVAccess, `image` reads whole images. Updates
arrive and are not looked at: the server has as much work as with clients that do, and on a machine
with two CPUs the clients take little of them. So Channel Access is spoken by hand here, just as
much of it as a monitor needs, and of PVAccess only what p4p does in C++ is done.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
from typing import Any

from benchmarks.records_process import obey

# Channel Access: each message is a header and a payload, padded to 8 bytes.
_HEADER = struct.Struct(">HHHHII")  # command, payload's size, type, count, two parameters
_VERSION, _EVENT_ADD, _CREATE, _USER, _HOST = 0, 1, 18, 20, 21
_MINOR = 13
_TIME_DOUBLE = 20
_VALUE_AND_ALARM = struct.pack(">12xHH", 1 | 4, 0)
_UPDATE = _HEADER.size + 24  # bytes of a double with its time stamp
_TIMEOUT = 60.0


def _message(command: int, payload: bytes = b"", *numbers: int) -> bytes:
    padded = payload + bytes(-len(payload) % 8)
    kind, count, first, second = numbers or (0, 0, 0, 0)
    return _HEADER.pack(command, len(padded), kind, count, first, second) + padded


class ChannelAccessClient(asyncio.Protocol):
    """Monitors doubles and counts their updates."""

    def __init__(self, names: list[str]) -> None:
        self.ready = asyncio.Event()
        self._names = names
        self._connected = 0
        self._bytes = 0
        self._buffer = b""

    @property
    def updates(self) -> int:
        """How many updates have come."""
        return self._bytes // _UPDATE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"expected a connection, got {transport!r}")
        self._transport = transport
        transport.write(_message(_VERSION, b"", 0, _MINOR, 0, 0))
        transport.write(_message(_USER, b"bench\0") + _message(_HOST, b"bench\0"))
        for number, name in enumerate(self._names):
            transport.write(_message(_CREATE, name.encode() + b"\0", 0, 0, number, _MINOR))

    def data_received(self, data: bytes) -> None:
        if self.ready.is_set():
            self._bytes += len(data)
            return
        self._buffer += data
        while len(self._buffer) >= _HEADER.size and not self.ready.is_set():
            command, size, _, _, first, second = _HEADER.unpack_from(self._buffer)
            self._buffer = self._buffer[_HEADER.size + size :]
            if command == _CREATE:
                self._created(first, second)

    def _created(self, number: int, channel: int) -> None:
        self._connected += 1
        event = _message(_EVENT_ADD, _VALUE_AND_ALARM, _TIME_DOUBLE, 1, channel, number)
        self._transport.write(event)
        if self._connected == len(self._names):
            self.ready.set()  # what comes from now on are updates, the first values among them

    def close(self) -> None:
        """Leave."""
        self._transport.close()


class ChannelAccessCrowd:
    """Clients that speak Channel Access."""

    def __init__(self) -> None:
        self._clients: list[ChannelAccessClient] = []

    async def join(self, clients: int, names: list[str]) -> None:
        """Let so many clients monitor `names`; returns when all are connected."""
        port = int(os.environ["EPICS_CA_SERVER_PORT"])
        loop = asyncio.get_running_loop()
        for _ in range(clients):
            client = ChannelAccessClient(names)
            self._clients.append(client)
            await loop.create_connection(lambda made=client: made, "127.0.0.1", port)  # type: ignore[misc]
            await asyncio.wait_for(client.ready.wait(), _TIMEOUT)

    async def part(self) -> int:
        """Let all leave, and return how many updates have come."""
        updates = sum(client.updates for client in self._clients)
        for client in self._clients:
            client.close()
        self._clients.clear()
        return updates


class PvAccessCrowd:
    """Clients that speak PVAccess: p4p's, whose updates stay in its queues."""

    def __init__(self) -> None:
        self._contexts: list[Any] = []
        self._monitors: list[Any] = []

    async def join(self, clients: int, names: list[str]) -> None:
        """Let so many clients monitor `names`; returns when each has got something of each."""
        from p4p.client.raw import Context

        self._contexts = [Context("pva", useenv=True) for _ in range(clients)]
        for context in self._contexts:
            self._monitors += [context.monitor(name, _nothing) for name in names]
        waiting = list(self._monitors)
        while waiting:
            await asyncio.sleep(0.1)
            waiting = [monitor for monitor in waiting if not _updates(monitor)]

    async def part(self) -> int:
        """Let all leave, and return to how many monitors something has come since they joined."""
        heard = sum(_updates(monitor) > 0 for monitor in self._monitors)
        for closed in (*self._monitors, *self._contexts):
            closed.close()
        self._monitors, self._contexts = [], []
        return heard


def _nothing() -> None:
    pass


def _updates(monitor: Any) -> int:
    """How many updates of a monitor wait; now none."""
    count = 0
    while (update := monitor.pop()) is not None:
        count += not isinstance(update, Exception)
    return count


class ImageReader:
    """A client that reads whole images."""

    def __init__(self) -> None:
        self._images = 0

    async def join(self, clients: int, names: list[str]) -> None:
        """Monitor the images; returns when each has come."""
        from p4p.client.thread import Context

        self._images = 0
        self._contexts = [Context("pva", nt=False) for _ in range(clients)]
        for context in self._contexts:
            for name in names:
                context.monitor(name, self._got)

    async def part(self) -> int:
        """Leave, and return how many images have come."""
        for context in self._contexts:
            context.close()
        return self._images

    def _got(self, image: Any) -> None:
        int(image.value.max())  # all of it is read
        self._images += 1


CROWDS = {"ca": ChannelAccessCrowd, "pva": PvAccessCrowd, "image": ImageReader}


def main() -> None:
    """Obey until standard input ends."""
    os.nice(19)  # they would run elsewhere
    crowd = CROWDS[sys.argv[1]]()
    asyncio.run(obey({"join": crowd.join, "part": crowd.part}))  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
