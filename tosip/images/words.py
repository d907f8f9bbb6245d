"""What the IOC and the process that serves its images say to each other, as bytes.

Frames are messages of `tosip.pipeline.protocol`, which knows attributes that are arrays; their
`port` is the PV's name here. One without pixels says that there is no frame yet. Everything else is
a JSON object: the settings, and from the process a single word with what belongs to it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tosip.errors import ProtocolError
from tosip.pipeline import protocol
from tosip.pipeline.ndarray import NDArray

IMAGE, PREVIEW = "Image", "Preview"
LONGEST = 4096  # bytes that the process says at once

# What the process says: its TCP port; why it cannot serve; names of PVs.
WORDS: Mapping[str, type] = {
    "serving": int,
    "failed": str,
    "watch": str,
    "unwatch": str,
    "done": str,
}


@dataclass(frozen=True)
class Settings:
    """`streams` are the PVs' names, each with what it shows: IMAGE or PREVIEW."""

    streams: Mapping[str, str]
    port: int

    def encode(self) -> bytes:
        """Make a message of it."""
        return json.dumps({"streams": dict(self.streams), "port": self.port}).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Settings":
        """Read what `encode` has made."""
        return cls(**json.loads(data))


def frame(name: str, array: NDArray | None) -> bytes:
    """Tell of a frame, or that there is none; ProtocolError if its attributes cannot be told."""
    return protocol.encode(
        "frame",
        sequence=0,
        buffer=0 if array is None else array.lease.buffer.number,
        shape=[0] if array is None else list(array.shape),
        dtype="uint8" if array is None else array.dtype,
        color_mode="Mono" if array is None else array.color_mode,
        unique_id=0 if array is None else array.unique_id,
        timestamp=0.0 if array is None else array.timestamp,
        port=name,
        attributes={} if array is None else dict(array.attributes),
        fresh=True,
        params=None,
        spare=[],
    )


def say(word: str, value: str | int) -> bytes:
    """Make one word of the process."""
    text = value[: LONGEST // 8] if isinstance(value, str) else value  # JSON may need 6 a character
    return json.dumps({word: text}).encode()


def heard(data: bytes) -> tuple[str, Any]:
    """Read one word of the process; ProtocolError if it is none."""
    try:
        [(word, value)] = json.loads(data).items()
    except (ValueError, AttributeError, RecursionError):
        raise ProtocolError(f"images: expected one word, got {data[:80]!r}") from None
    if word not in WORDS or type(value) is not WORDS[word]:
        raise ProtocolError(f"images: expected one of {', '.join(WORDS)}, got {data[:80]!r}")
    return word, value
