"""Reads a frame's attributes: what the focus plugin found, and keywords of the header."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from tosip.advice.exposure import CameraExposure, Environment

CAMERAS = 16


@dataclass(frozen=True)
class Keywords:
    """Names of the keywords of the focus motor's position, the temperature and the seeing."""

    position: str
    temperature: str
    seeing: str


def read(attributes: Mapping[str, Any], keywords: Keywords) -> CameraExposure:
    """Read what the focus plugin found; without it, or without its trust, there is no width."""
    outcome = str(attributes.get("Outcome", ""))
    if outcome == "good" and attributes.get("Status") == "error":
        outcome = "unusable"
    return CameraExposure(
        filter=str(attributes.get("FILTER", "")).strip(),
        position=number(attributes.get(keywords.position)),
        hfd=number(attributes.get("Hfd")) if outcome == "good" else math.nan,
        error=number(attributes.get("HfdError")),
        stars=number(attributes.get("StarCount")),
        sky=number(attributes.get("Sky")),
        extinction=number(attributes.get("Extinction")),
        outcome=outcome,
        pointing=f"{attributes.get('OBJECT', '')} {attributes.get('EXPTIME', '')}".strip(),
    )


def environment(attributes: Mapping[str, Any], keywords: Keywords) -> Environment:
    """Read the weather from the header."""
    seeing = number(attributes.get(keywords.seeing))
    return Environment(
        temperature=number(attributes.get(keywords.temperature)),
        seeing=seeing if seeing > 0 else math.nan,
        airmass=number(attributes.get("AIRMASS")),
    )


def next_time(clock: str, now: float) -> float:
    """Return when it is next HH:MM (UTC) after `now`, in Unix seconds; NaN if `clock` is none."""
    found = re.fullmatch(r"(\d\d):(\d\d)", clock.strip())
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        return math.nan
    today = datetime.fromtimestamp(now, timezone.utc)
    end = today.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
    return (end if end > today else end + timedelta(days=1)).timestamp()


def camera_number(value: Any, port: str) -> int | None:
    """Return the camera's number, 1 to 16, from its keyword or the port's name."""
    given = number(value)
    if math.isnan(given):
        digits = re.search(r"\d+$", port)
        given = float(digits.group()) if digits else math.nan
    return int(given) if given in range(1, CAMERAS + 1) else None


def start_time(attributes: Mapping[str, Any], timestamp: float) -> float:
    """Return the start of exposure in Unix seconds.

    A driver that sets TimeSource has read the header, in all its spellings; frames from elsewhere
    may have DATE-OBS (UTC).
    """
    if "TimeSource" in attributes:
        return timestamp
    text = str(attributes.get("DATE-OBS", "")).strip().rstrip("Z")
    if "T" not in text:  # a date without a time
        return timestamp
    whole, _, fraction = text.partition(".")
    try:
        moment = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc)
        return moment.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
    except ValueError:
        return timestamp


def number(value: Any) -> float:
    """Return an attribute's value as a finite float, or NaN."""
    if isinstance(value, (bool, np.ndarray)):
        return math.nan
    try:
        found = float(value)
    except (TypeError, ValueError):
        return math.nan
    return found if math.isfinite(found) else math.nan
