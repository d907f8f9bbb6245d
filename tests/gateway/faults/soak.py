"""Many random kills, for the night: `python -m tests.gateway.faults.soak [--kills N] [--seed S]`.

The kills are done in parts, each with a plant and a seed of its own: what has gone wrong is found
after a few of them, and `--seed` with `--kills` of a part repeats its choices (when a kill comes by
the clock, what it interrupts is left to chance). One file of more than 2 GiB goes through first,
unless `--small`. Exit status 1 if anything acknowledged was lost; the plant is kept then.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.gateway.faults.large import LARGE, send_large
from tests.gateway.faults.plant import Plant
from tests.gateway.faults.schedule import Report, run

PART = 100


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status: 0 when everything was kept, 1 when not."""
    options = _parser().parse_args(arguments)
    end = time.monotonic() + options.seconds
    if not options.small and not _large():
        return 1
    _say(f"seed {options.seed}, {options.kills} kills in parts of {PART}")
    kills = part = 0
    while kills < options.kills and time.monotonic() < end:
        report = _part(options.seed + part, min(PART, options.kills - kills), end)
        if report is None:
            return 1
        kills += report.kills
        part += 1
        _say(f"{kills} kills; the last {report.kills}: {_told(report)}")
    if kills < options.kills:
        _say(f"expected {options.kills} kills, got {kills} in {options.seconds:g} s")
        return 1
    _say(f"{kills} kills, nothing lost")
    return 0


def _part(seed: int, kills: int, end: float) -> Report | None:
    """Kill so often; None if something was lost."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        with Plant(folder / "plant") as plant:
            report = run(plant, seed, kills, max(1.0, end - time.monotonic()), _progress)
    except BaseException:
        _say(f"failed with seed {seed}; what is left is in {folder}")
        raise
    if report.faults:
        _say(f"seed {seed}: {_told(report)}; what is left is in {folder}")
        for fault in report.faults:
            _say(fault)
        return None
    shutil.rmtree(folder)
    return report


def _large() -> bool:
    begun = time.monotonic()
    faults = send_large()
    _say(f"a file of {LARGE} bytes took {time.monotonic() - begun:.0f} s: {faults or 'kept'}")
    return not faults


def _progress(report: Report) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(f"\r{report.kills} kills of this part ")
        sys.stdout.flush()


def _told(report: Report) -> str:
    return f"{dict(report.by)}, {dict(report.did)}; uploads: {report.counts}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.gateway.faults.soak")
    add = parser.add_argument
    add("--kills", type=int, default=1000, help="how often (default: 1000)")
    add("--seed", type=int, default=random.randrange(1 << 32), help="of all choices")
    add("--seconds", type=float, default=3600.0, help="give up after so long (default: 3600)")
    add("--small", action="store_true", help="without the file of more than 2 GiB")
    return parser


if __name__ == "__main__":
    sys.exit(main())
