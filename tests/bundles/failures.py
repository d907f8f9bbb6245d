"""Failures as a plugin tells them, without a worker."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from tosip.pipeline.failure import Failure, FailureKind
from tosip.pipeline.jobs import Circumstances, Program
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool

FILE = "/algorithms/probe.py"
CODE = {"probe": {"file": FILE, "package": False, "text": "# überall\nx = 1\n"}}


def failure(pixels: Any = None, attributes: Any = None, **more: Any) -> Failure:
    """A frame whose algorithm raised; `more` is of the frame, or of what it met."""
    pixels = np.zeros((3, 4), np.uint16) if pixels is None else pixels
    lease = Pool().allocate(pixels.nbytes)
    lease.view(pixels.shape, pixels.dtype)[:] = pixels
    array = NDArray(
        more.pop("unique_id", 7),
        1234.5,
        pixels.shape,
        pixels.dtype.name,
        lease,
        attributes or {},
        more.pop("color_mode", "Mono"),
    )
    error = more.pop("error", "ValueError: odd")
    met = {
        "port": "CAM",
        "params": {},
        "timeout": 10.0,
        "timed_out": False,
        "code": CODE,
        "code_hash": "0123456789ab",
        "python": "3.11.2",
        "numpy": "2.0.0",
        "printed": ("before\x1b[2J", "last"),
        **more,
    }
    return Failure(
        array,
        Program("PROBE", Path(FILE), None, Path(sys.executable)),
        FailureKind.EXCEPTION,
        "process",
        error,
        f"Traceback\n{error}",
        Circumstances(**met),
    )
