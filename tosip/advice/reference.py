"""What each camera showed in focus: the reference that every later exposure is compared with.

A reference is the mean squared width of the first exposures after a focus run, by camera and
filter. A focus run is recognised by the motor's position: it differs from the reference's by more
than a dead band. Nothing else moves a reference.

A filter that is first used some time after the run has no exposures in focus. The width grew
meanwhile, and the other filters show by how much: that is taken off, with an error that stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tosip.advice.exposure import FieldExposure
from tosip.advice.numbers import finite

EXPOSURES = 5  # that make a reference
CARRIED = 0.03  # error of a squared width in focus that was derived from another filter's, relative


@dataclass
class Reference:
    """One camera's squared width in focus in one filter: the mean of `areas`, arcsec^2."""

    position: float
    areas: list[float] = field(default_factory=list)
    carried: bool = False

    @property
    def complete(self) -> bool:
        """Whether there are exposures enough."""
        return len(self.areas) >= EXPOSURES

    @property
    def area(self) -> float:
        """The squared width in arcsec^2."""
        return sum(self.areas) / len(self.areas) if self.areas else math.nan


@dataclass
class References:
    """The references of all cameras.

    `found` is by "camera filter"; `refocused` holds the cameras whose motor moved since the last
    focus run of the field; `waiting` is True between a focus run and the next reference, False
    where no focus run is known.
    """

    found: dict[str, Reference] = field(default_factory=dict)
    refocused: list[int] = field(default_factory=list)
    positions: dict[str, float] = field(default_factory=dict)
    begun: bool = False

    def moved(self, exposure: FieldExposure, dead_band: float) -> list[int]:
        """Return the cameras whose motor stands elsewhere than when it was last seen so."""
        moved = []
        for number, camera in exposure.cameras.items():
            if not finite(camera.position):
                continue
            key = key_of(number, camera.filter)
            known = self.positions.setdefault(key, camera.position)
            if abs(camera.position - known) > dead_band:
                moved.append(number)
                self.positions[key] = camera.position
        return moved

    def forget(self, camera: int | None = None) -> None:
        """Drop the references of one camera or, at a focus run of the field, of all."""
        if camera is None:
            self.found, self.refocused, self.begun = {}, [], True
            return
        prefix = f"{camera} "
        self.found = {key: one for key, one in self.found.items() if not key.startswith(prefix)}
        self.refocused = sorted({*self.refocused, camera})

    def area(self, number: int, exposure: FieldExposure) -> float:
        """Return the reference of a camera in its present filter, NaN until it is complete."""
        one = self.found.get(key_of(number, exposure.cameras[number].filter))
        return one.area if one is not None and one.complete else math.nan

    def carried(self, exposure: FieldExposure) -> bool:
        """Return whether most references of this exposure are derived from another filter's."""
        keys = [key_of(number, camera.filter) for number, camera in exposure.good().items()]
        return 2 * sum(key in self.found and self.found[key].carried for key in keys) > len(keys)

    def learn(self, exposure: FieldExposure, grown: float, explained: float) -> None:
        """Add an exposure to the references that are not complete.

        `grown` is the growth of the squared width since the focus run as the complete references
        show it, and `explained` the part of it that is seeing; 0 where all are incomplete.
        """
        if not self.begun:
            return
        for number, camera in exposure.good().items():
            key = key_of(number, camera.filter)
            one = self.found.setdefault(key, Reference(camera.position))
            if not one.complete:
                since = explained if number in self.refocused else grown
                one.areas.append(exposure.area(number) - since)
                one.carried = since != 0

    def plain(self) -> dict[str, Any]:
        """Return the state as JSON knows it."""
        return asdict(self)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> References:
        """Return what `plain` has described."""
        found = {key: Reference(**one) for key, one in plain["found"].items()}
        return cls(**{**plain, "found": found})


def key_of(camera: int, filter_name: str) -> str:
    """Return the key of a camera and a filter."""
    return f"{camera} {filter_name}"
