"""The description of a file that lies beside it, so that the journal can be made anew from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tosip.gateway.spool.partial import Description


@dataclass(frozen=True)
class Sidecar:
    """What a sidecar tells; `reason` is why a file is in the quarantine."""

    description: Description
    received: float
    reason: str = ""


def encode(sidecar: Sidecar) -> bytes:
    """Return the content of the file."""
    described = sidecar.description
    facts: dict[str, Any] = {
        "name": described.name,
        "user": described.user,
        "camera": described.camera,
        "size": described.size,
        "digest": described.digest,
        "received": sidecar.received,
        "proven": described.proven,
        "held": described.held,
    }
    if sidecar.reason:
        facts["reason"] = sidecar.reason
    # Names may be any bytes: json escapes lone surrogates, so that they survive.
    return json.dumps(facts).encode("ascii") + b"\n"


def read(path: Path) -> Sidecar | None:
    """Return what a sidecar tells; None if it is not there or cannot be understood."""
    try:
        facts = json.loads(path.read_bytes())
        description = Description(
            name=_text(facts, "name"),
            user=_text(facts, "user"),
            size=int(facts["size"]),
            digest=_text(facts, "digest"),
            proven=bool(facts["proven"]),
            camera=_text(facts, "camera"),
            held=bool(facts["held"]),
        )
        return Sidecar(description, float(facts["received"]), str(facts.get("reason", "")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _text(facts: dict[str, Any], key: str) -> str:
    value = facts[key]
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r}")
    return value
