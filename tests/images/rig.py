"""A real server of images on ports of its own, and real clients.

async with serving() as rig:
    rig.publish(np.zeros((4, 5), np.uint16))
    image = await rig.get("Image")

or, on a server that is shared with other tests, `shared.run(work)` with `async def work(rig)`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from p4p.client.thread import Context

from tosip.images import ImageServer
from tosip.images.slot import Slot
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Port
from tosip.testing.ioc import Monitor

PREFIX = "T:CAM:"  # of the PVs of `serving`
PATIENCE = 30.0  # s


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, with a limit."""
    asyncio.run(asyncio.wait_for(work, 60.0))


def frame(pool: Pool, pixels: Any, unique_id: int = 7, **more: Any) -> NDArray:
    """A frame; `color_mode` and `timestamp` are its own, whatever else is named its attributes."""
    lease = pool.allocate(max(1, pixels.nbytes))
    lease.view(pixels.shape or (1,), pixels.dtype)[...] = pixels
    mode, timestamp = more.pop("color_mode", "Mono"), more.pop("timestamp", 1234.5)
    name = pixels.dtype.name
    return NDArray(unique_id, timestamp, pixels.shape, name, lease, more, mode)


def listeners(port: Port) -> int:
    """How many listen to a port."""
    return len(port._on_array)


@contextmanager
def client():
    """A PVAccess client that goes by the environment."""
    with Context("pva") as context:
        yield context


class Updates(Monitor):
    """The images that a client is sent; without the empty one."""

    def next_image(self, timeout: float = PATIENCE) -> Any:
        while not (image := self.next(timeout)).size:
            pass
        return image

    async def image(self) -> Any:
        return await asyncio.to_thread(self.next_image)


class Rig:
    """A server, and a port that it shows."""

    def __init__(self, server: ImageServer, name: str) -> None:
        self.server, self.pool, self.port = server, Pool(), Port(name)
        self.prefix = f"{server.prefix}{name}:"
        server.add(f"{name}:", self.port)

    def close(self) -> None:
        self.port.last = None
        self.pool.close()

    def publish(self, pixels: Any, unique_id: int = 7, **more: Any) -> None:
        self.port.publish(frame(self.pool, pixels, unique_id, **more))

    def slot(self, name: str) -> Slot:
        return self.server.slots[self.prefix + name]

    async def get(self, name: str) -> Any:
        """Let a client that has just come read a PV once."""

        def get() -> Any:
            with client() as context:
                return context.get(self.prefix + name, timeout=PATIENCE)

        return await asyncio.to_thread(get)

    @asynccontextmanager
    async def watching(self, name: str) -> AsyncIterator[Updates]:
        """Let a client of its own watch a PV."""
        slot = self.slot(name)
        alone = not slot.watched
        with client() as context, (updates := Updates(context, self.prefix + name)):
            await self.until(lambda: slot.watched)
            yield updates
        if alone:
            await self.until(lambda: not slot.watched)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(tcp_port: int = 0) -> AsyncIterator[Rig]:
    server = ImageServer("T:", port=tcp_port)
    rig = Rig(server, "CAM")
    async with server:
        yield rig
    rig.close()


class Shared:
    """One server for many tests, each with a port of its own: to start one takes a second."""

    def __init__(self, ports: int) -> None:
        self._runner = asyncio.Runner()
        self._server = ImageServer("SHARED:")
        self._rigs = [Rig(self._server, f"CAM{number}") for number in range(ports)]
        self._unused = iter(self._rigs)
        self._runner.run(self._server.start())

    def run(self, work: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
        """Run a test's coroutine on a port that no other test has used, with a limit."""
        self._runner.run(asyncio.wait_for(work(next(self._unused)), 60.0))

    def close(self) -> None:
        self._runner.run(self._server.stop())
        self._runner.close()
        for rig in self._rigs:
            rig.close()


async def stopped_client(name: str) -> asyncio.subprocess.Process:
    """A client in a process of its own that watches a PV; the test may stop and kill it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.images.watcher", name, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"watching\n"
    return process


def resident(pid: int) -> int:
    """Bytes of memory of its own that a process uses: those of the frames do not count."""
    status = Path(f"/proc/{pid}/status").read_text().split()
    return int(status[status.index("RssAnon:") + 1]) * 1024


def ramp(shape: tuple[int, ...], kind: str = "uint16") -> Any:
    """Pixels that all differ, as far as the type allows."""
    return np.arange(int(np.prod(shape)), dtype="int64").astype(kind).reshape(shape)
