"""How much memory 16 cameras and 16 plugins with a worker each take, and that frames count once.

Every camera fills several frames, every algorithm reads all pixels. The resident set size (RSS)
counts a page in every process that maps it; the proportional one (PSS) divides it among them, so
that the sum over all processes is what the machine has to have.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rig import MIB, BenchmarkError, Rig
from benchmarks.timing import table, targets
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.plugin import Outcome, Plugin
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Port

_CAMERAS = 16
_SHAPE = (2048, 2048)
_FRAMES = 5  # of each camera
_BODY = "return Figures(value=float(image.sum()))"
_FIGURES = ("Rss", "Pss", "Pss_Shmem", "Pss_Anon", "Pss_File")

Figures = dict[str, float]


def main() -> None:
    """Print the tables."""
    with Rig() as rig:
        alone = _sum([_memory(os.getpid())])
        names = [f"P{number}" for number in range(1, _CAMERAS + 1)]
        plugins = rig.plugins(names, _BODY)
        ports = [rig.ports.add(f"CAM{number}") for number in range(1, _CAMERAS + 1)]
        for plugin, port in zip(plugins, ports, strict=True):
            plugin.connect(port.name)
        before = _measure(plugins)
        rig.run(_expose(rig.pool, plugins, ports))
        rig.check_nothing_lost()
        gc.collect()
        after = _measure(plugins)
        figures = rig.pool.figures()
    ioc, workers, both = after
    rows = {
        "this process, nothing started": alone,
        "this process": ioc,
        f"{_CAMERAS} workers, sum": workers,
        "all, sum": both,
        "all, before the first frame": before[2],
        "what the frames have added": _difference(both, before[2]),
        "one worker, mean": {name: value / _CAMERAS for name, value in workers.items()},
    }
    size = math.prod(_SHAPE) * 2
    table(
        f"MiB, {_CAMERAS} cameras with {_FRAMES} frames of {size / MIB:g} MiB each",
        ("processes", *(name.replace("_", " ") for name in _FIGURES)),
        [(what, *(f"{found[name]:.0f}" for name in _FIGURES)) for what, found in rows.items()],
    )
    pool = figures.memory / MIB
    frames = f"{figures.buffers} buffers of {size / MIB:g} MiB, {figures.used_buffers} in use"
    added = _difference(both, before[2])
    once, counted = both["Pss_Shmem"] / pool, added["Rss"] / pool
    anonymous = added["Pss_Anon"] / pool
    targets(
        f"Frames: {frames}, {pool:.0f} MiB",
        [
            ("shared memory, PSS summed, in frames' bytes", f"{once:.3f}", "1", once < 1.05),
            ("anonymous PSS that frames add", f"{anonymous:.3f}", "0", anonymous < 0.05),
            ("RSS that frames add, summed", f"{counted:.2f}", "counts more", counted > 1.05),
        ],
    )


async def _expose(pool: Pool, plugins: Sequence[Plugin], ports: Sequence[Port]) -> None:
    """Let all cameras give one frame, and the next when every figure of it is there."""
    figures: asyncio.Queue[Outcome] = asyncio.Queue()
    for plugin in plugins:
        plugin.on_outcome.connect(figures.put_nowait)
    for number in range(1, _FRAMES + 1):
        for place, port in enumerate(ports):
            port.publish(_frame(pool, number, place + 1))
        sums = {(await figures.get()).outputs["value"] for _ in plugins}  # type: ignore[index]
        if sums != {(place + 1.0) * math.prod(_SHAPE) for place in range(len(ports))}:
            raise BenchmarkError(f"expected the sums of the pixels, got {sums}")


def _frame(pool: Pool, number: int, value: int) -> NDArray:
    lease = pool.allocate(math.prod(_SHAPE) * 2)
    lease.view(_SHAPE, "uint16").fill(value)
    return NDArray(number, 0.0, _SHAPE, "uint16", lease, {})


def _measure(plugins: Sequence[Plugin]) -> tuple[Figures, Figures, Figures]:
    """This process's memory, that of all workers, and the sum."""
    ioc = _memory(os.getpid())
    workers = _sum([_memory(pid) for plugin in plugins for pid in plugin.workers.pids])
    return ioc, workers, _sum([ioc, workers])


def _memory(pid: int) -> Figures:
    """The figures of one process in MiB, as the kernel adds them up."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return {name: kibibytes[name] / 1024 for name in _FIGURES}


def _sum(all_: Sequence[Figures]) -> Figures:
    return {name: sum(figures[name] for figures in all_) for name in _FIGURES}


def _difference(later: Figures, earlier: Figures) -> Figures:
    return {name: later[name] - earlier[name] for name in _FIGURES}


if __name__ == "__main__":
    main()
