"""How large declared values may be: what a message to the IOC, and Channel Access, have room for.

Runs where the algorithm runs: standard library and NumPy only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np

from tosip.description import Field, Kind

# Bytes. All values of a frame travel in one message of 64 MiB, in which escapes lengthen texts.
LARGEST_ARRAY = 60 * 1024**2
LARGEST_TEXT = 2 * 1024**2
CA_ARRAY = 16384  # EPICS's default of EPICS_CA_MAX_ARRAY_BYTES


def size_faults(kind: Kind, dtype: str, length: int) -> list[str]:
    """Find what is wrong with a declared length, as `expected ..., got ...`."""
    if kind not in (Kind.ARRAY, Kind.STR):
        return []
    size = _size(kind, dtype)
    limits = {"TOSIP": LARGEST_ARRAY if kind is Kind.ARRAY else LARGEST_TEXT}
    if os.environ.get("EPICS_CA_AUTO_ARRAY_BYTES", "").upper() == "NO":  # else CA has no limit
        given = os.environ.get("EPICS_CA_MAX_ARRAY_BYTES", "")
        limits["EPICS_CA_MAX_ARRAY_BYTES"] = int(given) if given.isdecimal() else CA_ARRAY
    return [
        f"expected a length of at most {limit // size} ({whose}: {limit} bytes), got {length}"
        for whose, limit in limits.items()
        if length * size > limit
    ]


def faults_together(owner: str, fields: Iterable[Field]) -> list[str]:
    """Find whether values that are well each are too large together; names the largest."""
    faults = []
    for kind, limit in ((Kind.ARRAY, LARGEST_ARRAY), (Kind.STR, LARGEST_TEXT)):
        sizes = {f.name: f.length * _size(kind, f.dtype) for f in fields if f.kind is kind}
        total = sum(sizes.values())
        if total > limit:
            largest = max(sizes, key=lambda name: sizes[name])
            faults.append(
                f"{owner}.{largest}: expected at most {limit} bytes in all values of kind "
                f"{kind.value}, got {total}, {sizes[largest]} of them here"
            )
    return faults


def _size(kind: Kind, dtype: str) -> int:
    return np.dtype(dtype).itemsize if kind is Kind.ARRAY else 1
