"""The operator's values: one unchanging set for each frame, staged changes, the algorithm's own."""

from typing import Any

import numpy as np
import pytest

from tests.authors import Everything
from tosip.description import Description
from tosip.pipeline.parameters import ParameterError, Parameters
from tosip.reading import describe


@pytest.fixture
def params() -> Parameters:
    return Parameters("CAM", describe(Everything))


def told(params: Parameters) -> list[tuple[str, Any, Any]]:
    """What listeners hear: the name, the value, and the threshold that is in force by then."""
    heard: list[tuple[str, Any, Any]] = []
    params.listen(lambda name, value: heard.append((name, value, params["threshold"])))
    return heard


def test_set_taken_is_the_same_object_until_something_changes(params):
    first = params.take()
    assert params.take() is first
    params.set("threshold", 5.0)  # as before
    params.set("weights", [1, 1])
    assert params.take() is first
    params.set("threshold", 6.0)
    second = params.take()
    assert second is not first
    assert (first["threshold"], second["threshold"]) == (5.0, 6.0)
    assert params.take() is second


def test_set_taken_cannot_be_changed(params):
    taken = params.take()
    with pytest.raises(TypeError):
        taken["threshold"] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        taken["weights"][0] = 5.0


def test_array_that_was_set_is_not_that_of_the_caller(params):
    given = np.array([1.0, 2.0, 3.0])
    params.set("weights", given)
    given[:] = 0
    assert params.take()["weights"].tolist() == [1.0, 2.0, 3.0]


def test_command_is_true_in_one_set(params):
    params.set("reset", True)
    params.set("reset", True)
    assert params.current["reset"] is params.current["reset"] is True
    pressed = params.take()
    released = params.take()
    assert (pressed["reset"], released["reset"]) == (True, False)
    assert params.take() is released


def test_several_values_are_set_together(params):
    heard = told(params)
    assert params.update({"count": 7, "threshold": 9}) == {"count": 7, "threshold": 9.0}
    assert heard == [("count", 7, 9.0), ("threshold", 9.0, 9.0)]


def test_all_refused_values_are_named_and_none_is_set(params):
    heard, before = told(params), params.take()
    with pytest.raises(ParameterError) as caught:
        params.update({"threshold": 9.0, "count": 0, "treshold": 1.0, "title": 5})
    words = str(caught.value)
    for part in (
        "CAM.count: expected at least 1",
        "CAM.treshold: expected an input of",
        "CAM.title:",
    ):
        assert part in words
    assert params.take() is before
    assert heard == []


def test_staged_changes_wait_and_come_into_force_together(params):
    heard, before = told(params), params.take()
    assert params.stage("threshold", 8) == 8.0
    params.stage("threshold", 9)
    params.stage("count", 5)
    assert params.staged == {"threshold": 9.0, "count": 5}
    assert params.take() is before
    assert params["threshold"] == 5.0
    assert heard == []
    params.apply()
    assert heard == [("threshold", 9.0, 9.0), ("count", 5, 9.0)]
    assert (params.take()["threshold"], params.take()["count"]) == (9.0, 5)
    assert params.staged == {}
    params.apply()
    assert len(heard) == 2


def test_staged_value_is_checked_and_can_be_given_up(params):
    with pytest.raises(ParameterError, match=r"CAM\.count: expected at least 1, got 0"):
        params.stage("count", 0)
    params.stage("count", 5)
    params.discard()
    params.apply()
    assert params["count"] == 3


def test_value_set_at_once_replaces_the_staged_one(params):
    params.stage("count", 5)
    params.stage("threshold", 9.0)
    params.set("count", 6)
    params.apply()
    assert (params["count"], params["threshold"]) == (6, 9.0)


def test_staged_values_cannot_be_changed_from_outside(params):
    with pytest.raises(TypeError):
        params.staged["count"] = 5


def test_plugin_without_inputs_has_an_empty_set():
    params = Parameters("CAM", Description("", ""))
    assert params.take() == {}
    assert params.take() is params.take()
    with pytest.raises(ParameterError, match="expected an input of none"):
        params.set("x", 1)
