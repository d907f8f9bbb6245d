"""An algorithm with every kind of input and output; its outputs show what it was given."""

from __future__ import annotations

import enum
import os
import signal

import numpy as np
from numpy.typing import NDArray

from tosip import (
    Alarm,
    Algorithm,
    Inputs,
    Outputs,
    Result,
    Severity,
    Status,
    command,
    output,
    param,
)


class Mode(enum.Enum):
    ECHO = "echo"
    RAISE = "raise"
    DIE = "die"
    WARN = "warn"
    BLANK = "blank"


class Params(Inputs):
    gain: float = param("Factor", default=2.0, units="ADU", precision=2, limits=(0.0, 10.0))
    count: int = param("Count", default=3, limits=(0, 100))
    big: int = param("Big count", default=1 << 40, bits=64)
    flag: bool = param("Flag", default=True)
    mode: Mode = param("What to do", default=Mode.ECHO)
    label: str = param("Short text", default="abc", length=20)
    story: str = param("Long text", default="once", length=500)
    weights: NDArray[np.float64] = param("Weights", default=np.array([1.0, 2.0]), length=8)
    reset: bool = command("Start again")


class Figures(Outputs):
    total: int = output("Sum of the inputs", bits=64)
    raised: bool = output("The flag", severities={True: Severity.MINOR})
    seen: Mode = output("The mode", severities={Mode.BLANK: Severity.MAJOR})
    text: str = output("Both texts", length=600)
    profile: NDArray[np.float64] = output("Mean of each column", length=64)
    was_reset: bool = output("Whether the button was pressed (since the frame before)")
    # The last one: when it is posted, all are.
    mean: float = output(
        "Mean pixel",
        units="ADU",
        precision=3,
        limits=(0.0, 65535.0),
        alarm=Alarm(low=10.0, high=1000.0, hihi=2000.0, hysteresis=5.0),
    )


class Everything(Algorithm[Params, Figures]):
    r"""Shows "every" kind of value: \ä $(P)."""

    def process(self, image, params, attributes, metadata):
        if params.mode is Mode.RAISE:
            raise ValueError("told to raise")
        if params.mode is Mode.DIE:
            os.kill(os.getpid(), signal.SIGSEGV)
        mean = float("nan") if params.mode is Mode.BLANK else params.gain * float(image.mean())
        figures = Figures(
            mean=mean,
            total=params.count + params.big,
            raised=params.flag,
            seen=params.mode,
            text=f"{params.label}|{params.story}",
            profile=params.weights.sum() * image.mean(axis=0)[:64],
            was_reset=params.reset,
        )
        status = Status.WARNING if params.mode is Mode.WARN else Status.OK
        return Result(figures, status=status, message="warned" if status is Status.WARNING else "")
