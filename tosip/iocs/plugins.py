"""Makes and starts the plugins of an IOC from their sections of the configuration."""

import asyncio
import logging
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tosip.configuration import expect_file, placed
from tosip.description import Description
from tosip.errors import ConfigurationError, ProtocolError, WorkerError
from tosip.iocs.config import PluginConfig, with_alarms
from tosip.pipeline.environment import environment
from tosip.pipeline.jobs import AlgorithmFault, Program
from tosip.pipeline.parameters import ParameterError, Parameters
from tosip.pipeline.plugin import Plugin
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Ports
from tosip.pipeline.queues import Policy
from tosip.pipeline.start_faults import start_fault
from tosip.tasks import in_thread

log = logging.getLogger(__name__)

FIND_TIMEOUT = 30.0  # s
_FIND = (
    "import importlib.util, sys; spec = importlib.util.find_spec(sys.argv[1]);"
    " print(spec.origin if spec else '')"
)

_Code = tuple[Path, str | None, Path]


@dataclass(frozen=True)
class PluginSection:
    """A plugin's port, its section of the configuration, and the section's key in the file."""

    name: str
    config: PluginConfig
    place: str

    async def program(self) -> Program:
        """Return the code that the plugin runs; ConfigurationError if its file is missing."""
        config = self.config
        expect_file(f"{self.place}.interpreter", config.interpreter)
        config.limits.limits().check(self.place)
        module, _, class_name = config.module.partition(":")
        if config.file is not None:
            expect_file(f"{self.place}.file", config.file)
            file = config.file
        else:
            file = await in_thread(_module_file, f"{self.place}.module", config.interpreter, module)
        return Program(
            self.name,
            # A link stays one: it may lead to another version later.
            Path(os.path.abspath(file)),
            class_name or config.class_name,
            config.interpreter,
            module=module,
            start_timeout=config.start_timeout,
            stop_timeout=config.stop_timeout,
            standby=config.standby,
            watch=tuple(map(str, config.watch)),
            limits=config.limits.limits(),
        )


def _module_file(place: str, interpreter: Path, module: str) -> Path:
    """Return a module's file as the interpreter finds it; ConfigurationError if it finds none."""
    try:
        found = subprocess.run(
            [interpreter, "-c", _FIND, module],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FIND_TIMEOUT,
            env=environment(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"{place}: {interpreter}: {error}") from None
    file = found.stdout.strip().rpartition("\n")[2]
    if found.returncode or not file.endswith(".py"):
        said = found.stderr.strip().rpartition("\n")[2] or "no such module"
        raise ConfigurationError(
            f"{place}: expected a module of {interpreter}, got {module} ({said})"
        )
    return Path(file)


async def make_plugin(section: PluginSection, pool: Pool, ports: Ports, state_file: Path) -> Plugin:
    """Make a plugin; ConfigurationError if its file or interpreter is missing."""
    config = section.config
    plugin = Plugin(
        await section.program(),
        pool,
        ports,
        queue_size=config.queue_size,
        policy=Policy(config.policy),
        process_timeout=config.process_timeout,
        threads=config.threads,
        max_age=config.max_age,
        state_file=state_file if config.keep_state else None,
    )
    plugin.enabled = config.enabled
    plugin.min_callback_time = config.min_callback_time
    plugin.reloader.automatic = config.auto_reload
    plugin.set_sorting(mode=config.sort_mode, time=config.sort_time, size=config.sort_size)
    plugin.throttle.limit = config.max_byte_rate
    return plugin


async def start_plugins(
    plugins: Mapping[str, Plugin], sections: Mapping[str, PluginSection], turns: asyncio.Semaphore
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
        plugin.params.update(first_values(sections[name], plugin.description))


def _code(plugin: Plugin) -> _Code:
    program = plugin.program
    return program.file, program.class_name, program.interpreter


async def _start(plugin: Plugin, section: PluginSection) -> None:
    place, class_name = section.place, section.config.class_name
    try:
        with placed({f"{plugin.name}.NumThreads": f"{place}.threads"}):
            await plugin.start()
    except (WorkerError, ProtocolError) as error:
        if isinstance(error, AlgorithmFault):
            log.info("%s: %s", plugin.name, error.traceback)  # the terminal gets one line
        wanted = f"expected class {class_name}("
        key = "class_name" if class_name and wanted in str(error) else "file"
        raise start_fault(
            plugin.program, error, file=f"{place}.{key}", interpreter=f"{place}.interpreter"
        ) from None


def first_values(section: PluginSection, description: Description) -> dict[str, object]:
    """Return the configured values of inputs; ConfigurationError names those that are refused."""
    declared = {field.name for field in description.inputs}
    config = section.config
    suggested = {name: value for name, value in config.suggested.items() if name in declared}
    try:
        # Checked under the names that the configuration has for them.
        Parameters(f"{section.place}.params", description).update(config.params)
    except ParameterError as error:
        raise ConfigurationError(str(error)) from None
    return {**suggested, **config.params}


def describe(section: PluginSection, description: Description) -> Description:
    """Return a declaration with the configured alarm limits; ConfigurationError for wrong ones."""
    with placed({"": f"{section.place}."}):
        return with_alarms(description, section.config.alarms)


@asynccontextmanager
async def _one_error() -> AsyncIterator[None]:
    """Raise the first error of a task group: the others say the same of the other plugins."""
    try:
        yield
    except* ConfigurationError as group:
        error = group.exceptions[0]
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
