"""A frame that failed, with all that is needed to see it fail again."""

import enum
from dataclasses import dataclass

from tosip.errors import WorkerError
from tosip.pipeline.jobs import AlgorithmFault, Circumstances, Program
from tosip.pipeline.ndarray import NDArray


class FailureKind(enum.StrEnum):
    """How a frame failed."""

    EXCEPTION = "exception"
    DIED = "died"
    TIMED_OUT = "timed out"


Likeness = tuple[str, str, str, str]
"""The same for failures that are the same fault: code, kind, stage, cause."""

_TELLING_EXITS = ("exit status", "killed by")


def likeness(code_hash: str, kind: FailureKind, stage: str, error: str) -> Likeness:
    """Return what failures of the same fault have in common, whatever the frame."""
    cause = ""
    if kind is FailureKind.EXCEPTION:
        cause = error.partition(":")[0][:200]  # its type: the text may name what differs
    elif error.startswith(_TELLING_EXITS):
        cause = error
    return code_hash, kind.value, stage, cause


@dataclass(frozen=True, eq=False)
class Failure:
    """One frame whose algorithm raised, or whose worker died or had to be killed.

    `stage` is what the worker was at (empty when it died), `error` the exception's type and text,
    or the exit in words, `traceback` the worker's report.
    """

    array: NDArray
    program: Program
    kind: FailureKind
    stage: str
    error: str
    traceback: str
    circumstances: Circumstances

    @property
    def likeness(self) -> Likeness:
        """See `likeness`."""
        return likeness(self.circumstances.code_hash, self.kind, self.stage, self.error)


def failure_of(array: NDArray, program: Program, error: WorkerError) -> Failure | None:
    """Tell how a frame failed; None if no worker was at work on it."""
    circumstances = getattr(error, "circumstances", None)
    if circumstances is None:
        return None
    kind = FailureKind.TIMED_OUT if circumstances.timed_out else FailureKind.DIED
    stage, words, traceback = "", str(error), ""
    if isinstance(error, AlgorithmFault):
        kind, stage = FailureKind.EXCEPTION, error.stage
        words, traceback = error.error, error.traceback
    return Failure(array, program, kind, stage, words, traceback, circumstances)
