"""The images of an IOC: their PVs, and the process that serves them, kept alive."""

import asyncio
import logging
import time
from typing import Self

from tosip.errors import ConfigurationError
from tosip.images.session import Session
from tosip.images.slot import Slot
from tosip.images.words import IMAGE, PREVIEW, Settings
from tosip.pipeline.output import Journal
from tosip.pipeline.ports import Port
from tosip.tasks import BackgroundTask

PREVIEW_PERIOD = 0.2  # s
SHORTEST_DELAY = 0.5  # s until another process is started
LONGEST_DELAY = 30.0  # s; a process that has lasted so long starts afresh with the shortest

log = logging.getLogger(__name__)


class ImageServer:
    """Serves the frames of ports; call everything on the event loop.

    Usage::

        images = ImageServer("NEOSTED:")
        images.add("CAM01:", driver.port)  # NEOSTED:CAM01:Image and NEOSTED:CAM01:Preview
        async with images:
            ...

    Start it after the records, so that any free TCP port cannot be theirs. The process goes by the
    environment of that time.
    """

    def __init__(self, prefix: str, *, port: int = 0) -> None:
        self.prefix = prefix
        self.slots: dict[str, Slot] = {}
        self.restarts = 0
        self._kinds: dict[str, str] = {}
        self._asked = port
        self._journal = Journal("images")
        self._session: Session | None = None
        self._keeper: BackgroundTask | None = None

    @property
    def pv_names(self) -> list[str]:
        """Names of all PVs."""
        return list(self.slots)

    @property
    def port(self) -> int:
        """TCP port of the server; 0 while it does not run."""
        return self._session.port if self._session else 0

    @property
    def pid(self) -> int:
        """Number of the process; 0 while there is none."""
        return self._session.pid if self._session else 0

    def add(self, name: str, port: Port) -> None:
        """Serve `<prefix><name>Image` and `<prefix><name>Preview` from the start on.

        ConfigurationError if there are such already, or if it is too late.
        """
        image = f"{self.prefix}{name}{IMAGE}"
        if image in self.slots:
            raise ConfigurationError(f"{image}: expected a name of its own, got one in use")
        if self._keeper is not None:
            raise ConfigurationError(f"{image}: expected before the start, got while images run")
        for kind, period in ((IMAGE, 0.0), (PREVIEW, PREVIEW_PERIOD)):
            pv = f"{self.prefix}{name}{kind}"
            self.slots[pv] = Slot(pv, port, period)
            self._kinds[pv] = kind

    async def start(self) -> None:
        """Start serving; ConfigurationError if the server cannot listen as it shall."""
        self._session = await self._started()
        self._keeper = BackgroundTask("images", self._keep)
        self._keeper.start()

    async def stop(self) -> None:
        """End the connections of all clients, and the process."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            await keeper.stop()
        session, self._session = self._session, None
        if session is not None:
            await session.stop()

    async def _started(self) -> Session:
        settings = Settings(self._kinds, self._asked)
        try:
            session = Session(settings, self.slots, self._journal)
        except OSError as error:
            raise ConfigurationError(
                f"images: expected descriptors, got {error.strerror}"
            ) from None
        await session.start()
        return session

    async def _keep(self) -> None:
        delay = SHORTEST_DELAY
        while True:
            begun, why = time.monotonic(), "none was started"
            if self._session is not None:
                why = await self._session.wait()
            self._session = None
            if time.monotonic() - begun > LONGEST_DELAY:
                delay = SHORTEST_DELAY
            self._session, delay = await self._again(why, delay)

    async def _again(self, why: str, delay: float) -> tuple[Session, float]:
        """Start another process, as often as it takes; return also the next one's delay."""
        while True:
            log.warning("images: the process ended: %s; another follows in %g s", why, delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)
            try:
                session = await self._started()
            except ConfigurationError as error:
                why = str(error)
            else:
                self.restarts += 1
                return session, delay

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.stop()
