"""The seeing monitor as a witness of defocus: its scale and its error are fitted to the night.

The squared width of the stars grew by y since the focus run: by seeing and by defocus, y = s + e.
The monitor's squared seeing follows the seeing alone, with a scale of its own:

    m^2 = a + g (y - e)

Stars are measured a hundred times better than the monitor measures seeing, so y is the known
variable and m^2 the noisy one: fitted the other way round, the monitor's noise would flatten the
slope, and a night of pure seeing would end in advice to refocus. For each of a row of scales g,
and for slow and fast drifts, a Kalman filter follows a, e and the speed of e; how well each
foretells the readings says how likely it is. A scale that the night has not shown yet leaves large
changes of the width unexplained: then the error is large. The monitor's noise is learnt from how
far its readings are off.

All areas are relative to the squared width in focus, times in hours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL, LEVEL_SIGMA = 0.35, 0.35  # of a: the monitor's squared seeing, over that of the width
SCALE_SIGMA = 0.3  # of ln g: monitors read up to 20 % wrong, squared 40 %
# One filter for each scale and each pace: by how much the speed of e wanders in an hour.
_GRID = [(scale, pace) for pace in (0.03, 0.3, 3.0) for scale in np.linspace(-0.9, 0.9, 19)]
SCALES = np.exp(np.array([scale for scale, _ in _GRID]))
PACES = np.array([pace for _, pace in _GRID])
NOISE, LEAST_NOISE = 0.1, 0.004  # of the monitor's seeing, relative: at first, and at least
FEWEST = 3  # readings
STEP = 25.0  # readings beyond 5 sigma in all filters: a step of the defocus
MEMORY = 0.998  # per reading, of how well a scale foretold them
ANOTHER_RUN = 0.5  # what a focus run leaves of it


@dataclass(frozen=True)
class Estimate:
    """Defocus as a squared width, with its standard error."""

    excess: float = math.nan
    error: float = math.inf


_ARRAYS = ("states", "covariances", "scores")


def _states() -> Floats:
    return np.tile([LEVEL, 0.0, 0.0], (len(SCALES), 1))


def _covariances() -> Floats:
    return np.tile(np.diag([LEVEL_SIGMA**2, 1e-8, 1e-3]), (len(SCALES), 1, 1))


@dataclass
class Monitor:
    """One filter for each scale and pace; `scores` are the logarithms of their likelihoods."""

    states: Floats = field(default_factory=_states)
    covariances: Floats = field(default_factory=_covariances)
    scores: Floats = field(default_factory=lambda: np.zeros(len(SCALES)))
    noise: float = NOISE**2
    readings: int = 0

    def refocus(self) -> None:
        """Begin anew in focus; the monitor's scale and noise remain known."""
        if self.readings:  # else it is the next position of one sweep
            self.scores = ANOTHER_RUN * self.scores
        self.states, self.covariances, self.readings = _states(), _covariances(), 0

    def begin(self, readings: Sequence[float]) -> None:
        """Take in the squared seeing of the exposures in focus, relative."""
        if len(readings) < FEWEST:
            return
        level = float(np.mean(readings))
        own = [(reading / level - 1) ** 2 / 4 for reading in readings]
        self.noise = max((0.5 * self.noise + sum(own)) / (len(own) - 0.5), LEAST_NOISE**2)
        self.states[:, 0] = level
        self.covariances[:, 0, 0] = 4 * level**2 * self.noise / len(own)
        self.readings = len(own)

    def predict(self, hours: float) -> None:
        """Let time pass."""
        move = np.eye(3)
        move[1, 2] = hours
        spread = np.zeros((3, 3))
        spread[1:, 1:] = [[hours**3 / 3, hours**2 / 2], [hours**2 / 2, hours]]
        self.states = self.states @ move.T
        self.covariances = move @ self.covariances @ move.T + (PACES**2)[:, None, None] * spread

    def update(self, reading: float, growth: float, growth_error: float) -> None:
        """Take in the monitor's squared seeing and the stars' growth, both relative."""
        states, covariances = self.states, self.covariances
        expected = states[:, 0] + SCALES * (growth - states[:, 1])
        off = reading - expected
        rows = np.column_stack([np.ones_like(SCALES), -SCALES, np.zeros_like(SCALES)])
        # The error of the reading itself would give low readings more weight.
        own = 4 * np.maximum(expected, 0.25 * abs(reading)) ** 2
        crossed = np.einsum("nij,nj->ni", covariances, rows)
        model = (crossed * rows).sum(axis=1) + (SCALES * growth_error) ** 2
        known = self.readings >= FEWEST
        if known and np.all(off**2 > STEP * (model + own * self.noise)):
            covariances[:, 1, 1] += (off / SCALES) ** 2
            crossed[:, 1] -= off**2 / SCALES
            model = model + off**2
        variance = model + own * self.noise
        gain = crossed / variance[:, None]
        self.states = states + gain * off[:, None]
        self.covariances = covariances - gain[:, :, None] * crossed[:, None, :]
        scores = -0.5 * (off**2 / variance + np.log(variance))
        self.scores = MEMORY * self.scores + scores - scores.max()
        self._learn_noise(float(self._weights() @ ((off**2 - model) / own)))

    def _weights(self) -> Floats:
        scores = self.scores - 0.5 * (np.log(SCALES) / SCALE_SIGMA) ** 2
        weights = np.exp(scores - scores.max())
        return np.asarray(weights / weights.sum())

    def _learn_noise(self, sample: float) -> None:
        self.readings += 1
        kept = min(self.readings + 4, 200)
        sample = min(max(sample, 0.0), 9 * self.noise)
        self.noise = max(self.noise + (sample - self.noise) / kept, LEAST_NOISE**2)

    def estimate(self) -> Estimate:
        """Return the defocus; unknown while the monitor has given nothing to go by."""
        if self.readings < FEWEST:
            return Estimate()
        weights = self._weights()
        excess = self.states[:, 1]
        mean = float(weights @ excess)
        own = self.covariances[:, 1, 1]
        return Estimate(mean, float(weights @ (own + (excess - mean) ** 2)) ** 0.5)

    def scale(self) -> float:
        """Return the most likely scale of the squared seeing."""
        return float(np.exp(self._weights() @ np.log(SCALES)))

    def plain(self) -> dict[str, Any]:
        """Return the state as JSON knows it."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        return {**arrays, "noise": self.noise, "readings": self.readings}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Monitor:
        """Return what `plain` has described. Raises ValueError if it had other filters."""
        if len(plain["scores"]) != len(SCALES):
            raise ValueError(f"Monitor: expected {len(SCALES)} filters, got {len(plain['scores'])}")
        return cls(**{**plain, **{name: np.array(plain[name]) for name in _ARRAYS}})
