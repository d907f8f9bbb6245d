"""The NEOSTED IOC: `python -m tosip.iocs.neosted --help`."""

import argparse
import sys
from pathlib import Path

from tosip.arguments import Parser
from tosip.errors import ConfigurationError
from tosip.iocs.config import IocConfig
from tosip.iocs.neosted_config import load_neosted, neosted_ioc
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


def _configured(options: argparse.Namespace) -> IocConfig:
    config = load_neosted(options.config)
    if options.cameras is None:
        return neosted_ioc(config)
    if not 1 <= options.cameras <= len(config.cameras):
        raise ConfigurationError(
            f"--cameras: expected 1 to {len(config.cameras)}, got {options.cameras}"
        )
    cameras = config.cameras[: options.cameras]
    return neosted_ioc(config.model_copy(update={"cameras": cameras}))


if __name__ == "__main__":
    sys.exit(main())
