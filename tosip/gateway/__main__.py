"""A gateway that runs alone, without IOC or EPICS: `python -m tosip.gateway --help`.

Prints `gateway ready: ...` when it serves and runs until SIGTERM, SIGINT or SIGHUP. Without a
pipeline each file counts as released when it is announced.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tosip import stopping, streams
from tosip.arguments import Parser
from tosip.configuration import placed
from tosip.errors import ConfigurationError, TosipError
from tosip.gateway.config import load_config
from tosip.gateway.gateway import Gateway
from tosip.gateway.settings import GatewaySettings
from tosip.logs import FORMAT, log_file

logger = logging.getLogger("tosip.gateway")

# Where a user finds in the file what a part of the gateway complains about.
PLACES = {
    "Tls.": "listen.tls.",
    "Spool.folder": "spool.folder",
    "Spool.journal": "spool.folder",
    "ArchiveSettings.": "archive.",
    "listen: ": "listen.hosts or listen.port: ",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gateway and return the exit status: 0 after a clean stop, 2 for a user's mistake."""
    streams.prepare()
    options = _parser().parse_args(arguments)
    # Nobody else's business: what cameras send, and the log.
    os.umask(0o027)
    try:
        _start_log(options.log, verbose=options.verbose)
        config = load_config(options.config)
        with placed(PLACES, options.config):
            return asyncio.run(_run(config.settings()))
    except TosipError as error:
        streams.complain(f"gateway: {error}")
        return 2
    except Exception:
        logger.exception("a fault of the gateway")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m tosip.gateway",
        description="Take files by FTP, keep them safe, forward them to an archive.",
    )
    add = parser.add_argument
    add("config", type=Path, metavar="CONFIG", help="TOML file; docs/gateway.toml shows all of it")
    add(
        "--log", type=Path, metavar="FILE", help="log to this file, with rotation (default: stderr)"
    )
    add("--verbose", action="store_true", help="log more, to find faults")
    return parser


def _start_log(file: Path | None, *, verbose: bool) -> None:
    handler: logging.Handler = logging.StreamHandler()
    if file is not None:
        try:
            handler = log_file(file)
        except OSError as error:
            raise ConfigurationError(
                f"--log: expected a file to write to, got {file} ({error.strerror})"
            ) from None
    handler.setFormatter(FORMAT)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("aioftp").setLevel(logging.DEBUG if verbose else logging.WARNING)
    logging.getLogger("tosip").setLevel(logging.DEBUG if verbose else logging.INFO)


async def _run(settings: GatewaySettings) -> int:
    stop = asyncio.Event()
    stopping.on_stop(lambda _: stop.set())
    gateway = Gateway(settings)
    await gateway.start()
    try:
        streams.say(f"gateway ready: {_places(settings, gateway.port)}")
        await stop.wait()
    finally:
        await gateway.stop()
    return 0


def _places(settings: GatewaySettings, port: int) -> str:
    hosts = (f"[{host}]" if ":" in host else host for host in settings.hosts)
    return " ".join(f"{host}:{port}" for host in hosts)


if __name__ == "__main__":
    sys.exit(main())
