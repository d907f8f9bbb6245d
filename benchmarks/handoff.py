"""What it costs to hand a frame to a worker process and hear its answer.

An algorithm that does nothing, with 10 inputs, looks at frames with 30 attributes. The round trip
is from `publish` at the source's port to the call of the plugin's listener in the same process; the
bare worker's, without the plugin's queue, counters and order, stands beside. Copying the same bytes
once is the scale: a hand-off does not touch the pixels, so its time must not grow with them.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.rig import MIB, Rig
from benchmarks.timing import Block, block, in_turns, medians, quietest, spread, table, targets

SIZES = (MIB // 4, 2 * MIB, 8 * MIB, 32 * MIB, 128 * MIB)
SCALE = 32 * MIB
_ROUNDS = 12
_TRIPS = 200
_STREAM_ROUNDS = 5
_STREAMED = 4000

PLUGIN, WORKER, COPY = "plugin", "bare worker", "np.copyto"


def main() -> None:
    """Print the tables."""
    with Rig() as rig:
        rig.fill_buffers(*SIZES)
        trips = _trips(rig)
        streams = {size: rig.stream(size, _STREAMED) for size in (MIB // 4, SCALE)}
        rates = _per_second(in_turns(streams, _STREAM_ROUNDS))
        rig.check_nothing_lost()
    middle = medians(trips)
    _show_trips(trips, middle)
    _show_rates(rates)
    copied = middle[COPY, SCALE] / middle[PLUGIN, SCALE]
    by_size = [middle[PLUGIN, size] for size in SIZES]
    flat = max(by_size) / min(by_size)
    rate = float(np.median(rates[SCALE]))
    trip = 1e6 * middle[PLUGIN, SCALE]
    targets(
        "Hand-off",
        [
            ("round trip, 32 MiB", f"{trip:.0f} us", "< 200 us", trip < 200),
            ("against one copy", f"1/{copied:.1f}", "< 1/15", copied > 15),
            ("0.25 to 128 MiB, largest / smallest", f"{flat:.2f}", "< 1.3", flat < 1.3),
            ("sustained, 32 MiB, none dropped", f"{rate:.0f} /s", "> 4000 /s", rate > 4000),
        ],
    )


def _trips(rig: Rig) -> dict[tuple[str, int], list[float]]:
    plugin, worker = rig.plugin(), rig.worker()
    blocks: dict[tuple[str, int], Block] = {}
    for size in SIZES:
        blocks[PLUGIN, size] = rig.trips(plugin, size, _TRIPS)
    for size in SIZES:
        blocks[WORKER, size] = rig.bare_trips(worker, size, _TRIPS)
    for size in SIZES:
        blocks[COPY, size] = copies(rig, size)
    return in_turns(blocks, _ROUNDS, first=1)  # the first maps buffers


def copies(rig: Rig, size: int) -> Block:
    """Copies of one frame's pixels to an array that exists."""
    array = rig.frame(size)
    target = np.zeros(array.shape, array.dtype)
    return block(partial(np.copyto, target, array.pixels), min(40, max(3, 256 * MIB // size)))


def _per_second(streamed: dict[int, list[float]]) -> dict[int, list[float]]:
    return {size: [1 / each for each in seconds] for size, seconds in streamed.items()}


def _show_trips(
    trips: dict[tuple[str, int], list[float]], middle: dict[tuple[str, int], float]
) -> None:
    rows = []
    for (way, size), seconds in trips.items():
        ratio = "" if way == COPY else f"{middle[way, size] / middle[COPY, size]:.3g}"
        least = f"{1e6 * quietest(seconds, _ROUNDS):.0f}"
        rows.append((way, f"{size / MIB:g}", *spread(seconds), least, ratio))
    table(
        f"Round trip, {_ROUNDS} rounds of {_TRIPS}",
        ("way", "MiB", "median us", "p10", "p90", "best round", "copies"),
        rows,
    )


def _show_rates(rates: dict[int, list[float]]) -> None:
    table(
        f"Sustained, one plugin, lossless queue, {_STREAM_ROUNDS} rounds of {_STREAMED}",
        ("MiB", "frames/s", "lowest", "highest", "GiB/s"),
        [
            (
                f"{size / MIB:g}",
                *(f"{figure:.0f}" for figure in (np.median(rate), min(rate), max(rate))),
                f"{np.median(rate) * size / 2**30:.1f}",
            )
            for size, rate in rates.items()
        ],
    )


if __name__ == "__main__":
    main()
