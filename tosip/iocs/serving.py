"""Serves an IOC: what `tosip run`, `python -m tosip.iocs.pipeline` and the NEOSTED IOC share.

Prints `TOSIP ready: ...` when it serves and runs until SIGTERM, SIGINT or SIGHUP.
"""

import argparse
import asyncio
import functools
import logging
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from tosip import stopping, streams
from tosip.configuration import placed
from tosip.errors import ConfigurationError, TosipError
from tosip.gateway.panel import gateway_items
from tosip.images import ImageServer
from tosip.iocs import network
from tosip.iocs.config import GATEWAY, HEALTH, PREFIX
from tosip.iocs.ioc_file import IocFile
from tosip.iocs.system import System, running
from tosip.iocs.view import Views, shown
from tosip.logs import BRIEF, log_file
from tosip.tasks import BackgroundTask, contain_unhandled

if TYPE_CHECKING:
    from tosip.records.ioc import Ioc

log = logging.getLogger("tosip")

# Where a user finds in the file what a part of the system complains about.
PLACES = {
    "Tls.": "gateway.tls.",
    "tls.": "gateway.tls.",
    "camera.": "gateway.camera.",
    "Spool.folder": "--var",
    "Spool.journal": "--var",
    "ArchiveSettings.": "archive.",
    "listen: ": "gateway.hosts or gateway.port: ",
    "tosip.gateway.archive: ": "archive: ",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every IOC has."""
    add = parser.add_argument
    add("--simulate", action="store_true", help="let simulated cameras upload frames by FTP")
    add("--prefix", help="prefix of all PVs (default: the configured one)")
    add("--var", type=Path, default=Path("var"), metavar="DIR", help="folder to write to")
    add("--screens", type=Path, metavar="DIR", help="write the Phoebus screens here at start")
    add("--acf", type=Path, metavar="FILE", help="EPICS access security rules: who may write what")
    add("--image-port", type=int, default=0, metavar="PORT", help="TCP port of images (any free)")
    add("--pvlist", type=Path, metavar="FILE", help="write the names of all PVs here at start")
    add("--interactive", action="store_true", help="give softioc's shell; leaving it ends the IOC")


def serve(
    read: Callable[[argparse.Namespace], IocFile],
    options: argparse.Namespace,
    views: Views | None = None,
) -> int:
    """Serve the IOC that `read` returns until a signal; return the exit status.

    0 after a clean stop, 2 for a user's mistake, 1 for a fault of TOSIP. Does not return if EPICS
    was loaded: it ends the process with that status.
    """
    streams.prepare()
    try:
        file = with_options(read(options), options)
        _prepare_var(options.var)
        _start_log(options.var)
        status = asyncio.run(_run(file, options, views or Views()))
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


def with_options(file: IocFile, options: argparse.Namespace) -> IocFile:
    """Return the configuration with what the command line changes; ConfigurationError."""
    gateway = file.config.gateway
    if options.simulate and gateway is None:
        raise ConfigurationError(
            "--simulate: expected a configuration with a [gateway], to which simulated cameras "
            "upload; a driver of the kind simulated needs no option"
        )
    if options.simulate and gateway and gateway.tls is not None and gateway.tls.required:
        raise ConfigurationError(
            "--simulate: expected gateway.tls.required = false: the simulated cameras have no TLS"
        )
    if options.prefix is None:
        return file
    if not re.fullmatch(PREFIX, options.prefix):
        raise ConfigurationError(
            f"--prefix: expected letters, digits, - and _, and ':' at the end, "
            f"got {options.prefix!r}"
        )
    return file.changed(prefix=options.prefix)


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


async def _run(file: IocFile, options: argparse.Namespace, views: Views) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    contain_unhandled(loop)
    stopping.on_stop(lambda _: stop.set())
    # Before there are threads: the environment must not change while one of them reads it.
    file.config.network.export()
    network.stay_on_loopback()
    network.warn_of_taken_port()
    # Side by side with the start of everything else, which mostly waits for other processes.
    loading = asyncio.create_task(asyncio.to_thread(_load_epics))
    async with AsyncExitStack() as stack:
        with placed(PLACES, file.path):
            system = await stack.enter_async_context(
                running(file, options.var, simulate=options.simulate)
            )
            if system.gateway:
                await system.gateway.start()
        if options.screens:
            _write_screens(system, options.screens)
        await loading
        ioc = await _serve_epics(system, file, options, stack)
        _say_ready(system)
        system.serving()
        if options.simulate and system.uploads:
            await stack.enter_async_context(system.uploads.simulated_cameras())
        if options.interactive:
            ioc.start_shell({"system": system}, lambda: loop.call_soon_threadsafe(stop.set))
        with shown(system, views) if not options.interactive else nullcontext():
            await stop.wait()
    return 0


async def _serve_epics(
    system: System, file: IocFile, options: argparse.Namespace, stack: AsyncExitStack
) -> "Ioc":
    """Serve records and images until `stack` ends."""
    images = _images(system, options.image_port)
    starting = asyncio.create_task(images.start())
    stack.push_async_callback(images.stop)
    prefix = system.config.prefix
    place = "--prefix" if options.prefix is not None else f"{file.path}: prefix"
    with placed({prefix: f"{place}: {prefix}"}):
        ioc = await _serve_records(system, options)
    stack.callback(ioc.stop)
    await starting
    if options.pvlist:
        _list_pvs(options.pvlist, [*ioc.names(), *images.pv_names])
    follow = functools.partial(ioc.follow, system.pool.figures)
    await stack.enter_async_context(BackgroundTask("records", follow))
    return ioc


def _load_epics() -> None:
    """Import EPICS, which reads its environment then."""
    import tosip.records.ioc  # noqa: F401


async def _serve_records(system: System, options: argparse.Namespace) -> "Ioc":
    """Make the records and start EPICS."""
    from tosip.records.ioc import Ioc

    config = system.config
    ioc = Ioc(config.prefix, options.var / "autosave", options.acf)
    ioc.add_pool(system.pool)
    for name, driver in system.drivers.items():
        kind = system.kind(name)
        driver.on_change.connect(ioc.add_driver(name, driver, kind.items, kind.model))
    for name, plugin in system.plugins.items():
        ioc.add_plugin(name, plugin, system.descriptions[name])
    if system.gateway and config.gateway:
        items = gateway_items(config.of_kind("ftp"), config.gateway.max_age)
        changed = ioc.add_part(GATEWAY, system.gateway, items, "FTP gateway")
        system.gateway.on_change = lambda _counters: changed()
    ioc.add_health(HEALTH)
    await asyncio.sleep(0)  # the process of the images starts meanwhile
    await ioc.run()
    return ioc


def _say_ready(system: System) -> None:
    config = system.config
    ready = f"TOSIP ready: prefix {config.prefix}"
    if system.gateway and config.gateway:
        ready += f" gateway {config.gateway.hosts[0]}:{system.gateway.port}"
    streams.say(ready)


def _images(system: System, tcp_port: int) -> ImageServer:
    images = ImageServer(system.config.prefix, port=tcp_port)
    for port in system.shown_ports():
        images.add(f"{port.name}:", port)
    return images


def _list_pvs(file: Path, names: Iterable[str]) -> None:
    try:
        file.write_text("".join(f"{name}\n" for name in sorted(names)))
    except OSError as error:
        raise ConfigurationError(f"--pvlist: {file}: {error.strerror}") from None


def _write_screens(system: System, folder: Path) -> None:
    from tosip.iocs.screens import write_ioc_screens  # loads pvi

    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_ioc_screens(folder, system.config, system.descriptions)
    except OSError as error:
        raise ConfigurationError(f"--screens: {folder}: {error.strerror}") from None
