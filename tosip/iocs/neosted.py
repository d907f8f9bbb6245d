"""The NEOSTED IOC: `python -m tosip.iocs.neosted --help`.

Prints `TOSIP ready: ...` when it serves and runs until SIGTERM, SIGINT or SIGHUP.
"""

import argparse
import asyncio
import functools
import logging
import os
import re
import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tosip import stopping, streams
from tosip.arguments import Parser
from tosip.configuration import placed
from tosip.drivers.panel import DRIVER_ITEMS
from tosip.errors import ConfigurationError, TosipError
from tosip.gateway.panel import gateway_items
from tosip.images import ImageServer
from tosip.iocs import network
from tosip.iocs.config import PREFIX, NeostedConfig, load_config, with_alarms
from tosip.iocs.system import (
    ENVIRONMENT,
    FIELD,
    GATEWAY,
    HEALTH,
    System,
    running,
    simulated_cameras,
)
from tosip.iocs.view import shown
from tosip.logs import BRIEF, log_file
from tosip.tasks import BackgroundTask, contain_unhandled

if TYPE_CHECKING:
    from tosip.records.ioc import Ioc


log = logging.getLogger("tosip")

_HIGHEST_PORT = 65535

# Where a user finds in the file what a part of the system complains about.
PLACES = {
    "Tls.": "gateway.tls.",
    "camera.": "gateway.camera.",
    "Spool.folder": "--var",
    "Spool.journal": "--var",
    "ArchiveSettings.": "archive.",
    "listen: ": "gateway.hosts or gateway.port: ",
    "tosip.gateway.archive: ": "archive: ",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the IOC and return the exit status: 0 after a clean stop, 2 for a user's mistake."""
    streams.prepare()
    options = _parser().parse_args(arguments)
    try:
        config = _configured(options)
        _prepare_var(options.var)
        _start_log(options.var)
        status = asyncio.run(_run(config, options))
    except TosipError as error:
        streams.complain(f"tosip: {error}")
        status = 2
    except Exception:
        log.exception("a fault of TOSIP")
        status = 1
    if "softioc" in sys.modules:  # its threads do not end by themselves
        from tosip.records.ioc import leave

        leave(status)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m tosip.iocs.neosted",
        description="Serve the figures of merit of NEOSTED's cameras over EPICS.",
    )
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help="configuration (default: built in)")
    add("--simulate", action="store_true", help="let simulated cameras upload frames")
    add("--cameras", type=int, metavar="N", help="serve the first N cameras only")
    add("--prefix", help="prefix of all PVs (default: NEOSTED:)")
    add("--var", type=Path, default=Path("var"), metavar="DIR", help="folder to write to")
    add("--screens", type=Path, metavar="DIR", help="write the Phoebus screens here at start")
    add("--acf", type=Path, metavar="FILE", help="EPICS access security rules: who may write what")
    add("--image-port", type=int, default=0, metavar="PORT", help="TCP port of images (any free)")
    add("--pvlist", type=Path, metavar="FILE", help="write the names of all PVs here at start")
    add("--interactive", action="store_true", help="give softioc's shell; leaving it ends the IOC")
    return parser


def _configured(options: argparse.Namespace) -> NeostedConfig:
    if options.config is not None and not os.path.isfile(options.config):
        raise ConfigurationError(f"--config: expected a file, got none at {options.config}")
    config = load_config(options.config)
    changes: dict[str, object] = {}
    if options.prefix is not None:
        if not re.fullmatch(PREFIX, options.prefix):
            raise ConfigurationError(
                f"--prefix: expected letters, digits, - and _, and ':' at the end, "
                f"got {options.prefix!r}"
            )
        changes["prefix"] = options.prefix
    if options.cameras is not None:
        if not 1 <= options.cameras <= len(config.cameras):
            raise ConfigurationError(
                f"--cameras: expected 1 to {len(config.cameras)}, got {options.cameras}"
            )
        changes["cameras"] = config.cameras[: options.cameras]
    if not 0 <= options.image_port <= _HIGHEST_PORT:
        raise ConfigurationError(
            f"--image-port: expected 0 to {_HIGHEST_PORT}, got {options.image_port}"
        )
    if options.simulate and config.gateway.tls is not None and config.gateway.tls.required:
        raise ConfigurationError(
            "--simulate: expected gateway.tls.required = false: the simulated cameras have no TLS"
        )
    return config.model_copy(update=changes)


def _prepare_var(var: Path) -> None:
    try:
        _log_folder(var).mkdir(parents=True, exist_ok=True)
        for folder in (var, _log_folder(var)):
            probe = folder / ".writable"
            probe.touch()
            probe.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"--var: expected a folder to write to, got {var} ({error.strerror})"
        ) from None


