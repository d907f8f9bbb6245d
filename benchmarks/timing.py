"""Timing on a machine that others use too: the ways take turns, in blocks, round after round.

A block runs one way some times without a pause and returns the seconds of each. What is short runs
in blocks of its own length: a copy of a frame in between would empty the caches and let the other
process's CPU go idle, and that is another measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

Block = Callable[[], list[float]]
Key = TypeVar("Key", bound=Hashable)


def block(way: Callable[[], object], count: int = 1) -> Block:
    """Time each of `count` calls."""

    def run() -> list[float]:
        taken = []
        for _ in range(count):
            start = perf_counter()
            way()
            taken.append(perf_counter() - start)
        return taken

    return run


def tight(way: Callable[[], object], count: int) -> Block:
    """Time `count` calls together and give their mean, for what takes a few microseconds."""

    def run() -> list[float]:
        start = perf_counter()
        for _ in range(count):
            way()
        return [(perf_counter() - start) / count]

    return run


def in_turns(blocks: Mapping[Key, Block], rounds: int, first: int = 0) -> dict[Key, list[float]]:
    """Run all blocks in each round and collect their seconds; `first` rounds before are left out.

    >>> in_turns({"copy": block(copy, 20), "fill": block(fill, 20)}, rounds=5)["copy"]
    """
    taken: dict[Key, list[float]] = {key: [] for key in blocks}
    for number in range(first + rounds):
        for key, run in blocks.items():
            seconds = run()
            if number >= first:
                taken[key] += seconds
    return taken


def medians(taken: Mapping[Key, Sequence[float]]) -> dict[Key, float]:
    return {key: median(seconds) for key, seconds in taken.items()}


def quietest(seconds: Sequence[float], rounds: int) -> float:
    """The least of the rounds' medians: what the way takes when nobody else computes."""
    return float(np.median(np.reshape(seconds, (rounds, -1)), axis=1).min())


def spread(seconds: Sequence[float]) -> tuple[str, str, str]:
    """Median, 10th and 90th percentile as text, in microseconds."""
    middle, low, high = np.percentile(seconds, (50, 10, 90)) * 1e6
    return f"{middle:.0f}", f"{low:.0f}", f"{high:.0f}"


def extremes(seconds: Sequence[float]) -> tuple[str, str, str, str]:
    """Count, median, least and most as text, in milliseconds."""
    middle, least, most = 1e3 * median(seconds), 1e3 * min(seconds), 1e3 * max(seconds)
    return str(len(seconds)), f"{middle:.1f}", f"{least:.1f}", f"{most:.1f}"


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; numbers stand on the right of their columns, the first column is words."""
    shown = Table(title=title)
    for place, heading in enumerate(headings):
        shown.add_column(heading, justify="right" if place else "left", no_wrap=place > 0)
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)


def targets(title: str, rows: Iterable[tuple[str, str, str, bool]]) -> None:
    """Print what was asked for beside what was found, and whether it is met."""
    table(
        title,
        ("figure", "found", "target", "met"),
        [(what, found, target, "yes" if met else "NO") for what, found, target, met in rows],
    )
