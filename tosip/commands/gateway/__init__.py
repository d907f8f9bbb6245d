"""`tosip gateway`: users, what is in the spool, and what to do about dead letters.

The gateway's modules are imported only when such a command runs: other commands start without them.
"""

import argparse
from pathlib import Path

FIRST = 10


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the commands; each sets `command` to what runs it."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_passwd(commands.add_parser("passwd", help="make or change a user that may upload"))
    _add_status(
        commands.add_parser(
            "status",
            help="show what is in the spool",
            description="Show what is in the spool, whether its gateway runs or not. Exit status: "
            "0 if nothing needs a person, 1 if there are dead letters.",
        )
    )
    _add_retry(
        commands.add_parser(
            "retry",
            help="forward dead letters again",
            description="Forward dead letters again: a running gateway does so at once.",
        )
    )
    _add_discard(
        commands.add_parser(
            "discard",
            help="give up dead letters for good",
            description="Give up dead letters for good: their bytes are removed.",
        )
    )


def _add_passwd(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Ask for a password, twice, or read it from standard input, and print the line for the "
        "users file, or put it there. The file keeps a hash only."
    )
    parser.add_argument("name", metavar="NAME", help="that the camera logs in with")
    parser.add_argument("--file", type=Path, metavar="USERS", help="users file to put the line in")
    parser.set_defaults(command=_passwd)


def _add_status(parser: argparse.ArgumentParser) -> None:
    _add_spool(parser)
    parser.add_argument(
        "--first",
        type=int,
        default=FIRST,
        metavar="N",
        help=f"show the N oldest pending and newest short files (default: {FIRST})",
    )
    parser.set_defaults(command=_status)


def _add_retry(parser: argparse.ArgumentParser) -> None:
    _add_spool(parser)
    parser.add_argument("ids", nargs="*", metavar="ID", help="as `status` shows them")
    parser.add_argument("--all", action="store_true", help="all dead letters")
    parser.set_defaults(command=_retry)


def _add_discard(parser: argparse.ArgumentParser) -> None:
    _add_spool(parser)
    parser.add_argument("ids", nargs="+", metavar="ID", help="as `status` shows them")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(command=_discard)


def _add_spool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "spool", type=Path, metavar="CONFIG|SPOOL", help="the gateway's configuration or its spool"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def _passwd(options: argparse.Namespace) -> int:
    from tosip.commands.gateway.passwd import passwd

    return passwd(options.name, options.file)


def _status(options: argparse.Namespace) -> int:
    from tosip.commands.gateway.place import usable
    from tosip.commands.gateway.status import status

    with usable(options.spool):
        return status(options.spool, first=options.first, as_json=options.json)


def _retry(options: argparse.Namespace) -> int:
    from tosip.commands.gateway.dead_letters import retry
    from tosip.commands.gateway.place import usable

    with usable(options.spool):
        return retry(options.spool, options.ids, every=options.all, as_json=options.json)


def _discard(options: argparse.Namespace) -> int:
    from tosip.commands.gateway.dead_letters import discard
    from tosip.commands.gateway.place import usable

    with usable(options.spool):
        return discard(options.spool, options.ids, yes=options.yes, as_json=options.json)
