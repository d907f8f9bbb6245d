"""Plain values of every kind, and descriptions that another process sent."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.authors import Everything
from tosip.description import Alarm, Description, Field, Kind, Severity, same_value
from tosip.errors import ProtocolError
from tosip.reading import describe

INT = Field("n", Kind.INT, "d", low=-5, high=5)
INT64 = Field("n", Kind.INT, "d", bits=64)
WIDE = Field("n", Kind.INT, "d", bits=64, low=-3, high=2**60 + 1)
FLOAT = Field("x", Kind.FLOAT, "d", low=0.0, units="mm")
BOOL = Field("b", Kind.BOOL, "d")
STR = Field("s", Kind.STR, "d", length=4)
ENUM = Field("e", Kind.ENUM, "d", choices=("red", "blue"))
INTS = Field("a", Kind.ARRAY, "d", dtype="uint8", length=3)
LONGS = Field("a", Kind.ARRAY, "d", dtype="int64", length=3)
ULONGS = Field("a", Kind.ARRAY, "d", dtype="uint64", length=3)
DOUBLES = Field("a", Kind.ARRAY, "d", dtype="float64", length=3)
BOOLS = Field("a", Kind.ARRAY, "d", dtype="bool", length=3)
FLOATS = Field("a", Kind.ARRAY, "d", dtype="float32", length=3)
COMMAND = Field("c", Kind.COMMAND, "d")

GOOD = [
    (INT, 3, 3),
    (INT, np.int64(3), 3),
    (INT, np.array(3), 3),
    (INT64, 2**63 - 1, 2**63 - 1),
    (FLOAT, 2, 2.0),
    (FLOAT, np.float32(0.5), 0.5),
    (FLOAT, np.uint8(7), 7.0),
    (BOOL, np.True_, True),
    (COMMAND, True, True),
    (STR, "höb", "höb"),
    (STR, np.str_("abc"), "abc"),
    (STR, "a\udc80", "a?"),
    (ENUM, "red", "red"),
    (INTS, [1, 2], [1, 2]),
    (INTS, np.arange(3), [0, 1, 2]),
    (LONGS, np.histogram(np.zeros(9), bins=3)[0], [0, 9, 0]),
    (LONGS, np.array([2**53 + 1]), [2**53 + 1]),
    (LONGS, np.array([2**63 - 1], np.uint64), [2**63 - 1]),
    (LONGS, (-(2**63), 2**63 - 1), [-(2**63), 2**63 - 1]),
    (ULONGS, np.array([2**64 - 1], np.uint64), [2**64 - 1]),
    (ULONGS, [2**64 - 1, 1], [2**64 - 1, 1]),
    (DOUBLES, [2**63, -1], [2.0**63, -1.0]),
    (DOUBLES, np.array([2**53, -(2**53), 2**62]), [2.0**53, -(2.0**53), 2.0**62]),
    (DOUBLES, np.array([2**63], np.uint64), [2.0**63]),
    (BOOLS, np.arange(3) > 1, [False, False, True]),
    (BOOLS, [True], [True]),
    (BOOLS, np.array([0, 1], np.uint8), [False, True]),  # as a record has them
    (BOOL, np.array(True), True),
    (STR, np.array("abc"), "abc"),
    (INT64, np.uint64(2**63 - 1), 2**63 - 1),
    (FLOAT, 2**53, 2.0**53),
    (FLOAT, 2**62, 2.0**62),
    (FLOAT, np.array(0.5), 0.5),
    (INTS, (), []),
    (FLOATS, [1, 2.5], [1.0, 2.5]),
    (FLOATS, np.arange(3, dtype=">i2"), [0.0, 1.0, 2.0]),
]
BAD = [
    (INT, True, "expected int, got True"),
    (INT, np.False_, "expected int"),
    (INT, 2.0, "expected int, got 2.0"),
    (INT, math.nan, "expected int, got nan"),
    (INT, "3", "expected int, got '3'"),
    (INT, None, "expected int, got None"),
    (INT, 6, "expected at least -5 and at most 5, got 6"),
    (INT, 2**31, "expected an int of 32 bits"),
    (INT64, 2**63, "expected an int of 64 bits"),
    (WIDE, 2**60 + 2, "at least -3 and at most 1152921504606846977, got 1152921504606846978"),
    (FLOAT, -1.0, "expected at least 0 mm, got -1.0"),
    (FLOAT, math.nan, "expected a finite number, got nan"),
    (FLOAT, math.inf, "expected a finite number, got inf"),
    (FLOAT, 10**400, "expected float"),
    (FLOAT, True, "expected float, got True"),
    (FLOAT, "1.0", "expected float, got '1.0'"),
    (FLOAT, None, "expected float, got None"),
    (FLOAT, np.array([1.0]), "expected float"),
    (FLOAT, 1j, "expected float"),
    (FLOAT, 2**53 + 1, "expected an int that a float holds exactly, got 9007199254740993"),
    (FLOAT, np.uint64(2**64 - 1), "expected an int that a float holds exactly"),
    (INT64, np.uint64(2**63), "expected an int of 64 bits, got .*9223372036854775808"),
    (INT64, 10**400, "expected an int of 64 bits, got an int of 1329 bits"),
    (LONGS, np.array([2**63], np.uint64), "expected numbers from -9.*, got 9223372036854775808"),
    (ULONGS, np.array([-1]), "expected numbers from 0 to 18446744073709551615, got -1"),
    (DOUBLES, [0.5, 2**53 + 1], "type float64, got 9007199254740993"),
    (LONGS, [2**63, -1], "expected numbers of type int64, got float64"),
    (ULONGS, [2**63, -1], "expected numbers of type uint64, got float64"),
    (DOUBLES, np.array([1, 2**53 + 1]), "type float64, got int64: 9007199254740993"),
    (DOUBLES, np.array([2**64 - 1], np.uint64), "type float64, got uint64"),
    (FLOATS, np.array([2**24 + 1]), "type float32, got int64: 16777217"),
    (FLOATS, [1e39], "type float32, got float64: 1e[+]39"),
    (BOOLS, [2], "expected numbers from 0 to 1, got 2"),
    (BOOLS, [0.0], "expected numbers of type bool, got float64"),
    (LONGS, np.ma.masked_less([1, 5], 3), "got masked ones"),
    (LONGS, np.ones((2, 2), int), r"got shape \(2, 2\): an image belongs in Result\(image=...\)"),
    (BOOL, 1, "expected bool, got 1"),
    (COMMAND, 0, "expected bool, got 0"),
    (STR, 5, "expected str, got 5"),
    (STR, "hööb", "expected at most 4 bytes, got 6"),
    (ENUM, "green", "expected one of red, blue, got 'green'"),
    (ENUM, 0, "expected one of red, blue, got 0"),
    (ENUM, ["red"], "expected one of red, blue"),
    (INTS, [1, 2, 3, 4], r"expected a 1-D array of at most 3 numbers, got shape \(4,\)"),
    (INTS, [[1, 2]], r"got shape \(1, 2\)"),
    (INTS, 1, r"got shape \(\)"),
    (INTS, None, r"got shape \(\)"),
    (INTS, [1.5], "expected numbers of type uint8, got float64"),
    (INTS, [True], "got bool"),
    (INTS, ["1"], "expected numbers of type uint8"),
    (INTS, [256], "expected numbers from 0 to 255"),
    (INTS, [-1], "expected numbers from 0 to 255"),
    (INTS, [10**30], "expected numbers of type uint8, got object"),
    (FLOATS, [1j], "expected numbers of type float32, got complex128"),
    (FLOATS, [None], "got object"),
    (FLOATS, [[1], [1, 2]], "array"),
]


@pytest.mark.parametrize(("field", "value", "plain"), GOOD)
def test_value_becomes_plain(field, value, plain):
    got = field.within_limits(value)
    if field.kind is Kind.ARRAY:
        assert got.dtype == np.dtype(field.dtype)
        assert not got.flags.writeable
        got = got.tolist()
    assert got == plain
    assert json.loads(json.dumps(got)) == plain
    assert type(got) is type(plain)


def test_array_is_a_copy_unless_nobody_can_write_it():
    given = np.array([1, 2], np.uint8)
    plain = INTS.plain(given)
    given[:] = 0
    assert plain.tolist() == [1, 2]
    assert INTS.plain(plain) is plain


def test_default_of_an_array_is_a_list_in_the_description_and_an_array_for_the_frame():
    description = describe(Everything)
    assert description.input("weights").default == [1.0, 1.0]
    taken = description.defaults()["weights"]
    assert taken.tolist() == [1.0, 1.0]
    assert not taken.flags.writeable


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (math.nan, math.nan, True),
        (math.nan, 1.0, False),
        ("a", "a", True),
        ("a", 1, False),
        (None, None, True),
        (np.ones(2), np.ones(2), True),
        (np.ones(2), [1, 1], True),
        (np.ones(2), np.ones(3), False),
        (np.ones(2), 1.0, False),
        (np.array([1.0, math.nan]), np.array([1.0, math.nan]), True),
        (np.array([1, 2]), np.array([1, 3]), False),
        (np.empty(0), np.empty(0, np.int8), True),
        (Everything.Band.RED, Everything.Band.RED, True),
        (Everything.Band.RED, Everything.Band.BLUE, False),
    ],
)
def test_values_are_compared_element_by_element_and_nan_equals_nan(one, other, same):
    assert same_value(one, other) is same
    assert same_value(other, one) is same


@pytest.mark.parametrize(("field", "value", "words"), BAD)
def test_value_that_is_none_is_refused_in_words(field, value, words):
    with pytest.raises(ValueError, match=words):
        field.within_limits(value)


def test_output_may_be_outside_display_limits_and_nan():
    assert FLOAT.plain(-1.0) == -1.0
    assert math.isnan(FLOAT.plain(np.float64("nan")))


@pytest.mark.parametrize("member", [Everything.Band.RED, "red"])
def test_enum_takes_member_or_label(member):
    assert describe(Everything).input("band").plain(member) == "red"


def test_enum_without_text_is_known_by_its_names():
    assert describe(Everything).input("gain").choices == ("LOW", "HIGH")
    assert describe(Everything).input("gain").plain(Everything.Gain.HIGH) == "HIGH"


def sent() -> dict[str, object]:
    plain = json.loads(json.dumps(describe(Everything).to_plain()))
    assert isinstance(plain, dict)
    return plain


def test_description_survives_the_way_through_json():
    description = describe(Everything)
    again = Description.from_plain(sent())
    assert description.differences(again) == []
    assert again.to_plain().keys() == description.to_plain().keys()
    assert again.output("level").alarm == Alarm(low=1.0, hihi=9.0, hihi_severity=Severity.INVALID)


def test_description_differs_by_every_change():
    description = describe(Everything)
    for key, value in {"stateful": True, "outputs": []}.items():
        assert description.differences(Description.from_plain({**sent(), key: value})) != []


CHANGES = [
    ("name", "Not Snake"),
    ("name", "status"),
    ("name", "count"),
    ("kind", "pickle"),
    ("kind", "array"),
    ("kind", "enum"),
    ("doc", 5),
    ("units", None),
    ("precision", True),
    ("precision", 99),
    ("bits", 10**9),
    ("length", -1),
    ("low", "0"),
    ("low", math.nan),
    ("default", None),
    ("default", 10**400),
    ("default", "text"),
    ("default", 1e9),
    ("choices", "abc"),
    ("choices", [1]),
    ("severities", ["LOUD"]),
    ("severities", ["MINOR"]),
    ("alarm", []),
    ("alarm", {"lolo": "x"}),
    ("alarm", {"louder": 1.0}),
    ("extra", 1),
]


@pytest.mark.parametrize(("key", "value"), CHANGES)
def test_tampered_field_is_refused(key, value):
    plain = sent()
    fields = plain["inputs"]
    assert isinstance(fields, list)
    threshold = next(field for field in fields if field["name"] == "threshold")
    Description.from_plain(plain)
    threshold[key] = value
    with pytest.raises(ProtocolError, match="description: expected an algorithm's"):
        Description.from_plain(plain)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(max_examples=50)
@given(JSON)
def test_random_json_is_refused_as_a_description(plain):
    with pytest.raises(ProtocolError):
        Description.from_plain(plain)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_description_with_anything_in_one_place_raises_nothing_but_protocol_errors(data):
    plain = sent()
    place = data.draw(st.sampled_from(["inputs", "outputs"]))
    fields = plain[place]
    assert isinstance(fields, list)
    field = data.draw(st.sampled_from(fields))
    field[data.draw(st.sampled_from(sorted(field)))] = data.draw(JSON)
    try:
        again = Description.from_plain(plain)
    except ProtocolError:
        return
    assert Description.from_plain(json.loads(json.dumps(again.to_plain()))).differences(again) == []


@settings(deadline=None, max_examples=50)
@given(st.sampled_from([INT, FLOAT, BOOL, STR, ENUM, INTS, FLOATS, COMMAND]), JSON)
def test_random_json_as_a_value_raises_nothing_but_value_errors(field, value):
    try:
        plain = field.within_limits(value)
    except ValueError:
        return
    assert same_value(field.within_limits(plain), plain)


def test_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(KeyError, match=r"expected an input of threshold, count.*got treshold"):
        describe(Everything).input("treshold")
