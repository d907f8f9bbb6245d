"""The NEOSTED IOC: `python -m tosip.iocs.neosted --help`."""

import argparse
import sys
from pathlib import Path

from tosip.arguments import Parser
from tosip.iocs.ioc_file import IocFile, neosted_file
from tosip.iocs.neosted_view import VIEWS
from tosip.iocs.serving import add_options, serve


def main(arguments: list[str] | None = None) -> int:
    """Run the IOC and return the exit status: 0 after a clean stop, 2 for a user's mistake."""
    parser = Parser(
        prog="python -m tosip.iocs.neosted",
        description="Serve the figures of merit of NEOSTED's cameras over EPICS.",
    )
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help="configuration (default: built in)")
    add("--cameras", type=int, metavar="N", help="serve the first N cameras only")
    add_options(parser)
    return serve(_configured, parser.parse_args(arguments), VIEWS)


def _configured(options: argparse.Namespace) -> IocFile:
    return neosted_file(options.config, options.cameras)


if __name__ == "__main__":
    sys.exit(main())
