"""How long one 4096x4096 16-bit frame takes to read, against copying it and against astropy.

All ways run in turn, again and again, in one process on one file that is cached, so the ratios mean
something on a machine that others use too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from benchmarks.timing import block, in_turns, medians, table
from tosip.drivers.fits import read_fits
from tosip.drivers.sky import StarField, expose, fits_bytes

_SIDE = 4096
_REPEATS = 15


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.fits"
        frame, _ = expose(StarField.random((_SIDE, _SIDE), 1))
        path.write_bytes(fits_bytes(frame, {"DATE-OBS": "2026-11-22T06:13:00.000"}))
        target = np.zeros_like(frame)
        ways: dict[str, Callable[[], object]] = {
            "np.copyto": lambda: np.copyto(target, frame),
            "read_fits": lambda: read_fits(path, lambda shape, dtype: target),
            "astropy, memmap=False": lambda: _astropy(path),
        }
        times = in_turns({name: block(way) for name, way in ways.items()}, _REPEATS)
    _show(medians(times))


def _astropy(path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    with fits.open(path, memmap=False) as units:
        pixels: np.ndarray[Any, np.dtype[Any]] = units[0].data
    return pixels


def _show(middle: dict[str, float]) -> None:
    table(
        f"{_SIDE}x{_SIDE} uint16, median of {_REPEATS}",
        ("way", "ms", "times read_fits"),
        [
            (name, f"{1e3 * seconds:.1f}", f"{seconds / middle['read_fits']:.2f}")
            for name, seconds in middle.items()
        ],
    )


if __name__ == "__main__":
    main()
