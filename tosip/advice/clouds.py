"""Extinction from the number of stars above a fixed flux.

The number of stars brighter than a flux goes as flux^-0.7, so fewer stars by a factor mean an
extinction of 2.5 / 0.7 log10 of it. The clear number of a field is the greatest that was seen of
it (a high quantile, because the numbers scatter), by camera, filter and pointing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tosip.advice.exposure import CameraExposure
from tosip.advice.numbers import finite, remember

SLOPE = 0.7
THIN, THICK = 0.3, 1.0  # mag
FEWEST = 20  # stars: below, their number says little
KEPT = 20  # counts of one field


@dataclass
class ClearCounts:
    """The numbers of stars seen of each field under a clear sky, by camera, filter, pointing."""

    counts: dict[str, list[float]] = field(default_factory=dict)

    def extinction(self, number: int, camera: CameraExposure) -> float:
        """Return the extinction in mag, NaN where nothing is known to compare with."""
        if finite(camera.extinction):
            return camera.extinction
        seen = self.counts.get(_key(number, camera), [])
        if len(seen) < 3 or not finite(camera.stars):
            return math.nan
        clear = sorted(seen)[(3 * len(seen)) // 4]
        if clear < FEWEST:
            return math.nan
        lost = 2.5 / SLOPE * math.log10(clear / max(camera.stars, 0.5))
        error = 2.5 / SLOPE / math.log(10) * (1 / clear + 1 / max(camera.stars, 1)) ** 0.5
        return lost - error if lost > error else min(lost, 0.0)

    def learn(self, number: int, camera: CameraExposure) -> None:
        """Remember a number of stars of a clear exposure."""
        if finite(camera.stars):
            remember(self.counts.setdefault(_key(number, camera), []), camera.stars, KEPT)
            if len(self.counts) > 2000:  # pointings of many nights
                del self.counts[next(iter(self.counts))]


def _key(number: int, camera: CameraExposure) -> str:
    return f"{number} {camera.filter} {camera.pointing}"
