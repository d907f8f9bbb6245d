"""One life of the process that serves the images, from its start to its end."""

import asyncio
from collections.abc import Mapping

from tosip.errors import ConfigurationError, ProtocolError
from tosip.images.child import Child
from tosip.images.link import Link
from tosip.images.slot import LONGEST_IN_HAND, Slot
from tosip.images.words import Settings, heard
from tosip.pipeline.output import Journal

START_TIMEOUT = 60.0  # s
STOP_TIMEOUT = 2.0  # s


class Session:
    """Usage: `start`, then `wait` for its end or `stop` it; `port` is the server's TCP port.

    OSError if there is no descriptor left for it.
    """

    def __init__(self, settings: Settings, slots: Mapping[str, Slot], journal: Journal) -> None:
        self.port = 0
        self._settings = settings
        self._slots = slots
        self._link = Link(self._hear, self._push)
        self._child = Child(journal)
        self._answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int:
        """The process's number, 0 when there is none."""
        return self._child.pid

    async def start(self) -> None:
        """Start the process; ConfigurationError if it cannot serve, as soon as it has ended."""
        try:
            self._link.send(self._settings.encode())
            self._child.spawn(self._link.theirs.fileno())
            self._link.listen()
            async with asyncio.timeout(START_TIMEOUT):
                self.port = await self._answered()
        except BaseException as error:
            await self.stop()
            if isinstance(error, OSError):  # TimeoutError too
                why = error.strerror or f"not ready in {START_TIMEOUT:g} s"
                raise ConfigurationError(f"images: expected a process that serves: {why}") from None
            raise

    async def _answered(self) -> int:
        end = asyncio.create_task(self._child.wait())
        end.add_done_callback(self._unanswered)
        try:
            return await self._answer
        finally:
            end.cancel()

    def _unanswered(self, end: asyncio.Task[str]) -> None:
        if not self._answer.done() and not end.cancelled():
            self._settle(f"images: {end.result()} at its start: {self._child.said}")

    async def wait(self) -> str:
        """Wait for the process's end, let go of all frames, and return how it ended."""
        words = await self._child.wait()
        self._let_go()
        return words

    async def stop(self) -> None:
        """End the process, by force if it must be."""
        self._let_go()
        await self._child.stop(STOP_TIMEOUT)

    def _let_go(self) -> None:
        for slot in self._slots.values():
            slot.reset()
        self._link.close()

    def _push(self) -> None:
        for slot in self._slots.values():
            slot.push()

    def _stuck(self) -> None:
        self._child.kill(f"no image in {LONGEST_IN_HAND:g} s")

    def _hear(self, data: bytes) -> None:
        if not data:  # it ends, and how it does says more
            loop = asyncio.get_running_loop()
            loop.call_later(STOP_TIMEOUT, self._child.kill, "closed its connection")
            return
        try:
            self._obey(*heard(data))
        except (ProtocolError, KeyError) as error:
            self._child.kill(f"said what was not agreed: {error}")

    def _obey(self, word: str, value: str | int) -> None:
        if isinstance(value, int) or word == "failed":
            if not self._answer.done():
                self._settle(value)
            return
        slot = self._slots[value]
        if word == "watch":
            slot.watch(self._link.send, self._stuck)
        elif word == "unwatch":
            slot.unwatch()
        else:
            slot.done()

    def _settle(self, value: str | int) -> None:
        if isinstance(value, int):
            self._answer.set_result(value)
        else:
            self._answer.set_exception(ConfigurationError(value))
