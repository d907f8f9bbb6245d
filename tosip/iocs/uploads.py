"""The FTP gateway of a running IOC: it feeds the drivers of the kind `ftp`."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tosip.drivers.driver import FitsDriver
from tosip.drivers.kinds import Driver
from tosip.errors import ConfigurationError
from tosip.gateway.gateway import Gateway
from tosip.gateway.receiving.memory import Received
from tosip.gateway.spool.stored import StoredFile
from tosip.iocs.children import Child
from tosip.iocs.config import IocConfig
from tosip.iocs.gateway_config import ArchivingConfig, UploadsConfig, known_users

log = logging.getLogger(__name__)


class Uploads:
    """The gateway of a running IOC, and the drivers of the kind `ftp` that it feeds.

    `passwords` are those of simulated cameras, by user; empty if a file has the users.
    """

    def __init__(self, config: IocConfig, gateway: Gateway, passwords: Mapping[str, str]) -> None:
        self.gateway = gateway
        self._config = config
        self.passwords = passwords
        self._drivers: Mapping[str, FitsDriver] = {}

    @classmethod
    async def open(
        cls, config: IocConfig, var: Path, stack: AsyncExitStack, *, simulate: bool
    ) -> Uploads:
        """Read the users, reach the archive, and make the gateway; it does not listen yet."""
        uploads, cameras = config.gateway or UploadsConfig(), config.of_kind("ftp")
        names = [camera.user for camera in cameras.values()]
        users_known = asyncio.create_task(
            asyncio.to_thread(known_users, uploads.users, names, simulate=simulate)
        )
        archiving = config.archive or ArchivingConfig()
        archive = await archiving.settings(var / "archive", stack, simulate=simulate)
        users, passwords = await users_known
        ports = {camera.told_by: name for name, camera in cameras.items()}
        settings = uploads.settings(users, var / "spool", archive, ports)
        return cls(config, Gateway(settings), passwords)

    def connect(self, drivers: Mapping[str, Driver]) -> None:
        """Submit each stored file to the driver of its camera."""
        self._drivers = {
            name: driver for name, driver in drivers.items() if isinstance(driver, FitsDriver)
        }
        self.gateway.on_stored = self._route

    def _route(self, file: StoredFile, received: Received | None) -> None:
        driver = self._drivers.get(file.camera)
        if driver is None:
            log.info("%s: %r is no camera: archived only", file.name, file.camera)
            self.gateway.release(file.id)
            return
        driver.submit(
            file.path,
            name=file.name,
            received=file.received,
            done=lambda: self.gateway.release(file.id),
            memory=received,
        )

    @asynccontextmanager
    async def simulated_cameras(self) -> AsyncIterator[None]:
        """Let simulated cameras upload to the running gateway during the `async with`."""
        simulation, cameras = self._config.simulation, self._config.of_kind("ftp")
        logins = [
            {
                "number": _number(name, position),
                "user": camera.user,
                "password": self._password(camera.user),
            }
            for position, (name, camera) in enumerate(cameras.items(), 1)
        ]
        child = await Child.start(
            ["tosip.drivers.cameras"],
            {
                "host": (self._config.gateway or UploadsConfig()).hosts[0],
                "port": self.gateway.port,
                "cameras": logins,
                "size": simulation.size,
                "period": simulation.period,
                "seed": simulation.seed,
                "exposures": None,
            },
        )
        child.drain()
        try:
            yield
        finally:
            await child.stop()

    def _password(self, user: str) -> str:
        try:
            return self.passwords[user]
        except KeyError:
            raise ConfigurationError(
                "gateway.users: expected none with --simulate: simulated cameras make their own"
            ) from None


def _number(name: str, position: int) -> int:
    """Return a camera's number: the digits at the end of its port's name, else its position."""
    digits = re.search(r"[0-9]+$", name)
    return int(digits[0]) if digits else position
