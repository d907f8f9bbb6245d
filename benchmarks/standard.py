"""How long the standard algorithms take for a 4096x4096 16-bit frame, against NumPy's mean and std.

All ways run in turn, again and again, in one process, so the ratios mean something on a machine
that others use too. Run with OMP_NUM_THREADS=1; the algorithms themselves use one core.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import block, in_turns, table
from tosip import Metadata
from tosip.plugins import beam_profile, stats

_SIDE = 4096
_REPEATS = 9
_METADATA = Metadata(0, 0.0, "CAM", (_SIDE, _SIDE), "UInt16")
_PEER = "np.mean and np.std"

Frame = NDArray[np.uint16]


def main() -> None:
    """Print the table."""
    frame = _beam(100.0)
    figures = {"compute_statistics": False, "compute_centroid": False}
    ways: dict[str, Callable[[], object]] = {
        _PEER: lambda: (frame.mean(), frame.std()),
        "Statistics: min to total": partial(_stats, frame, compute_centroid=False),
        "Statistics: centroid": partial(_stats, frame, compute_statistics=False),
        "Statistics: both, as by default": partial(_stats, frame),
        "Statistics: histogram": partial(_stats, frame, **figures, compute_histogram=True),
        "Statistics: everything": partial(
            _stats, frame, compute_profiles=True, compute_histogram=True
        ),
    }
    for sigma in (3.0, 30.0, 300.0):
        ways[f"BeamProfile: sigma of {sigma:.0f} px"] = partial(_profile, _beam(sigma))
    taken = in_turns({name: block(way) for name, way in ways.items()}, _REPEATS)
    times = {name: min(seconds) for name, seconds in taken.items()}
    table(
        f"{_SIDE}x{_SIDE} pixels, 16 bits, least of {_REPEATS}",
        ("way", "ms", f"times {_PEER}"),
        [(n, f"{1e3 * s:.0f}", f"{s / times[_PEER]:.2f}") for n, s in times.items()],
    )


def _beam(sigma: float) -> Frame:
    at = np.arange(_SIDE) - _SIDE / 2
    shape = np.exp(-(at**2) / (2 * sigma**2))
    noise = np.random.default_rng(1).normal(100.0, 5.0, (_SIDE, _SIDE))
    return np.asarray(np.rint(1000 * shape[:, np.newaxis] * shape + noise), np.uint16)


def _stats(frame: Frame, **params: bool) -> object:
    return stats.Statistics().process(frame, stats.Params(**params), {}, _METADATA)


def _profile(frame: Frame) -> object:
    result = beam_profile.BeamProfile().process(frame, beam_profile.Params(), {}, _METADATA)
    if result.message:
        raise RuntimeError(f"BeamProfile: expected a good frame, got {result.message}")
    return result


if __name__ == "__main__":
    main()
