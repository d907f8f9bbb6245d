"""How long NEOSTED's IOC takes to serve, and what each further record costs, in turns.

Wall time is from exec to the line that says so; CPU time is the IOC's own, without its workers'.
The difference between 16 cameras and one, by the difference of their records, is what a hundred
further records cost, with all that hangs on them; a bare IOC of softioc, and one whose records
EPICS makes without Python, are measured the same way.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.records_bare import WAYS
from benchmarks.records_process import cpu_seconds, memory
from benchmarks.timing import extremes, table
from tosip.testing.ioc import own_network
from tosip.testing.process import LinesProcess

CAMERAS = 16
ROUNDS = 3
LIMIT = 6.0  # s
LIMIT_OF_HUNDRED = 0.008  # s
NEOSTED = "NEOSTED"
_SETTLE = 10.0  # s until the workers run and frames have come
_CONFIG = "[gateway]\nport = 0\n"

Row = tuple[str, str, str, bool]


@dataclass(frozen=True)
class Start:
    """One start: seconds until it served, CPU seconds of the IOC until then."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Started:
    """All starts of one IOC with so many records."""

    records: int
    starts: list[Start]

    def of(self, kind: str) -> list[float]:
        """List the seconds of one kind."""
        return [getattr(start, kind) for start in self.starts]


Starts = Mapping[tuple[str, int], Started]


def main() -> list[Row]:
    """Print the tables and return the rows for the targets."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = (_count_records(Path(folder), cameras) for cameras in (1, CAMERAS))
        starts = _measure(Path(folder), {1: small, CAMERAS: large})
    _show(starts)
    return _judge(starts)


def _measure(folder: Path, counts: Mapping[int, int]) -> Starts:
    """Start everything in turns."""
    starts: dict[tuple[str, int], Started] = {
        (way, records): Started(records, [])
        for way in (NEOSTED, *WAYS)
        for records in counts.values()
    }
    for number in range(ROUNDS):
        for cameras, records in counts.items():
            var = folder / f"var{number}-{cameras}"
            starts[NEOSTED, records].starts.append(_start(_neosted(folder, var, cameras)))
            for way in WAYS:
                command = _python("benchmarks.records_bare", way, str(records))
                starts[way, records].starts.append(_start(command))
    return starts


def _start(command: Sequence[str]) -> Start:
    process, start = _started(command)
    process.stop()
    return start


def _started(command: Sequence[str]) -> tuple[LinesProcess, Start]:
    network = own_network()
    begun = time.perf_counter()
    process = LinesProcess(command, network)
    try:
        process.wait_line("ready")
    except TimeoutError:
        process.stop()
        raise
    wall = time.perf_counter() - begun
    return process, Start(wall, cpu_seconds(process.pid))


def _neosted(folder: Path, var: Path, cameras: int) -> list[str]:
    config = folder / "neosted.toml"
    config.write_text(_CONFIG)
    options = ("--simulate", "--cameras", str(cameras), "--config", str(config), "--var", str(var))
    return _python("tosip.iocs.neosted", *options)


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _count_records(folder: Path, cameras: int) -> int:
    """Start once without timing it: files are in the system's cache after that."""
    names = folder / "names"
    command = _neosted(folder, folder / f"count{cameras}", cameras)
    _started([*command, "--pvlist", str(names)])[0].stop()
    return len(names.read_text().splitlines())


def settled_memory() -> dict[str, dict[str, float]]:
    """Memory of NEOSTED's IOC with 16 cameras when it serves, and when frames have come; MiB."""
    with tempfile.TemporaryDirectory() as folder:
        process, _ = _started(_neosted(Path(folder), Path(folder) / "var", CAMERAS))
        try:
            serving = memory(process.pid)
            time.sleep(_SETTLE)
            return {"serving": serving, f"{_SETTLE:g} s later": memory(process.pid)}
        finally:
            process.stop()


def of_hundred(starts: Starts, way: str, kind: str) -> float:
    """The seconds that a hundred further records take, by the medians."""
    small, large = (started for (name, _), started in starts.items() if name == way)
    more = median(large.of(kind)) - median(small.of(kind))
    return 100 * more / (large.records - small.records)


def _show(starts: Starts) -> None:
    rows: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for (way, records), started in starts.items():
        _, *wall = extremes(started.of("wall"))
        cpu = f"{1e3 * median(started.of('cpu')):.0f}"
        rows[way].append((way, str(records), *(value.split(".")[0] for value in wall), cpu))
    table(
        f"From exec to serving, {ROUNDS} rounds: NEOSTED with 1 and {CAMERAS} cameras",
        ("IOC", "records", "median ms", "least", "most", "IOC's CPU ms"),
        [row for each in rows.values() for row in each],
    )
    table(
        "A hundred further records",
        ("IOC", "ms", "IOC's CPU ms", "wall, in EPICS'"),
        [
            (
                way,
                f"{1e3 * of_hundred(starts, way, 'wall'):.1f}",
                f"{1e3 * of_hundred(starts, way, 'cpu'):.1f}",
                f"{of_hundred(starts, way, 'wall') / of_hundred(starts, 'epics', 'wall'):.1f}",
            )
            for way in (NEOSTED, *WAYS)
        ],
    )


def _judge(starts: Starts) -> list[Row]:
    wall = max(
        (started for (way, _), started in starts.items() if way == NEOSTED),
        key=lambda started: started.records,
    ).of("wall")
    ready, hundred = median(wall), of_hundred(starts, NEOSTED, "wall")
    ranged = f"{ready:.1f} s ({min(wall):.1f} to {max(wall):.1f})"
    return [
        (f"NEOSTED, {CAMERAS} cameras: exec to ready", ranged, f"< {LIMIT:g} s", ready < LIMIT),
        (
            "a hundred further records of plugins",
            f"{1e3 * hundred:.1f} ms",
            f"< {1e3 * LIMIT_OF_HUNDRED:g} ms",
            hundred < LIMIT_OF_HUNDRED,
        ),
    ]
