"""Small statistics of lists of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median

LATEST, HOLDS = 5, 3  # what holds in 3 of the latest 5 exposures counts
MAD = 1.4826  # standard deviation of a normal distribution per median deviation


def finite(value: float) -> bool:
    """Return whether the value is known."""
    return math.isfinite(value)


def middle(values: Iterable[float]) -> float:
    """Return the median of the known values, NaN if there are none."""
    known = [value for value in values if finite(value)]
    return median(known) if known else math.nan


def scatter(values: Iterable[float]) -> float:
    """Return the robust standard deviation of the known values, NaN if there are none."""
    known = [value for value in values if finite(value)]
    centre = middle(known)
    return MAD * middle(abs(value - centre) for value in known)


def remember(window: list[float], value: float, length: int = LATEST) -> None:
    """Append a value to the window of the latest ones."""
    window[:] = [*window, value][-length:]


def held(window: Iterable[float]) -> float:
    """Return what 3 of the latest 5 values reach, NaN if fewer than 3 are known."""
    known = sorted((value for value in window if finite(value)), reverse=True)
    return known[HOLDS - 1] if len(known) >= HOLDS else math.nan
