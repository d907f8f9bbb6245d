"""What a focus run now would gain: the marginal rule.

Defocus makes stars wider and takes the share 1 - (h in focus / h)^2 of the observing time. Without
a run the present share goes on; with one, the run's cost is paid and the losses since the last run
come again. So a run gains, over the time since the last one or the rest of the night if that is
shorter,

    time x present share - losses of that time after the last run - cost

It needs no estimate of the drift, and gives the best interval for a steady one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field

GAP = 300.0  # s; a longer pause between exposures counts as much
KEPT = 4000


@dataclass
class Losses:
    """Observing time since the focus run and the time lost in it, both in seconds, cumulative."""

    observed: list[float] = field(default_factory=lambda: [0.0])
    lost: list[float] = field(default_factory=lambda: [0.0])

    def add(self, seconds: float, share: float) -> None:
        """Add an exposure in which `share` of the time was lost."""
        step = min(max(seconds, 0.0), GAP)
        self.observed.append(self.observed[-1] + step)
        self.lost.append(self.lost[-1] + step * share)
        if len(self.observed) > KEPT:  # every second will do
            self.observed, self.lost = self.observed[::2], self.lost[::2]

    def gain(self, share: float, error: float, cost: float, rest: float) -> tuple[float, float]:
        """Return the gain of a run now and its error in seconds.

        `share` of the time is lost at present, known to `error`; the night lasts for `rest`.
        """
        since = min(self.observed[-1], rest)
        again = self.lost[bisect_right(self.observed, since) - 1]
        return since * share - again - cost, since * error


def magnitudes(share: float) -> float:
    """Return the loss of depth in mag: 2.5 log10 of the widths, share = 1 - (h in focus / h)^2."""
    return -1.25 * math.log10(1 - min(share, 0.999))
