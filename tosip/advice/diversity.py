"""Signed common defocus from the cameras' known offsets, without a seeing monitor.

A camera whose best focus is o steps from the mean of all cameras has grown since the focus run by

    D = S + k^2 z^2 - 2 k^2 z o

with S the change of seeing and z the common defocus in steps. In one exposure that is a straight
line in o: its slope is z with its sign, seeing changes its level only. Cameras off the line are
out of focus by themselves, and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tosip.advice.numbers import MAD

FEWEST = 5  # cameras on the line
KNOWN_TO = 0.03  # of z: offsets known to a sixth in 16 cameras


@dataclass(frozen=True)
class Calibration:
    """A sweep's results: `slope` is k in arcsec per step, `best` the position of best focus."""

    slope: float = math.nan
    best: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Defocus:
    """Common defocus in steps, with its standard error."""

    steps: float = math.nan
    error: float = math.inf


def common_defocus(
    growth: Mapping[int, float], offsets: Mapping[int, float], slope: float, error: float
) -> Defocus:
    """Return the defocus from the cameras' growth (arcsec^2, each to `error`) and offsets (steps).

    `slope` is k in arcsec per step.
    """
    known = [camera for camera in growth if camera in offsets]
    if len(known) < FEWEST or not slope > 0:
        return Defocus()
    o = np.array([offsets[camera] for camera in known])
    d = np.array([growth[camera] for camera in known])
    keep = np.ones(len(known), bool)
    for _ in range(3):
        centred = o[keep] - o[keep].mean()
        spread = float(centred @ centred)
        if spread < len(known):  # less than a step each: nothing to see
            return Defocus()
        fitted = float(centred @ d[keep]) / spread
        off = d - d[keep].mean() - fitted * (o - o[keep].mean())
        off -= np.median(off)
        scatter = max(MAD * float(np.median(np.abs(off))), error)
        on_line = np.abs(off) <= 4 * scatter
        if on_line.sum() < FEWEST or bool(np.all(on_line == keep)):
            break
        keep = on_line
    steps = -fitted / (2 * slope**2)
    own = scatter / spread**0.5 / (2 * slope**2)
    return Defocus(steps, math.hypot(own, KNOWN_TO * steps))
