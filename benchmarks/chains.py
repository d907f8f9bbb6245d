"""Plugins one behind the other, and side by side: time per frame against hops and size.

Each plugin has its own worker and passes its frames on. The time is from `publish` at the source to
the moment when no plugin has anything of the frame any more; beside it the time per frame of a
stream through lossless queues, where workers and IOC work at the same time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from benchmarks.rig import MIB, Rig
from benchmarks.timing import Block, in_turns, medians, table, targets
from tosip.pipeline.plugin import Plugin

CHAIN, FAN = "chain", "fan"
_LAYOUTS = {CHAIN: (1, 2, 3, 4), FAN: (1, 2, 4, 8)}
_SMALL, _LARGE = MIB // 4, 32 * MIB
_ROUNDS = 6
_TRIPS = 100
_STREAMED = 300
_QUEUE = 4  # or frames of 32 MiB would fill the pool

Key = tuple[str, int, int]


def main() -> None:
    """Print the tables."""
    trips: dict[Key, Block] = {}
    streams: dict[Key, Block] = {}
    with Rig() as rig:
        rig.fill_buffers(_SMALL, _LARGE)
        names = [f"P{number}" for number in range(1, 9)]
        plugins = rig.plugins(names, queue_size=_QUEUE)
        for layout, numbers in _LAYOUTS.items():
            for number in numbers:
                wire = _wiring(plugins, layout, number)
                for size in (_SMALL, _LARGE):
                    key = layout, number, size
                    trips[key] = _wired(wire, rig.whole_trips(size, _TRIPS))
                    streams[key] = _wired(wire, rig.stream(size, _STREAMED))
        taken = medians(in_turns(trips, _ROUNDS, first=1))
        streamed = medians(in_turns(streams, _ROUNDS, first=1))
        rig.check_nothing_lost()
    _show("One frame at a time", taken)
    _show(f"In a stream, {os.cpu_count()} CPUs", streamed)
    targets("Chains and fans", [_ratio(layout, taken) for layout in _LAYOUTS])


def _wiring(plugins: Sequence[Plugin], layout: str, number: int) -> Callable[[], None]:
    def wire() -> None:
        for plugin in plugins:
            plugin.connect("CAM")
            plugin.enable(False)
        for place in range(number):
            plugins[place].enable(True)
            if layout == CHAIN and place > 0:
                plugins[place].connect(plugins[place - 1].name)

    return wire


def _wired(wire: Callable[[], None], block: Block) -> Block:
    def run() -> list[float]:
        wire()
        return block()

    return run


def _show(title: str, taken: dict[Key, float]) -> None:
    rows = []
    for layout, numbers in _LAYOUTS.items():
        for number in numbers:
            small, large = (1e6 * taken[layout, number, size] for size in (_SMALL, _LARGE))
            one = 1e6 * taken[layout, 1, _LARGE]
            further = f"{(large - one) / (number - 1):.0f}" if number > 1 else ""
            figures = (f"{small:.0f}", f"{large:.0f}", f"{large / small:.2f}")
            rows.append((layout, f"{number}", *figures, f"{large / number:.0f}", further))
    sizes = (f"us, {size / MIB:g} MiB" for size in (_SMALL, _LARGE))
    headings = ("layout", "hops", *sizes, "ratio", "us/hop", "further hop")
    table(f"{title}, medians of {_ROUNDS} rounds", headings, rows)


def _ratio(layout: str, taken: dict[Key, float]) -> tuple[str, str, str, bool]:
    ratios = [taken[layout, n, _LARGE] / taken[layout, n, _SMALL] for n in _LAYOUTS[layout]]
    what = f"{layout}, 32 MiB against 0.25 MiB, largest"
    return what, f"{max(ratios):.2f}", "< 1.3", max(ratios) < 1.3


if __name__ == "__main__":
    main()
