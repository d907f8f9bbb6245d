"""The usual ways to hand a frame to another process, to be timed beside TOSIP's own.

Each peer is a context manager: inside it a process of its own looks at frames, with attributes as
ours have, and answers with a small record. An answer tells the frame's first pixel, so that a frame
that stayed behind is found.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

import numpy as np

ATTRIBUTES = {f"KEY{number:02}": f"a value of {number}" for number in range(30)}
PARAMS = {f"p{number}": 0 for number in range(10)}
IN_FLIGHT = 4  # frames sent and not yet answered while throughput is measured
TIMEOUT = 30.0  # s, for a start or an answer


class PeerError(RuntimeError):
    """A peer that did not start, did not answer or answered wrongly."""


class MissingPeer(PeerError):
    """A peer that cannot run here, with the reason."""


class Peer(Protocol):
    """What the benchmark asks of each way; `lost` counts frames that were never answered."""

    lost: int

    def __enter__(self) -> Self:
        """Start the other process and wait until it answers."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the other process."""
        ...

    def round_trip(self, array: np.ndarray) -> None:
        """Hand over one frame and wait for its answer."""
        ...

    def throughput(self, array: np.ndarray, count: int) -> float:
        """Frames per second over `count` frames, with at most `IN_FLIGHT` under way."""
        ...
