"""`python -m tosip.iocs.pipeline CONFIG`, or `tosip run CONFIG`: the IOC of a configuration file.

Any drivers and plugins, wired by the file; see `tosip.iocs.config`.
"""

import argparse
import sys
from pathlib import Path

from tosip.arguments import Parser
from tosip.iocs.ioc_file import IocFile, load_ioc
from tosip.iocs.serving import add_options, serve


def main(arguments: list[str] | None = None) -> int:
    """Run the IOC and return the exit status: 0 after a clean stop, 2 for a user's mistake."""
    parser = Parser(
        prog="python -m tosip.iocs.pipeline",
        description="Serve the drivers and plugins of a configuration file over EPICS.",
    )
    add_arguments(parser)
    return run(parser.parse_args(arguments))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file and the options that every IOC has."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="the configuration, in TOML")
    add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Serve what the options name."""
    return serve(_configured, options)


def _configured(options: argparse.Namespace) -> IocFile:
    return load_ioc(options.config)


if __name__ == "__main__":
    sys.exit(main())
