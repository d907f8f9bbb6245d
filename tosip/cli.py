"""The `tosip` command. What a user did wrong is one line on stderr and exit status 2."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from tosip import __version__, stopping, streams
from tosip.arguments import Parser
from tosip.commands import configuration, gateway, new, rehearse, tables
from tosip.commands.algorithm_file import expect_file, program, read_description
from tosip.commands.files import check_writable
from tosip.commands.replay import TABLE_FORMATS, Row, replay, table_format, write_table
from tosip.commands.replay_bundles import replay_bundles, split_bundles, verdict_text, verdicts
from tosip.description import Description
from tosip.drivers.fits_options import checked_hdu
from tosip.errors import ConfigurationError, TosipError
from tosip.iocs import pipeline
from tosip.iocs.ioc_file import load_ioc, neosted_file
from tosip.logs import BRIEF

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    streams.prepare()
    terminal = logging.StreamHandler()
    terminal.setFormatter(BRIEF)
    # What is wrong with an image stands in the table.
    logging.basicConfig(level=logging.ERROR, handlers=[terminal])
    return streams.flushed(lambda: _run(arguments), "tosip")


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        return command(options)
    except TosipError as error:
        streams.complain(f"tosip: {error}")
        return 2
    except stopping.Stopped as stopped:
        return stopped.status
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="tosip", description="Python algorithms inside EPICS.")
    parser.add_argument("--version", action="version", version=f"tosip {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_replay(
        commands.add_parser(
            "replay",
            help="run an algorithm on stored images, or on a frame that failed",
            description="Run an algorithm on stored images, or on frames that failed in an IOC and "
            "were kept as bundles. A bundle runs with its own parameters, in the Python and with "
            "the file that failed, or with the FILE.py given before it. Exit status: 0 if all are "
            "well (now), 1 if any fails.",
        )
    )
    run = commands.add_parser("run", help="serve the IOC of a configuration file")
    pipeline.add_arguments(run)
    run.set_defaults(command=pipeline.run)
    check = commands.add_parser(
        "check",
        help="show the records that an algorithm or a configuration makes, or its faults",
    )
    _add_algorithm(check, "FILE.py[:CLASS]|CONFIG.toml", "the algorithm, or an IOC's configuration")
    check.add_argument(
        "--expand", action="store_true", help="print the whole configuration, defaults included"
    )
    check.set_defaults(command=_check)
    start = commands.add_parser(
        "new", help="write a starting algorithm with its test, or a starting configuration"
    )
    start.add_argument("name", metavar="NAME", help="in snake_case: bright_pixels")
    start.add_argument(
        "--ioc",
        action="store_true",
        help="write an IOC's configuration, NAME.toml; 'neosted' and 'beamline' are shipped ones",
    )
    start.set_defaults(command=_new)
    rehearsal = commands.add_parser(
        "rehearse", help="play a night of a scenario file: what would be advised about the focus"
    )
    rehearsal.add_argument(
        "scenario", type=Path, metavar="FILE.toml", help="or drift, seeing or faults, which ship"
    )
    rehearsal.set_defaults(command=_rehearse)
    screens = commands.add_parser("screens", help="regenerate the Phoebus screens")
    screens.add_argument(
        "config", nargs="?", type=Path, metavar="CONFIG", help="configuration (default: NEOSTED's)"
    )
    screens.add_argument("--output", type=Path, default=Path("pvi_screens"), metavar="DIR")
    screens.set_defaults(command=_screens)
    gateway.add_to(commands.add_parser("gateway", help="users and dead letters of the FTP gateway"))
    return parser


def _add_algorithm(
    parser: argparse.ArgumentParser,
    metavar: str = "FILE.py[:CLASS]",
    help_text: str = "the algorithm",
) -> None:
    parser.add_argument("algorithm", metavar=metavar, help=help_text)
    parser.add_argument(
        "--python", type=Path, metavar="INTERPRETER", help="Python that runs it (default: this)"
    )


def _add_replay(parser: argparse.ArgumentParser) -> None:
    _add_algorithm(parser)
    add = parser.add_argument
    add(
        "images",
        nargs="*",
        type=Path,
        metavar="IMAGE",
        help="FITS files, compressed or not; or bundles, which may come without FILE.py",
    )
    add("--set", action="append", default=[], metavar="name=value", help="set an input")
    add("--jobs", type=int, default=1, metavar="N", help="worker processes (default: 1)")
    add(
        "--timeout",
        type=float,
        metavar="S",
        help="longest time for an image (default: 60, of a bundle its own)",
    )
    add(
        "--hdu",
        default="",
        metavar="HDU",
        help="which image of several: a number, EXTNAME, EXTNAME,EXTVER, or all "
        "(default: the first that is no mask, error or weight)",
    )
    add("--bundled-code", action="store_true", help="run the code that is kept in the bundle")
    add("--output", type=Path, metavar="TABLE", help="write the table too: .csv or .ecsv")
    add("--attribute", action="append", default=[], metavar="NAME", help="show a header keyword")
    parser.set_defaults(command=_replay)


def _replay(options: argparse.Namespace) -> int:
    if options.jobs < 1:
        raise ConfigurationError(f"--jobs: expected at least 1, got {options.jobs}")
    if options.timeout is not None and not options.timeout > 0:  # a NaN neither
        raise ConfigurationError(f"--timeout: expected more than 0 s, got {options.timeout:g}")
    if options.output:
        _check_output(options.output)
    try:
        hdu = checked_hdu(options.hdu)
    except ValueError as error:
        raise ConfigurationError(f"--hdu: {error}") from None
    algorithm, bundles = split_bundles(options.algorithm, options.images)
    if bundles:
        return _replay_bundles(options, algorithm, bundles)
    if options.bundled_code:
        raise ConfigurationError("--bundled-code: expected bundles, got images")
    runs = program(options.algorithm, options.python)
    if not options.images:
        raise ConfigurationError(f"{options.algorithm}: expected an image behind it, got none")
    for image in options.images:
        expect_file(image)
    with _progress(len(options.images)) as advance:
        (description, rows), stopped = stopping.run(
            replay(
                runs,
                options.images,
                settings=options.set,
                jobs=options.jobs,
                timeout=60.0 if options.timeout is None else options.timeout,
                hdu=hdu,
                advance=advance,
            )
        )
    # The file first: standard output may be broken, or closed with its terminal.
    written = not options.output or _wrote(options, description, rows)
    tables.console().print(tables.results(description, rows, options.attribute))
    failed = not written or any(row.status == "error" for row in rows)
    return stopped or int(failed)


@contextmanager
def _progress(images: int) -> Iterator[Callable[[], None]]:
    """Show on a terminal how many images are done: call what is given after each."""
    progress = Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    )
    task = progress.add_task("replay", total=images)
    progress.start()
    try:
        yield lambda: progress.advance(task)
    finally:
        with suppress(OSError):  # the terminal may have been closed
            progress.stop()


def _check_output(path: Path) -> None:
    if table_format(path) is None:
        endings = " or ".join(TABLE_FORMATS)
        raise ConfigurationError(f"--output: expected {endings}, got {path}")
    try:
        check_writable(path)
    except OSError as error:
        raise ConfigurationError(f"--output: {path}: {error.strerror}") from None


def _wrote(options: argparse.Namespace, description: Description, rows: Sequence[Row]) -> bool:
    try:
        write_table(options.output, description, rows, options.attribute)
    except OSError as error:
        streams.complain(f"tosip: --output: {options.output}: {error.strerror}")
        return False
    return True


def _replay_bundles(
    options: argparse.Namespace, algorithm: str | None, bundles: Sequence[Path]
) -> int:
    for option, given in (
        ("--jobs", options.jobs != 1),
        ("--hdu", options.hdu),
        ("--output", options.output),
        ("--attribute", options.attribute),
    ):
        if given:
            raise ConfigurationError(f"{option}: expected images, got bundles")
    found, stopped = stopping.run(
        replay_bundles(
            bundles,
            algorithm=algorithm,
            interpreter=options.python,
            bundled_code=options.bundled_code,
            settings=options.set,
            timeout=options.timeout,
        )
    )
    console = tables.console()
    console.print(verdicts(found))
    for verdict in found:
        console.print(verdict_text(verdict))
    return stopped or int(any(verdict.fails for verdict in found))


def _check(options: argparse.Namespace) -> int:
    path = Path(options.algorithm)
    if path.suffix == ".toml":
        return _check_configuration(options, path)
    if options.expand:
        raise ConfigurationError(f"--expand: expected a configuration (.toml), got {path}")
    description, _ = stopping.run(read_description(program(options.algorithm, options.python)))
    tables.console().print(tables.declaration(description))
    return 0


def _check_configuration(options: argparse.Namespace, path: Path) -> int:
    if options.python:
        raise ConfigurationError("--python: expected FILE.py: a configuration names interpreters")
    file = load_ioc(path)
    if options.expand:
        sys.stdout.write(configuration.expanded(file.config))
        return 0
    described = configuration.descriptions(file)
    tables.console().print(configuration.ports_table(file.config, described))
    return 0


def _new(options: argparse.Namespace) -> int:
    made = (
        [new.create_ioc(options.name, Path())] if options.ioc else new.create(options.name, Path())
    )
    for path in made:
        sys.stdout.write(f"wrote {path}\n")
    return 0


def _rehearse(options: argparse.Namespace) -> int:
    scenario = rehearse.read_scenario(options.scenario)
    tables.console().print(rehearse.changes(scenario))
    return 0


def _screens(options: argparse.Namespace) -> int:
    file = load_ioc(options.config) if options.config else neosted_file(None)
    for path in configuration.write_screens_of(file, options.output):
        sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
