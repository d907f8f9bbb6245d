"""Between plain values and what an algorithm sees; attributes and their types."""

import enum

import numpy as np
import pytest

from tests.authors import Band, Everything, Params
from tosip.description import same_value
from tosip.errors import ProtocolError
from tosip.pipeline.ndarray import attribute_type
from tosip.pipeline.protocol import decode, encode
from tosip.pipeline.results import check_result
from tosip.pipeline.worker.values import (
    InputsReader,
    changed_inputs,
    plain_attributes,
    plain_outputs,
)
from tosip.reading import describe

DESCRIPTION = describe(Everything)
OUTPUTS = {"level": 1.0, "good": True, "verdict": Band.RED, "profile": np.arange(3)}


@pytest.fixture
def reader() -> InputsReader:
    return InputsReader(Params, DESCRIPTION)


def test_inputs_are_typed_and_their_arrays_read_only(reader):
    inputs = reader({**DESCRIPTION.defaults(), "weights": [1.0, 2.0]})
    assert (inputs.band, inputs.count) == (Band.BLUE, 3)
    assert inputs.weights.dtype == np.float64
    assert not inputs.weights.flags.writeable


def test_inputs_that_differ_are_told_and_no_commands(reader):
    plain = DESCRIPTION.defaults()
    inputs = reader(plain)
    after = inputs.replace(count=5, weights=np.zeros(3), reset=True)
    changes = changed_inputs(DESCRIPTION, inputs, after, plain)
    assert changes.keys() == {"count", "weights"}
    again = reader({**plain, **changes})
    assert again.count == 5
    assert same_value(again.weights, np.zeros(3))


def test_inputs_with_equal_arrays_have_not_changed(reader):
    plain = DESCRIPTION.defaults()
    inputs = reader(plain)
    assert changed_inputs(DESCRIPTION, inputs, inputs.replace(weights=[1, 1]), plain) == {}
    assert changed_inputs(DESCRIPTION, inputs, inputs, plain) == {}


def test_outputs_become_arrays_of_the_declared_type():
    plain = plain_outputs(DESCRIPTION, OUTPUTS)
    assert plain["profile"].dtype == np.int16
    assert plain["verdict"] == "red"
    with pytest.raises(ValueError, match=r"profile: expected numbers from -32768"):
        plain_outputs(DESCRIPTION, {**OUTPUTS, "profile": [10**6]})


class Label(enum.Enum):
    ONE = "one"


def test_attributes_are_text_numbers_and_arrays():
    given = {
        "text": "a",
        "yes": np.True_,
        "number": np.uint64(2**64 - 1),
        "real": np.float32(0.5),
        "label": Label.ONE,
        "line": np.arange(3, dtype=">i2"),
        "none": np.empty(0, np.float32),
    }
    plain = plain_attributes(given)
    assert [plain[n] for n in ("text", "yes", "number", "real", "label")] == [
        "a",
        True,
        2**64 - 1,
        0.5,
        "one",
    ]
    assert plain["line"].dtype == np.int16
    assert plain["line"].tolist() == [0, 1, 2]
    assert plain["none"].size == 0


def test_outputs_and_attributes_are_not_the_arrays_of_the_algorithm():
    mine = np.arange(3, dtype=np.int16)
    kept = [plain_attributes({"A": mine})["A"]]
    kept.append(plain_outputs(DESCRIPTION, {**OUTPUTS, "profile": mine})["profile"])
    mine[:] = 0
    for array in kept:
        assert array.tolist() == [0, 1, 2]
        assert not array.flags.writeable


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1], "got list"),
        (None, "got NoneType"),
        (np.zeros((2, 2)), r"got an array of float64, shape \(2, 2\)"),
        (np.array([True]), "got an array of bool"),
        (np.array(["a"]), "got an array of <U1"),
        (1j, "got complex"),
        (2**64, "expected an int of 64 bits, got 65"),
    ],
)
def test_other_attributes_are_refused_by_name(value, words):
    with pytest.raises((TypeError, ValueError), match=f"attribute 'A': .*{words}"):
        plain_attributes({"A": value})


def _result(**changes):
    fields = {
        "sequence": 1,
        "status": "ok",
        "message": "",
        "outputs": plain_outputs(DESCRIPTION, OUTPUTS),
        "params": {},
        "attributes": {},
        "image": None,
        "seconds": 0.1,
        **changes,
    }
    return check_result(DESCRIPTION, decode(encode("result", **fields)))


def test_result_is_believed_with_its_arrays():
    message = _result(attributes={"A": np.arange(2)}, params={"weights": np.zeros(4)})
    assert message["outputs"]["profile"].tolist() == [0, 1, 2]
    assert message["attributes"]["A"].tolist() == [0, 1]
    assert message["params"]["weights"].tolist() == [0.0] * 4
    for field, name in (("outputs", "profile"), ("attributes", "A"), ("params", "weights")):
        assert not message[field][name].flags.writeable


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": {**plain_outputs(DESCRIPTION, OUTPUTS), "profile": np.zeros(101, np.int16)}},
        {"outputs": {**plain_outputs(DESCRIPTION, OUTPUTS), "profile": np.array([1e9])}},
        {"outputs": {**plain_outputs(DESCRIPTION, OUTPUTS), "level": np.zeros(1)}},
        {"outputs": {**plain_outputs(DESCRIPTION, OUTPUTS), "verdict": np.zeros(1)}},
        {"outputs": {**plain_outputs(DESCRIPTION, OUTPUTS), "remark": np.zeros(3)}},
        {"params": {"weights": np.zeros(5)}},
        {"params": {"weights": 1.0}},
        {"params": {"threshold": np.zeros(2)}},
        {"params": {"band": np.zeros(2)}},
        {"params": {"fast": np.zeros(2)}},
        {"params": {"nothing": np.zeros(2)}},
        {"attributes": {"A" * 257: 1}},
    ],
    ids=str,
)
def test_result_with_wrong_values_is_refused(changes):
    with pytest.raises(ProtocolError, match=r"result\."):
        _result(**changes)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (True, "Int8"),
        (5, "Int64"),
        (-(2**63), "Int64"),
        (2**63, "UInt64"),
        (0.5, "Float64"),
        ("a", "String"),
        (np.zeros(2, np.uint16), "UInt16"),
        (np.zeros(2), "Float64"),
    ],
)
def test_attribute_has_the_name_of_its_type_in_area_detector(value, name):
    assert attribute_type(value) == name
