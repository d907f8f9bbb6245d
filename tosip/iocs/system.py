"""The NEOSTED system put together, without EPICS: gateway, drivers, plugins, and their wiring.

gateway -> CAMnn (FITS driver) -> FOCUSnn (focus plugin) -> FOCUS (all of them) -> FIELD, ENV
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tosip.bundles.keeper import Keeper
from tosip.bundles.shelf import Limits as BundleLimits
from tosip.drivers.driver import FitsDriver
from tosip.errors import ConfigurationError, ProtocolError, WorkerError
from tosip.gateway.announcer import OnStored
from tosip.gateway.gateway import Gateway
from tosip.gateway.receiving.memory import Received
from tosip.gateway.spool.stored import StoredFile
from tosip.iocs.children import Child
from tosip.iocs.config import CameraConfig, NeostedConfig, PluginConfig
from tosip.iocs.uploads import known_users
from tosip.pipeline.jobs import AlgorithmFault, Program
from tosip.pipeline.parameters import ParameterError
from tosip.pipeline.plugin import Plugin
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Ports

ALL_FOCUS = "FOCUS"
FIELD = "FIELD"
ENVIRONMENT = "ENV"
GATEWAY = "GATEWAY"

log = logging.getLogger(__name__)


@dataclass
class System:
    """All parts of a running system."""

    config: NeostedConfig
    gateway: Gateway
    pool: Pool
    drivers: dict[str, FitsDriver] = field(default_factory=dict)
    plugins: dict[str, Plugin] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0), repr=False)

    def serving(self) -> None:
        """Read what cameras have sent, and will send: there is somebody to see what comes of it.

        Let workers that had to wait start, as many at a time as there are CPUs.
        """
        for driver in self.drivers.values():
            driver.start()
        for _ in range(os.cpu_count() or 1):
            self.turns.release()

    def settings_of(self, plugin: Plugin) -> PluginConfig:
        """Return the section of the configuration that `plugin` was made from."""
        named = {FIELD: self.config.field, ENVIRONMENT: self.config.environment}
        return named.get(plugin.name, self.config.focus)


@asynccontextmanager
async def running(config: NeostedConfig, var: Path, *, simulate: bool) -> AsyncIterator[System]:
    """Start all parts; stop them, in the opposite order, at the end of the `async with`.

    What cameras have sent waits for `System.serving`. ConfigurationError tells what cannot be
    started, in one line.
    """
    async with AsyncExitStack() as stack:
        pool = Pool(config.pool_mib * 1024**2)
        stack.callback(pool.close)
        await stack.enter_async_context(beside(pool.shrink_when_idle()))
        ports = Ports()
        names = [camera.user for camera in config.cameras]
        users_known = asyncio.create_task(
            asyncio.to_thread(known_users, config.gateway.users, names, simulate=simulate)
        )
        archive = await config.archive.settings(var / "archive", stack, simulate=simulate)
        users, passwords = await users_known
        cameras = {camera.told_by: camera.port for camera in config.cameras}
        settings = config.gateway.settings(users, var / "spool", archive, cameras)
        system = System(config, Gateway(settings), pool, passwords=passwords)
        _add_drivers(system, pool, ports, stack)
        keeper = _keeper(config, var)
        stack.push_async_callback(keeper.close)
        await _add_plugins(system, pool, ports, stack)
        for plugin in system.plugins.values():
            keeper.watch(plugin)
        system.gateway.on_stored = _router(system)
        stack.push_async_callback(system.gateway.stop)
        yield system


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` until the end of the `async with`."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _keeper(config: NeostedConfig, var: Path) -> Keeper:
    """Keep failed frames, but not on the disk space without which no upload is taken."""
    limits = BundleLimits(
        number=config.bundles.number,
        size=config.bundles.mib * 1024**2,
        alike=config.bundles.alike,
        least_free=int(2 * config.gateway.limits.least_free_gib * 1024**3),
    )
    return Keeper(var / "bundles", limits)


def _add_drivers(system: System, pool: Pool, ports: Ports, stack: AsyncExitStack) -> None:
    options = system.config.fits.options()
    for camera in system.config.cameras:
        driver = FitsDriver(camera.port, pool, ports, options)
        stack.push_async_callback(driver.stop)
        system.drivers[camera.port] = driver


async def _add_plugins(system: System, pool: Pool, ports: Ports, stack: AsyncExitStack) -> None:
    config = system.config
    for camera in config.cameras:
        _add_plugin(system, camera.focus_port, config.focus, pool, ports, stack)
    _add_plugin(system, FIELD, config.field, pool, ports, stack)
    _add_plugin(system, ENVIRONMENT, config.environment, pool, ports, stack)
    await _start_plugins(system)
    _tell_cameras(system)
    for camera in config.cameras:
        system.plugins[camera.focus_port].connect(camera.port)
    ports.gather(ALL_FOCUS, [camera.focus_port for camera in config.cameras])
    system.plugins[FIELD].connect(ALL_FOCUS)
    system.plugins[ENVIRONMENT].connect(ALL_FOCUS)


def _add_plugin(
    system: System,
    name: str,
    config: PluginConfig,
    pool: Pool,
    ports: Ports,
    stack: AsyncExitStack,
) -> None:
    for file in (config.file, config.interpreter):
        if not file.is_file():
            raise ConfigurationError(f"{name}: expected a file, got {file}")
    program = Program(
        name,
        config.file.resolve(),
        config.class_name,
        config.interpreter,
        standby=config.standby,
        limits=config.limits.limits(),
    )
    plugin = Plugin(
        program,
        pool,
        ports,
        queue_size=config.queue_size,
        process_timeout=config.process_timeout,
        threads=config.threads,
        max_age=config.max_age,
    )
    stack.push_async_callback(plugin.stop)
    system.plugins[name] = plugin


async def _start_plugins(system: System) -> None:
    """Start one plugin of every kind, to know what it declares; the others follow it."""
    first: dict[tuple[Path, str | None, Path], Plugin] = {}
    for plugin in system.plugins.values():
        first.setdefault(_kind(plugin), plugin)
    async with _one_error(), asyncio.TaskGroup() as group:
        for plugin in first.values():
            group.create_task(_start(plugin, system.settings_of(plugin)))
    for plugin in system.plugins.values():
        if plugin is not first[_kind(plugin)]:
            plugin.start_like(first[_kind(plugin)], system.turns)
    for plugin in system.plugins.values():
        _set_inputs(plugin, system.settings_of(plugin))


def _kind(plugin: Plugin) -> tuple[Path, str | None, Path]:
    program = plugin.program
    return program.file, program.class_name, program.interpreter


async def _start(plugin: Plugin, config: PluginConfig) -> None:
    try:
        await plugin.start()
    except AlgorithmFault as fault:
        log.info("%s: %s", plugin.name, fault.traceback)  # the terminal gets one line
        raise ConfigurationError(f"{config.file}: {fault}") from None
    except (WorkerError, ProtocolError) as error:
        raise ConfigurationError(f"{plugin.name}: {config.interpreter}: {error}") from None


def _set_inputs(plugin: Plugin, config: PluginConfig) -> None:
    try:
        for name, value in config.params.items():
            plugin.params.set(name, value)
    except ParameterError as error:
        raise ConfigurationError(str(error)) from None


def _tell_cameras(system: System) -> None:
    """Set the field algorithm's input `cameras`, if it has one and nobody has configured it."""
    field = system.plugins[FIELD]
    declared = {declared.name for declared in field.description.inputs}
    if "cameras" in declared - set(system.config.field.params):
        field.params.set("cameras", len(system.config.cameras))


