"""Ambient temperature and seeing, as the frames' headers tell them.

An operator judges a star's width beside both: seeing widens all cameras' stars, a change of
temperature moves their focus. Headers hold numbers as numbers or as text ('12.3', 'NaN'); what is
missing or no number is published as not known, never as zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tosip import Algorithm, Inputs, Metadata, Outputs, Result, Status, output, param


class Params(Inputs):
    """What operators set."""

    temperature_keyword: str = param(
        "Keyword of the ambient temperature", default="AMBTEMP", length=40
    )
    seeing_keyword: str = param("Keyword of the seeing", default="SEEING", length=40)


class Readings(Outputs):
    """What operators read."""

    temperature: float = output(
        "Ambient temperature", units="degC", precision=1, limits=(-40.0, 50.0), default=math.nan
    )
    seeing: float = output(
        "Seeing\nOf the site's monitor, not of this telescope's stars.",
        units="arcsec",
        precision=2,
        limits=(0.0, 5.0),
        default=math.nan,
    )


class Environment(Algorithm[Params, Readings]):
    """Ambient temperature and seeing."""

    def process(
        self,
        image: np.ndarray[Any, Any],
        params: Params,
        attributes: Mapping[str, Any],
        metadata: Metadata,
    ) -> Result[Readings]:
        """Read one frame's keywords."""
        temperature = number(attributes.get(params.temperature_keyword))
        seeing = number(attributes.get(params.seeing_keyword))
        named = {params.temperature_keyword: temperature, params.seeing_keyword: seeing}
        missing = [keyword for keyword, value in named.items() if math.isnan(value)]
        return Result(
            Readings(temperature=temperature, seeing=seeing),
            status=Status.WARNING if missing else Status.OK,
            message=f"no number in {', '.join(missing)}" if missing else "",
        )


def number(value: Any) -> float:
    """Return a keyword's value as a finite float, or NaN."""
    if isinstance(value, (bool, np.ndarray)):
        return math.nan
    try:
        found = float(value)
    except (TypeError, ValueError):
        return math.nan
    return found if math.isfinite(found) else math.nan
