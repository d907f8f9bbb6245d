"""TOSIP's own simulated nights, focus run when advised: how much time is lost."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.advice.nights import CAMERAS, OPTICS, SLOPE, START
from tosip.advice.adviser import Adviser
from tosip.advice.exposure import Advice, CameraExposure, Environment, FieldExposure
from tosip.advice.settings import Settings
from tosip.drivers.sky_night import Night

INTERVAL, HOURS, COST = 40.0, 9.0, 600.0
NOISE = 0.004


def shares(night: Night, motors, seconds: float) -> float:
    """Return the share of the time that defocus costs, mean of the cameras."""
    floor = OPTICS**2 + night.air(seconds).seeing_here ** 2
    area = [(SLOPE * (motors[c] - night.best_focus(c, seconds))) ** 2 for c in CAMERAS]
    return float(np.mean([one / (floor + one) for one in area]))


def play(seed: int) -> tuple[float, int]:
    """Return the seconds lost, and the number of focus runs, when advice is followed."""
    night, adviser, rng = Night(seed), Adviser(), random.Random(seed)
    motors = {c: round(night.best_focus(c, 0.0)) for c in CAMERAS}
    adviser.focus_done()
    settings = Settings(night_end=START + HOURS * 3600)
    lost, runs, seconds = 0.0, 0, 0.0
    while seconds < HOURS * 3600:
        air = night.air(seconds)
        seen = {}
        for c in CAMERAS:
            defocus = SLOPE * (motors[c] - night.best_focus(c, seconds))
            hfd = float(np.sqrt(OPTICS**2 + air.seeing_here**2 + defocus**2))
            hfd *= 1 + rng.gauss(0, NOISE)
            seen[c] = CameraExposure("clear", float(motors[c]), hfd, NOISE * hfd)
        environment = Environment(air.temperature, air.seeing, air.airmass)
        lost += INTERVAL * shares(night, motors, seconds)
        advised = adviser.observe(FieldExposure(START + seconds, seen, environment), settings)
        seconds += INTERVAL
        if advised.advice is Advice.REFOCUS:
            lost, runs, seconds = lost + COST, runs + 1, seconds + COST
            motors = {c: round(night.best_focus(c, seconds)) for c in CAMERAS}
    return lost, runs


def optimum(seed: int) -> float:
    """Return the least seconds that can be lost by one who knows the night in advance."""
    night, step = Night(seed), 300.0
    times = np.arange(0, HOURS * 3600, step)
    focus = np.array([night.best_focus(1, t) for t in times])
    floor = np.array([OPTICS**2 + night.air(t).seeing_here ** 2 for t in times])
    best = np.zeros(len(times) + 1)
    for begin in range(len(times) - 1, -1, -1):
        area = (SLOPE * (focus[begin:] - focus[begin])) ** 2
        losses = np.cumsum(step * area / (floor[begin:] + area))
        again = best[begin + 1 :] + np.where(
            np.arange(begin + 1, len(times) + 1) < len(times), COST, 0
        )
        best[begin] = (losses + again).min()
    return float(best[0])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_following_the_advice_costs_little_more_than_knowing_the_night(seed):
    lost, runs = play(seed)
    assert runs
    assert lost <= 1.2 * optimum(seed)