@asynccontextmanager
async def _one_error() -> AsyncIterator[None]:
    """Raise the first error of a task group: the others say the same of the other cameras."""
    try:
        yield
    except* ConfigurationError as group:
        error = group.exceptions[0]
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def _router(system: System) -> OnStored:
    """Bring a stored file to the driver of its camera."""

    def route(file: StoredFile, received: Received | None) -> None:
        driver = system.drivers.get(file.camera)
        if driver is None:
            log.info("%s: %r is no camera: archived only", file.name, file.camera)
            system.gateway.release(file.id)
            return
        driver.submit(
            file.path,
            name=file.name,
            received=file.received,
            done=lambda: system.gateway.release(file.id),
            memory=received,
        )

    return route


@asynccontextmanager
async def simulated_cameras(system: System) -> AsyncIterator[None]:
    """Let simulated cameras upload to the running gateway."""
    simulation = system.config.simulation
    cameras = [
        {"number": camera.number, "user": camera.user, "password": _password(system, camera)}
        for camera in system.config.cameras
    ]
    child = await Child.start(
        ["tosip.drivers.cameras"],
        {
            "host": system.config.gateway.hosts[0],
            "port": system.gateway.port,
            "cameras": cameras,
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


def _password(system: System, camera: CameraConfig) -> str:
    try:
        return system.passwords[camera.user]
    except KeyError:
        raise ConfigurationError(
            "gateway.users: expected none with --simulate: simulated cameras make their own"
        ) from None
