"""What goes to a worker and what comes back: programs, jobs, answers, and what can go wrong."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tosip.errors import ProtocolError, WorkerError
from tosip.pipeline.limits import NO_LIMITS, Limits
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.parameters import ParameterSet
from tosip.pipeline.protocol import Message


@dataclass(frozen=True)
class Program:
    """What a worker runs: a class in a file, in an interpreter. `name` is for people.

    With `module` the class is one of an installed package (`package.module`), whose file is `file`.
    `watch` names data files beside those that the class names, as `Algorithm.watch`. With `standby`
    another worker waits, loaded, to take the place of one that ends.
    """

    name: str
    file: Path
    class_name: str | None
    interpreter: Path
    module: str = ""
    start_timeout: float = 60.0
    stop_timeout: float = 2.0
    save_timeout: float = 10.0
    standby: bool = False
    watch: tuple[str, ...] = ()
    limits: Limits = NO_LIMITS


@dataclass(frozen=True)
class Circumstances:
    """What a worker had in hand when a frame failed; `params` are those that it really used."""

    port: str
    params: ParameterSet
    timeout: float
    timed_out: bool
    code: Mapping[str, Any]
    code_hash: str
    python: str
    numpy: str
    printed: tuple[str, ...]


class AlgorithmFault(WorkerError):
    """The user's code raised; the text is one line: the cause and its place.

    `error` is the exception's type and text, `traceback` the worker's whole report, which begins
    with the cause. `circumstances` are known if a frame failed.
    """

    circumstances: Circumstances | None = None

    def __init__(self, stage: str, error: str, traceback: str) -> None:
        cause = traceback.partition("\n")[0]
        super().__init__(cause if cause.startswith(error.partition("\n")[0]) else error)
        self.stage = stage
        self.error = error
        self.traceback = traceback


class WorkerDied(WorkerError):
    """The process ended, or had to be ended, before it answered; the text says how, in words.

    `circumstances` are known if it was looking at a frame. `from_outside` says that somebody else
    has killed it: its frame need not be the cause. `loading` says that the interpreter and its
    NumPy were good, and the algorithm's file was being loaded.
    """

    circumstances: Circumstances | None = None
    from_outside = False
    loading = False


class StateLost(WorkerError):
    """Newer code would start without what the running one has learnt: its `save` has failed."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"{cause}: what it has learnt would be lost; Reload starts anew")


class NotAsked(WorkerError):
    """No worker is there to ask."""


class NoAnswer(WorkerDied):
    """The process had to be ended because it did not answer a request in time."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a worker found: its checked result, and the image it made, if any.

    `refused` says why the image is missing although there was one.
    """

    message: Message
    image: NDArray | None
    refused: str = ""


Done = Callable[[Answer | WorkerError | ProtocolError | None], None]
"""Called once for each job, with the answer; or with AlgorithmFault when the algorithm raised (the
process lives on), WorkerDied when the process ended, did not answer in time, or answered rubbish
(it is killed then); with ProtocolError when there was no descriptor to take its answer; or with
None when the process ended before it looked at the frame."""


@dataclass(frozen=True, eq=False)
class Job:
    """One frame for a worker, which has `timeout` seconds for it from when it may begin."""

    array: NDArray
    params: ParameterSet
    port: str
    timeout: float
    done: Done
