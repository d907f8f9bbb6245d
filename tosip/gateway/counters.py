"""What the gateway counts and measures, as one moment of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tosip.gateway.forwarding.forwarder import ArchiveState
from tosip.gateway.spool.stored import Totals


@dataclass(frozen=True)
class Last:
    """The newest file of a camera."""

    name: str = ""
    received: float = 0.0


@dataclass(frozen=True)
class GatewayCounters(Totals):
    """The counts of the spool, and what is known since the start.

    `refused` counts uploads that were answered with an error, `unseen` delivered files that were
    let go, for want of room, before the pipeline was done with them. `pending_since` is when the
    oldest pending file came, Unix time. `free_space` (None before the start) and `watermark` are
    bytes, rates bytes a second. `last_refusal` tells why an upload was refused, `last_error` what
    else went wrong. `last` has the newest file of each camera.
    """

    refused: int = 0
    unseen: int = 0
    connections: int = 0
    cameras: frozenset[str] = frozenset()
    pending_since: float | None = None
    archive: ArchiveState = ArchiveState.UNKNOWN
    paused: bool = False
    last_error: str = ""
    last_refusal: str = ""
    free_space: int | None = None
    watermark: int = 0
    receive_rate: float = 0.0
    forward_rate: float = 0.0
    dead_letters: tuple[str, ...] = ()
    last: Mapping[str, Last] = field(default_factory=dict)

    @property
    def archive_ok(self) -> bool:
        """Whether the archive answered when it was asked last."""
        return self.archive == ArchiveState.OK
