"""Frames that arrive one by one, in any order, gathered to exposures of all cameras.

Frames whose time stamps agree belong to one exposure; a camera's second frame of an exposure
replaces its first. An exposure is shown and judged when all cameras are in it, or as many as in
the one before it: figures do not jump while frames still arrive, and a camera that stays away is
noticed one exposure later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tosip.advice.exposure import CameraExposure, Environment, FieldExposure
from tosip.advice.numbers import finite

KEPT = 8  # exposures; late frames of older ones are left out
ANOTHER_NIGHT = 3600.0  # s; a frame older by more starts anew, as in a replay


@dataclass
class Gathered:
    """One exposure as far as its frames have arrived; `judged` once the adviser has had it."""

    start: float
    cameras: dict[int, CameraExposure] = field(default_factory=dict)
    environment: Environment = field(default_factory=Environment)
    judged: bool = False

    def add(self, number: int, camera: CameraExposure, environment: Environment) -> None:
        """Take in a camera's frame; a header without a figure changes no known one."""
        self.cameras[number] = camera
        known = {name: value for name, value in asdict(environment).items() if finite(value)}
        self.environment = replace(self.environment, **known)

    def exposure(self) -> FieldExposure:
        """Return it for the adviser."""
        return FieldExposure(self.start, dict(self.cameras), self.environment)


class Gathering:
    """The latest exposures."""

    def __init__(self) -> None:
        self.exposures: list[Gathered] = []

    def find(self, start: float, window: float) -> Gathered | None:
        """Find or make the exposure that a frame belongs to; None for one long past."""
        if self.exposures and start < self.exposures[-1].start - ANOTHER_NIGHT:
            self.exposures.clear()
        near = [one for one in self.exposures if abs(one.start - start) <= window]
        if near:
            return min(near, key=lambda one: abs(one.start - start))
        if len(self.exposures) == KEPT and start < self.exposures[0].start:
            return None
        made = Gathered(start)
        self.exposures = sorted([*self.exposures, made], key=lambda one: one.start)[-KEPT:]
        return made

    def shown(self) -> Gathered:
        """Return the newest exposure that has as many cameras as the one before it."""
        *before, newest = self.exposures
        filling = bool(before) and len(newest.cameras) < len(before[-1].cameras)
        return before[-1] if filling else newest

    def due(self, cameras: int) -> list[FieldExposure]:
        """Return what to judge now, each once, in order of time."""
        shown = self.shown()
        first = len(self.exposures) == 1
        ready = [one for one in self.exposures if one.start <= shown.start and not one.judged]
        if ready and ready[-1] is shown and first and len(shown.cameras) < cameras:
            ready.pop()
        for one in ready:
            one.judged = True
        return [one.exposure() for one in ready]

    def plain(self) -> list[dict[str, Any]]:
        """Return the state as JSON knows it."""
        return [asdict(one) for one in self.exposures]

    @classmethod
    def of(cls, plain: list[Mapping[str, Any]]) -> Gathering:
        """Return what `plain` has described."""
        made = cls()
        made.exposures = [
            Gathered(
                one["start"],
                {int(number): CameraExposure(**each) for number, each in one["cameras"].items()},
                Environment(**one["environment"]),
                one["judged"],
            )
            for one in plain
        ]
        return made


def plain_ratios(exposure: Gathered) -> dict[int, float]:
    """Return each camera's width relative to the median of the exposure, from three cameras on."""
    widths = {number: one.hfd for number, one in exposure.cameras.items() if one.good}
    if len(widths) < 3:
        return dict.fromkeys(widths, math.nan)
    order = sorted(widths.values())
    half = len(order) // 2
    centre = (order[half] + order[~half]) / 2
    return {number: width / centre for number, width in widths.items()}
