"""A running IOC without EPICS: drivers, plugins, gathers and the gateway that an `IocConfig` wires.

async with running(config, var, simulate=False) as system:
    ...                   # make the records, then
    system.serving()      # frames flow
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tosip.bundles.keeper import Keeper
from tosip.bundles.shelf import Limits as BundleLimits
from tosip.description import Description
from tosip.drivers.kinds import Driver, DriverContext, DriverKind, find_kind
from tosip.gateway.gateway import Gateway
from tosip.gateway.sections import LimitsConfig
from tosip.iocs.config import IocConfig
from tosip.iocs.ioc_file import IocFile
from tosip.iocs.plugins import PluginSection, describe, make_plugin, start_plugins
from tosip.iocs.uploads import Uploads
from tosip.pipeline.plugin import Plugin
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Port, Ports
from tosip.tasks import BackgroundTask


@dataclass
class System:
    """All parts of a running IOC. Drivers and plugins are in the order of the configuration.

    `descriptions` are what the plugins declare, with the configured alarm limits.
    """

    config: IocConfig
    pool: Pool
    ports: Ports = field(default_factory=Ports)
    drivers: dict[str, Driver] = field(default_factory=dict)
    plugins: dict[str, Plugin] = field(default_factory=dict)
    descriptions: dict[str, Description] = field(default_factory=dict)
    uploads: Uploads | None = None
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0), repr=False)

    @property
    def gateway(self) -> Gateway | None:
        """The FTP gateway, if the IOC has one."""
        return self.uploads.gateway if self.uploads else None

    def serving(self) -> None:
        """Start the drivers, now that records are there to show the frames.

        Lets workers that had to wait start, as many at a time as there are CPUs.
        """
        for driver in self.drivers.values():
            driver.start()
        for _ in range(os.cpu_count() or 1):
            self.turns.release()

    def kind(self, name: str) -> DriverKind:
        """Return the kind of the driver `name`."""
        return find_kind(self.config.drivers[name].kind)

    def shown_ports(self) -> Iterator[Port]:
        """Yield the ports whose images are served."""
        yield from (driver.port for driver in self.drivers.values())
        for name, plugin in self.plugins.items():
            if self.config.plugins[name].images:
                yield plugin.port


@asynccontextmanager
async def running(file: IocFile, var: Path, *, simulate: bool) -> AsyncIterator[System]:
    """Start all parts; stop them, in the opposite order, at the end of the `async with`.

    Drivers wait for `System.serving`. ConfigurationError names what cannot be started by its key.
    """
    config = file.config
    async with AsyncExitStack() as stack:
        pool = Pool(config.pool_mib * 1024**2)
        stack.callback(pool.close)
        await stack.enter_async_context(BackgroundTask("pool", pool.shrink_when_idle))
        system = System(config, pool)
        if config.gateway:
            system.uploads = await Uploads.open(config, var, stack, simulate=simulate)
        _add_drivers(system, var, stack)
        keeper = _keeper(config, var)
        stack.push_async_callback(keeper.close)
        await _add_plugins(system, file, var, stack)
        for plugin in system.plugins.values():
            keeper.watch(plugin)
        if system.uploads:
            system.uploads.connect(system.drivers)
            stack.push_async_callback(system.uploads.gateway.stop)
        yield system


def _add_drivers(system: System, var: Path, stack: AsyncExitStack) -> None:
    for name, config in system.config.drivers.items():
        context = DriverContext(system.pool, system.ports, var / "drivers" / name)
        driver = system.kind(name).make(name, config, context)
        stack.push_async_callback(driver.stop)
        system.drivers[name] = driver


async def _add_plugins(system: System, file: IocFile, var: Path, stack: AsyncExitStack) -> None:
    """Make and start all plugins, then wire them: sources may be listed in any order."""
    config, ports = system.config, system.ports
    sections = {
        name: PluginSection(name, plugin, file.place(name))
        for name, plugin in config.plugins.items()
    }
    for name, section in sections.items():
        plugin = await make_plugin(section, system.pool, ports, var / "state" / name)
        stack.push_async_callback(plugin.stop)
        system.plugins[name] = plugin
    await start_plugins(system.plugins, sections, system.turns)
    for name, section in sections.items():
        system.descriptions[name] = describe(section, system.plugins[name].description)
    for name in config.gather:
        ports.add(name)
    for name, gather in config.gather.items():
        ports.join(name, gather.sources)
    for name, plugin_config in config.plugins.items():
        system.plugins[name].connect(plugin_config.source)


def _keeper(config: IocConfig, var: Path) -> Keeper:
    """Keep failed frames, but not on the disk space without which no upload is taken."""
    uploads = config.gateway.limits if config.gateway else LimitsConfig()
    limits = BundleLimits(
        number=config.bundles.number,
        size=config.bundles.mib * 1024**2,
        alike=config.bundles.alike,
        least_free=int(2 * uploads.least_free_gib * 1024**3),
    )
    return Keeper(var / "bundles", limits)
