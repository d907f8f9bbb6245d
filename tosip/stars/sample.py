"""The measured stars of a frame, and what they have in common.

Outliers are galaxies, blends and artefacts: most of what is elongated, and what is far off the
median in log HFD. When most objects are elongated in one direction, it was the telescope that
moved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tosip.stars.arrays import Flags, Floats

MOST_ELONGATED = 0.5
FEWEST_TRAILS = 5
SCATTER_PER_MAD = 1.4826  # of a normal distribution
LEAST_SCATTER = 0.01  # of log HFD
_COLUMNS = ("hfd", "fwhm", "ellipticity", "e1", "e2", "snr")


@dataclass(frozen=True)
class Stars:
    """Measured stars, in pixels; `widest` is the greatest HFD that their aperture serves."""

    hfd: Floats
    fwhm: Floats
    ellipticity: Floats
    e1: Floats
    e2: Floats
    snr: Floats
    widest: float = math.inf

    def __len__(self) -> int:
        return len(self.hfd)

    @property
    def served(self) -> bool:
        """Whether there are stars and the aperture is wide enough for their median."""
        return len(self) > 0 and bool(np.median(self.hfd) <= self.widest)

    def only(self, keep: Flags) -> Stars:
        """Return the stars for which `keep` is True."""
        return replace(self, **{name: getattr(self, name)[keep] for name in _COLUMNS})


_NONE = np.empty(0)
NO_STARS = Stars(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE)


def width_and_scatter(hfd: Floats) -> tuple[float, float]:
    """Return the median of log HFD, and how far single stars are off it (a sigma)."""
    width = np.log(hfd)
    middle = float(np.median(width))
    return middle, SCATTER_PER_MAD * float(np.median(np.abs(width - middle)))


def round_stars(objects: Stars) -> Stars:
    """Leave out what is elongated, then, three times, what is off by 3 sigma in log HFD."""
    stars = objects.only(objects.ellipticity <= MOST_ELONGATED)
    for _ in range(3 if len(stars) else 0):
        middle, scatter = width_and_scatter(stars.hfd)
        off = np.abs(np.log(stars.hfd) - middle)
        stars = stars.only(off <= 3 * max(scatter, LEAST_SCATTER))
    return stars


def trailed(objects: Stars) -> bool:
    """Tell whether most of several objects are elongated, and in one direction."""
    long = objects.only(objects.ellipticity > MOST_ELONGATED)
    if len(long) < max(FEWEST_TRAILS, len(objects) / 2):
        return False
    together = math.hypot(float(long.e1.mean()), float(long.e2.mean()))
    return together > 0.8 * float(np.hypot(long.e1, long.e2).mean())
