"""Cameras that left the field, told from a field that spreads.

When all cameras drift together, those with the largest offsets grow most: a continuous spread, and
nobody's fault. A camera (or a group) of its own stands apart: a gap separates it from the others
that is large compared with their spread.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

FEWEST = 3  # cameras to stand apart from
GAP = 4.0  # sigma of the others' spread


def apart(growth: Mapping[int, float], error: float) -> list[int]:
    """Return the cameras whose growth (each known to `error`) stands apart above the others'."""
    order = sorted(growth, key=growth.__getitem__)
    values = np.array([growth[camera] for camera in order])
    for index in range(min(FEWEST, len(order)), len(order)):
        below = values[:index]
        spread = max(float(below.std()), error)
        # The fewer there are below, the less is known of their spread.
        if values[index] - below[-1] > GAP * (1 + 4 / index) * spread:
            return order[index:]
    return []
