"""Makes and starts the plugins of an IOC from their sections of the configuration."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tosip.errors import ConfigurationError, ProtocolError, WorkerError
from tosip.iocs.config import PluginConfig
from tosip.pipeline.jobs import AlgorithmFault, Program
from tosip.pipeline.parameters import ParameterError
from tosip.pipeline.plugin import Plugin
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Ports
from tosip.pipeline.queues import Policy

log = logging.getLogger(__name__)

_Code = tuple[Path, str | None, Path]


def program_of(name: str, config: PluginConfig) -> Program:
    """Return the code that a plugin runs; ConfigurationError if its file is missing."""
    for key, file in (("file", config.file), ("interpreter", config.interpreter)):
        if not file.is_file():
            raise ConfigurationError(f"plugins.{name}.{key}: expected a file, got none at {file}")
    return Program(
        name,
        config.file.resolve(),
        config.class_name,
        config.interpreter,
        standby=config.standby,
        limits=config.limits.limits(),
    )


def make_plugin(name: str, config: PluginConfig, pool: Pool, ports: Ports) -> Plugin:
    """Make a plugin; ConfigurationError if its file or interpreter is missing."""
    plugin = Plugin(
        program_of(name, config),
        pool,
        ports,
        queue_size=config.queue_size,
        policy=Policy(config.policy),
        process_timeout=config.process_timeout,
        threads=config.threads,
        max_age=config.max_age,
    )
    plugin.enabled = config.enabled
    plugin.min_callback_time = config.min_callback_time
    plugin.reloader.automatic = config.auto_reload
    plugin.set_sorting(mode=config.sort_mode, time=config.sort_time)
    return plugin


async def start_plugins(
    plugins: Mapping[str, Plugin], sections: Mapping[str, PluginConfig], turns: asyncio.Semaphore
) -> None:
    """Start one plugin of each code, to read its declaration; the others start like it."""
    first: dict[_Code, str] = {}
    for name, plugin in plugins.items():
        first.setdefault(_code(plugin), name)
    async with _one_error(), asyncio.TaskGroup() as group:
        for name in first.values():
            group.create_task(_start(plugins[name], sections[name]))
    for name, plugin in plugins.items():
        if name != first[_code(plugin)]:
            plugin.start_like(plugins[first[_code(plugin)]], turns)
    for name, plugin in plugins.items():
        _set_inputs(plugin, sections[name])


def _code(plugin: Plugin) -> _Code:
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
    declared = {field.name for field in plugin.description.inputs}
    suggested = {name: value for name, value in config.suggested.items() if name in declared}
    try:
        for name, value in {**suggested, **config.params}.items():
            plugin.params.set(name, value)
    except ParameterError as error:
        raise ConfigurationError(str(error)) from None


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