def _log_folder(var: Path) -> Path:
    return var / "log"


def _start_log(var: Path) -> None:
    file = log_file(_log_folder(var) / "tosip.log")
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    terminal.setFormatter(BRIEF)
    logging.basicConfig(level=logging.INFO, handlers=[file, terminal], force=True)
    # Two lines for each connection, also of strangers, who could rotate everything else away.
    logging.getLogger("aioftp").setLevel(logging.WARNING)


async def _run(config: NeostedConfig, options: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    contain_unhandled(loop)
    stopping.on_stop(lambda _: stop.set())
    # Before there are threads: the environment must not change while one of them reads it.
    network.stay_on_loopback()
    # Side by side with the start of everything else, which mostly waits for other processes.
    loading = asyncio.create_task(asyncio.to_thread(_load_epics))
    async with AsyncExitStack() as stack:
        with placed(PLACES, options.config):
            system = await stack.enter_async_context(
                running(config, options.var, simulate=options.simulate)
            )
            await system.gateway.start()
        if options.screens:
            _write_screens(system, options.screens)
        await loading
        images = _images(system, options.image_port)
        starting = asyncio.create_task(images.start())
        stack.push_async_callback(images.stop)
        with placed({config.prefix: f"{_place_of_prefix(options)}: {config.prefix}"}):
            ioc = await _serve(system, options)
        stack.callback(ioc.stop)
        with placed({"images: ": "--image-port: "} if options.image_port else {}):
            await starting
        if options.pvlist:
            _list_pvs(options.pvlist, [*ioc.names(), *images.pv_names])
        follow = functools.partial(ioc.follow, system.pool.figures)
        await stack.enter_async_context(BackgroundTask("records", follow))
        streams.say(
            f"TOSIP ready: prefix {config.prefix} "
            f"gateway {config.gateway.hosts[0]}:{system.gateway.port}"
        )
        system.serving()
        if options.simulate:
            await stack.enter_async_context(simulated_cameras(system))
        if options.interactive:
            ioc.start_shell({"system": system}, lambda: loop.call_soon_threadsafe(stop.set))
            await stop.wait()
        else:
            with shown(system):
                await stop.wait()
    return 0


def _place_of_prefix(options: argparse.Namespace) -> str:
    return "--prefix" if options.prefix is not None else f"{options.config}: prefix"


def _load_epics() -> None:
    """Import EPICS, which reads its environment then."""
    import tosip.records.ioc  # noqa: F401


async def _serve(system: System, options: argparse.Namespace) -> "Ioc":
    """Make the records and start EPICS."""
    from tosip.records.ioc import Ioc

    ioc = Ioc(system.config.prefix, options.var / "autosave", options.acf)
    ioc.add_pool(system.pool)
    for driver in system.drivers.values():
        changed = ioc.add_driver(driver.name, driver, DRIVER_ITEMS, "FITS files")
        driver.on_change.connect(changed)
    for plugin in system.plugins.values():
        described = with_alarms(plugin.description, system.settings_of(plugin).alarms)
        ioc.add_plugin(plugin.name, plugin, described)
    ports = (driver.name for driver in system.drivers.values())
    items = gateway_items(ports, system.config.gateway.max_age)
    changed = ioc.add_part(GATEWAY, system.gateway, items, "FTP gateway")
    system.gateway.on_change = lambda _counters: changed()
    ioc.add_health(HEALTH)
    await asyncio.sleep(0)  # the process of the images starts meanwhile
    await ioc.run()
    return ioc


def _images(system: System, tcp_port: int) -> ImageServer:
    images = ImageServer(system.config.prefix, port=tcp_port)
    drivers, plugins = system.drivers.values(), system.plugins.values()
    for port in (*(driver.port for driver in drivers), *(plugin.port for plugin in plugins)):
        images.add(f"{port.name}:", port)
    return images


def _list_pvs(file: Path, names: Iterable[str]) -> None:
    try:
        file.write_text("".join(f"{name}\n" for name in sorted(names)))
    except OSError as error:
        raise ConfigurationError(f"--pvlist: {file}: {error.strerror}") from None


def _write_screens(system: System, folder: Path) -> None:
    from tosip.iocs.screens import write_neosted_screens  # loads pvi

    focus = system.plugins[system.config.cameras[0].focus_port]
    descriptions = [
        with_alarms(plugin.description, system.settings_of(plugin).alarms)
        for plugin in (focus, system.plugins[FIELD], system.plugins[ENVIRONMENT])
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_neosted_screens(folder, system.config, *descriptions)
    except OSError as error:
        raise ConfigurationError(f"--screens: {folder}: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
