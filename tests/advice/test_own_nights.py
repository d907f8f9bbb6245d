"""TOSIP's own simulated nights, focus run when advised: how much time is lost."""

from __future__ import annotations

import random

import numpy as np

from tests.advice.nights import CAMERAS, OPTICS, SLOPE, START
from tosip.advice.adviser import Adviser
from tosip.advice.exposure import Advice, CameraExposure, Environment, FieldExposure
from tosip.advice.gain import magnitudes
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


def ideal(seed: int) -> float:
    """Return the seconds lost by the same rules with exact figures of the present defocus."""
    night, lost, seconds, since, begun = Night(seed), 0.0, 0.0, 0.0, 0.0
    motors = {c: round(night.best_focus(c, 0.0)) for c in CAMERAS}
    while seconds < HOURS * 3600:
        share = shares(night, motors, seconds)
        lost, since, seconds = lost + INTERVAL * share, since + INTERVAL * share, seconds + INTERVAL
        pays = (seconds - begun) * share - since >= COST
        if (pays and (HOURS * 3600 - seconds) * share > COST) or magnitudes(share) >= 0.3:
            lost, since, seconds = lost + COST, 0.0, seconds + COST
            begun = seconds
            motors = {c: round(night.best_focus(c, seconds)) for c in CAMERAS}
    return lost


def test_following_the_advice_costs_little_more_than_exact_figures_would():
    seeds = (1, 2, 3)
    played = [play(seed) for seed in seeds]
    assert all(5 <= runs <= 12 for _, runs in played)
    assert sum(lost for lost, _ in played) <= 1.2 * sum(ideal(seed) for seed in seeds)
