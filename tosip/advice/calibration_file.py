"""Reads what a focus sweep has found, from a JSON file.

    {"slope": 0.108, "best": {"1": 8003.5, "2": 7994.0}}

`slope` is the width in arcsec that a step of defocus adds far from focus; `best` the position of
each camera's best focus in steps, all of one sweep.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from tosip.advice.diversity import Calibration


class CalibrationFile:
    """A file that is read again when it has changed."""

    def __init__(self) -> None:
        self._known: tuple[str, float] = ("", math.nan)
        self._calibration = Calibration()
        self._fault = ""

    def read(self, path: str) -> tuple[Calibration, str]:
        """Return the calibration and what is wrong with the file, if anything."""
        if not path:
            return Calibration(), ""
        try:
            changed = Path(path).stat().st_mtime
            if self._known != (path, changed):
                self._known = (path, changed)
                self._calibration, self._fault = Calibration(), ""
                self._calibration = parsed(Path(path).read_text())
        except (OSError, ValueError) as error:
            self._calibration, self._fault = Calibration(), f"{path}: {error}"
        return self._calibration, self._fault


def parsed(text: str) -> Calibration:
    """Return the calibration that a file's text holds. Raises ValueError if it holds none."""
    given = json.loads(text)
    if not isinstance(given, dict) or not isinstance(given.get("best"), dict):
        raise ValueError('expected {"slope": number, "best": {"1": number, ...}}')
    try:
        slope = float(given["slope"])
        best = {int(camera): float(position) for camera, position in given["best"].items()}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"expected numbers for slope and best, got {error}") from error
    if not (math.isfinite(slope) and slope > 0):
        raise ValueError(f"slope: expected a number above 0, got {slope}")
    return Calibration(slope, best)
