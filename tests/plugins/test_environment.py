"""Temperature and seeing from headers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.plugins.stars import metadata
from tosip import Status
from tosip.plugins.environment import Environment, Params, Readings
from tosip.reading import describe


def read(attributes, **params):
    result = Environment().process(np.empty((2, 2)), Params(**params), attributes, metadata())
    assert isinstance(result.outputs, Readings)
    return result.outputs, result


def test_declaration_is_accepted():
    assert [f.name for f in describe(Environment).outputs] == ["temperature", "seeing"]


@pytest.mark.parametrize("value", [12.3, "12.3", " 12.3 ", np.float64(12.3)])
def test_numbers_may_be_text(value):
    readings, result = read({"AMBTEMP": value, "SEEING": 1})
    assert (readings.temperature, readings.seeing) == (12.3, 1.0)
    assert result.status is Status.OK


@pytest.mark.parametrize("value", ["NaN", "inf", "", "n/a", None, True, np.ones(1)])
def test_what_is_no_number_is_not_known(value):
    readings, result = read({"AMBTEMP": value, "SEEING": 1.4})
    assert math.isnan(readings.temperature)
    assert readings.seeing == 1.4
    assert result.status is Status.WARNING
    assert "AMBTEMP" in result.message


def test_other_keywords_can_be_named():
    readings, _ = read(
        {"OUTTEMP": -3, "DIMMSEE": "0.9"}, temperature_keyword="OUTTEMP", seeing_keyword="DIMMSEE"
    )
    assert (readings.temperature, readings.seeing) == (-3.0, 0.9)
