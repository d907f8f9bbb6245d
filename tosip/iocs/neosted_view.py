"""NEOSTED in a terminal: the field-wide figures, and a line for each exposure of all cameras."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from tosip import streams
from tosip.iocs.neosted_config import ENVIRONMENT, FIELD
from tosip.iocs.system import System
from tosip.iocs.view import Views
from tosip.pipeline.plugin import Outcome

EXPOSURE_TIMEOUT = 20.0  # s after an exposure's first figures, when a camera is missing


def summary(system: System) -> str:
    """Return the field-wide figures beside temperature and seeing, in one line."""
    parts = []
    for port, figures in (
        (FIELD, (("field", "hfd", "arcsec"), ("worst ratio", "worst_ratio", ""))),
        (ENVIRONMENT, (("", "temperature", "degC"), ("seeing", "seeing", "arcsec"))),
    ):
        outcome = system.plugins[port].last_outcome
        found = (outcome.outputs if outcome else None) or {}
        for label, name, unit in figures:
            parts.append(f"{label} {_figure(found, name)} {unit}".strip())
    return ", ".join(parts)


def _figure(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return f"{value:.2f}" if isinstance(value, float) and math.isfinite(value) else "-"


class ExposureLines:
    """Prints a line when all cameras have given the figures of an exposure."""

    def __init__(self, system: System) -> None:
        self._system = system
        # By time and camera whether it was good: an outcome would keep its frame's memory.
        self._exposures: dict[float, dict[str, bool]] = {}
        self._printed: deque[float] = deque(maxlen=100)
        self._cameras = 0
        for name, plugin in system.plugins.items():
            if plugin.source in system.drivers:
                self._cameras += 1
                plugin.on_outcome.connect(self._listener(name))

    def flush(self) -> None:
        """Print what is not complete."""
        for timestamp in sorted(self._exposures):
            self._print(timestamp)

    def _listener(self, camera: str) -> Callable[[Outcome], None]:
        def done(outcome: Outcome) -> None:
            timestamp = round(outcome.array.timestamp, 3)
            if timestamp in self._printed:
                return  # too late for its line
            if timestamp not in self._exposures:
                loop = asyncio.get_running_loop()
                loop.call_later(EXPOSURE_TIMEOUT, self._print, timestamp)
            exposure = self._exposures.setdefault(timestamp, {})
            exposure[camera] = (outcome.outputs or {}).get("outcome") == "good"
            if len(exposure) == self._cameras:
                # After the loop's next round the field's figures know of this one too.
                asyncio.get_running_loop().call_later(0.2, self._print, timestamp)

        return done

    def _print(self, timestamp: float) -> None:
        exposure = self._exposures.pop(timestamp, None)
        if exposure is None:
            return
        self._printed.append(timestamp)
        taken = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(timestamp))
        good = sum(exposure.values())
        streams.say(
            f"{taken} cameras {len(exposure)}/{self._cameras}, good {good}, {summary(self._system)}"
        )


VIEWS = Views(summary, ExposureLines)
