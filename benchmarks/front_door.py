"""The cost of an IOC that grows from a configuration: start, idle plugins, folder driver.

* Start: `tosip run` with a driver and two plugins, beside a bare softioc with as many records.
* Plugins: 1 to 128 of them; the start, and the IOC's CPU time while no frame comes.
* Folder: from the close of a file of 4096x4096 16-bit pixels to the beginning of `process()`; and
  the time until the first of 10,000 waiting files is processed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.records_process import cpu_seconds
from benchmarks.timing import table, targets
from tosip.drivers.sky import fits_bytes
from tosip.testing.ioc import IocProcess, own_network
from tosip.testing.process import LinesProcess

ROUNDS = 5
PLUGINS = (1, 8, 32, 128)
IDLE_SECONDS = 20.0
FRAMES = 10
WAITING = 10_000
LIMITS = {"start": 1.3, "idle": 0.2, "close": 50.0, "waiting": 5.0}

ALGORITHM = '''
import os, time
from tosip import Algorithm, Inputs, Outputs, output

class Figures(Outputs):
    begun: float = output("When process() began", units="s")

class Stamp(Algorithm[Inputs, Figures]):
    """Says when it begins."""
    def process(self, image, params, attributes, metadata):
        return Figures(begun=time.time())
'''
Row = tuple[str, str, str, bool]


def main() -> None:
    """Run all and print the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "stamp.py").write_text(ALGORITHM)
        rows = [_start(folder), *_plugins(folder), _closed(folder), _waiting(folder)]
    targets("The front door", rows)


def _configuration(folder: Path, plugins: int, driver: str) -> Path:
    path = folder / f"ioc{plugins}.toml"
    sections = "".join(
        f'[plugins.P{number}]\nfile = "stamp.py"\nsource = "CAM1"\n' for number in range(plugins)
    )
    path.write_text(f'prefix = "B:"\n[drivers.CAM1]\n{driver}\n{sections}')
    return path


_IDLE = 'kind = "simulated"\nacquire = false'


def _start(folder: Path) -> Row:
    config = _configuration(folder, 2, _IDLE)
    names = folder / "names"
    _timed(_run(config, folder / "count", "--pvlist", str(names)))
    records = str(len(names.read_text().splitlines()))
    bare = [sys.executable, "-m", "benchmarks.records_bare", "softioc", records]
    taken: dict[str, list[float]] = {"tosip run": [], "bare softioc": []}
    for number in range(ROUNDS):
        taken["tosip run"].append(_timed(_run(config, folder / f"start{number}")))
        taken["bare softioc"].append(_timed(bare))
    table(
        f"From exec to ready, {records} records, s",
        ("IOC", "median", "least", "most"),
        [(k, *(f"{f(v):.2f}" for f in (median, min, max))) for k, v in taken.items()],
    )
    ratio = median(taken["tosip run"]) / median(taken["bare softioc"])
    return (
        "exec to ready, to bare softioc",
        f"{ratio:.2f}",
        f"<= {LIMITS['start']}",
        ratio <= LIMITS["start"],
    )


def _run(config: Path, var: Path, *options: str) -> list[str]:
    module = [sys.executable, "-m", "tosip.iocs.pipeline"]
    return [*module, str(config), "--var", str(var), *options]


def _timed(command: Sequence[str]) -> float:
    begun = time.perf_counter()
    process = LinesProcess(command, own_network())
    try:
        process.wait_line("ready")
        return time.perf_counter() - begun
    finally:
        process.stop()


def _plugins(folder: Path) -> list[Row]:
    found = []
    for number in PLUGINS:
        config = _configuration(folder, number, _IDLE)
        begun = time.perf_counter()
        process = LinesProcess(_run(config, folder / f"plugins{number}"), own_network())
        try:
            process.wait_line("ready", 120.0)
            ready = time.perf_counter() - begun
            time.sleep(IDLE_SECONDS / 2)  # workers start behind the records
            before = cpu_seconds(process.pid)
            time.sleep(IDLE_SECONDS)
            idle = 100 * (cpu_seconds(process.pid) - before) / IDLE_SECONDS
        finally:
            process.stop()
        found.append((number, ready, idle))
    table(
        "Plugins that wait",
        ("plugins", "exec to ready s", "of it each ms", "idle CPU %", "each"),
        [
            (str(n), f"{ready:.2f}", f"{1e3 * ready / n:.0f}", f"{idle:.2f}", f"{idle / n:.3f}")
            for n, ready, idle in found
        ],
    )
    most, _, idle = found[-1]
    first, last = found[1], found[-1]
    slope = (last[1] - first[1]) / (last[0] - first[0])
    early = (found[2][1] - first[1]) / (found[2][0] - first[0])
    return [
        (
            f"idle CPU for each of {most} plugins",
            f"{idle / most:.3f} %",
            f"< {LIMITS['idle']} %",
            idle / most < LIMITS["idle"],
        ),
        (
            "start of a further plugin, 32 to 128 beside 8 to 32",
            f"{1e3 * slope:.0f} and {1e3 * early:.0f} ms",
            "linear",
            slope < 1.5 * early,
        ),
    ]


def _folder_ioc(folder: Path, images: Path, name: str) -> IocProcess:
    driver = f'kind = "folder"\nfolder = "{images}"'
    config = _configuration(folder, 1, driver)
    return IocProcess(["tosip.iocs.pipeline", str(config)], folder / name)


def _closed(folder: Path) -> Row:
    images = folder / "images"
    images.mkdir()
    data = fits_bytes(np.full((4096, 4096), 1000, np.uint16), {})
    ioc = _folder_ioc(folder, images, "closed")
    taken = []
    try:
        for number in range(FRAMES):
            (images / f"{number}.fits").write_bytes(data)
            closed = time.time()
            begun = ioc.wait("P0:Begun_RBV", _later(closed))
            taken.append(1e3 * (begun - closed))
    finally:
        ioc.stop()
    found = f"{median(taken):.0f} ms ({min(taken):.0f} to {max(taken):.0f})"
    limit = LIMITS["close"]
    return "file of 32 MiB closed to process()", found, f"< {limit:g} ms", median(taken) < limit


def _later(moment: float) -> Callable[[float], bool]:
    return lambda value: value > moment


def _waiting(folder: Path) -> Row:
    images = folder / "waiting"
    images.mkdir()
    data = fits_bytes(np.full((64, 64), 1000, np.uint16), {})
    for number in range(WAITING):
        (images / f"{number:05d}.fits").write_bytes(data)
    time.sleep(1.5)  # older than what may still be written
    ioc = _folder_ioc(folder, images, "waiting-var")
    served = time.time()
    try:
        begun = ioc.wait("P0:Begun_RBV", lambda value: value > 0)
        queued = ioc.wait("CAM1:QueuedFiles_RBV", lambda value: value > 0)
    finally:
        ioc.stop()
    taken, limit = max(0.0, begun - served), LIMITS["waiting"]
    return (
        f"{WAITING} waiting files: ready to the first process()",
        f"{taken:.2f} s ({int(queued)} queued then)",
        f"< {limit:g} s",
        taken < limit,
    )


if __name__ == "__main__":
    main()
