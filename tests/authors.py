"""Algorithms as their authors write them, for the tests of declarations."""

import enum

import numpy as np
from numpy.typing import NDArray

from tosip import Alarm, Algorithm, Inputs, Outputs, Severity, command, output, param


class Band(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Gain(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Params(Inputs):
    threshold: float = param(
        """Brighter pixels count

        More about it.""",
        default=5.0,
        units="counts",
        precision=1,
        limits=(0.0, 100.0),
    )
    count: int = param("How many", default=3, limits=(1, None))
    big: int = param("A large number", default=2**40, bits=64)
    fast: bool = param("Whether fast", default=True)
    title: str = param("A title", default="none", length=20)
    band: Band = param("Band", default=Band.BLUE)
    gain: Gain = param("Gain", default=Gain.LOW)
    weights: NDArray[np.float64] = param("Weights", default=np.ones(2), length=4, precision=2)
    reset: bool = command("Start again")


class Figures(Outputs):
    level: float = output(
        "Level",
        units="px",
        limits=(0.0, 20.0),
        alarm=Alarm(low=1.0, hihi=9.0, hihi_severity=Severity.INVALID),
    )
    unknown: float = output("Not known", default=float("nan"))
    good: bool = output("Whether good", severities={False: Severity.MAJOR})
    verdict: Band = output("Verdict", severities={Band.RED: Severity.MINOR})
    profile: NDArray[np.int16] = output("Profile", length=100)
    remark: str = output("Remark", default="")


class Everything(Algorithm[Params, Figures]):
    """Declares one of each kind.

    With details.
    """

    Band = Band
    Gain = Gain

    def process(self, image, params, attributes, metadata):
        return Figures(level=1.0, good=True, verdict=Band.RED, profile=np.ones(1, np.int16))
