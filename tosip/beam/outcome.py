"""What a frame is good for, and how a measurement ends early."""

from __future__ import annotations

import enum


class Outcome(str, enum.Enum):
    """What a frame is good for."""

    GOOD = "good"
    NO_BEAM = "no beam"
    SATURATED = "saturated"
    CLIPPED = "clipped at edge"
    FIT_FAILED = "fit failed"
    UNUSABLE = "unusable frame"


class WithheldError(Exception):
    """The measurement ends here: figures that are not known yet stay NaN."""

    def __init__(self, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
