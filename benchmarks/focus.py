"""How long the focus algorithm takes for a 4096x4096 16-bit frame, against copying the frame.

All ways run in turn, again and again, in one process, so the ratios mean something on a machine
that others use too. If `sep` is installed, its background, detection and half-flux radii of the
whole frame stand beside. Run with OMP_NUM_THREADS=1; the algorithm itself uses one core.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.timing import block, in_turns, medians, table
from tosip import Metadata
from tosip.drivers.sky import Conditions, Frame, StarField, Telescope, expose
from tosip.plugins.focus import Figures, Focus, Params

_SIDE = 4096
_REPEATS = 9
_METADATA = Metadata(0, 0.0, "CAM01", (_SIDE, _SIDE), "UInt16")


def main() -> None:
    """Print the table."""
    frames = {
        "300 stars": _frame(300),
        "4800 stars": _frame(4800),
        "4800 donuts of 15 px": _frame(4800, focus=200),
        "4800 donuts of 44 px": _frame(4800, focus=600),
        "clouds, 64 cosmic rays": _frame(300, transparency=0.0),
    }
    target = np.empty_like(frames["300 stars"])
    ways: dict[str, Callable[[], object]] = {
        "np.copyto": partial(np.copyto, target, frames["300 stars"])
    }
    ways |= {f"Focus, {name}": partial(_measure, frame) for name, frame in frames.items()}
    sep = _sep()
    if sep is not None:
        ways["sep, 4800 stars"] = partial(_extract, sep, frames["4800 stars"])
    times = in_turns({name: block(way) for name, way in ways.items()}, _REPEATS)
    _show(medians(times), frames)


def _frame(stars: int, focus: float = 0.0, transparency: float = 1.0) -> Frame:
    field = StarField.random((_SIDE, _SIDE), 1, stars=stars, hot_pixels=64)
    conditions = Conditions(
        focus=Telescope.best_focus + focus,
        transparency=transparency,
        gradient=(0.01, 0.02),
        cosmic_rays=64,
    )
    return expose(field, conditions, seed=1)[0]


def _measure(frame: Frame) -> Figures:
    figures = Focus().process(frame, Params(), {}, _METADATA).outputs
    if not isinstance(figures, Figures):
        raise TypeError(f"Focus: expected Figures, got {figures!r}")
    return figures


def _sep() -> Any:
    try:
        return importlib.import_module("sep")
    except ImportError:
        return None


def _extract(sep: Any, frame: Frame) -> None:
    pixels = frame.astype(np.float32)
    background = sep.Background(pixels)
    background.subfrom(pixels)
    objects = sep.extract(pixels, 8.0, err=background.globalrms)
    sep.flux_radius(pixels, objects["x"], objects["y"], np.full(len(objects), 10.0), 0.5)


def _show(middle: dict[str, float], frames: dict[str, Frame]) -> None:
    rows = []
    for name, seconds in middle.items():
        frame = frames.get(name.removeprefix("Focus, "))
        found = _measure(frame) if frame is not None and name.startswith("Focus") else None
        figures = (
            ("", "", "")
            if found is None
            else (found.outcome.value, str(found.stars), f"{found.hfd_pixels:.2f}")
        )
        ratio = seconds / middle["np.copyto"]
        rows.append((name, f"{seconds * 1e3:.1f}", f"{ratio:.1f}", *figures))
    table(
        f"{_SIDE}x{_SIDE} pixels, 16 bits, medians of {_REPEATS}",
        ("way", "ms", "times np.copyto", "outcome", "stars", "HFD (px)"),
        rows,
    )


if __name__ == "__main__":
    main()
