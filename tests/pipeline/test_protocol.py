"""What the two sides may say to each other; everything else is refused."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tosip.errors import ProtocolError
from tosip.pipeline import protocol
from tosip.pipeline.protocol import LONGEST, MESSAGES, VERSION, check_layout, decode, encode

SAMPLES = {int: 3, float: 0.5, str: "text", bool: True, dict: {"a": 1}, list: [1], type(None): None}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def sample(type_: str) -> dict[str, object]:
    return {name: SAMPLES[types[0]] for name, types in MESSAGES[type_].items()}


@pytest.mark.parametrize("type_", MESSAGES)
def test_every_message_survives_the_way(type_):
    message = decode(encode(type_, **sample(type_)))
    assert message.type == type_
    assert message.fields == sample(type_)


@pytest.mark.parametrize("type_", [name for name, fields in MESSAGES.items() if fields])
def test_missing_unknown_and_mistyped_fields_are_refused(type_):
    fields = sample(type_)
    name = next(iter(fields))
    wrong = [
        {k: v for k, v in fields.items() if k != name},
        {**fields, "extra": 1},
        {**fields, name: b"bytes"},
    ]
    for bad in wrong:
        with pytest.raises(ProtocolError, match=type_):
            encode(type_, **bad)


def test_bool_is_no_int_and_int_is_no_bool():
    with pytest.raises(ProtocolError, match=r"hello\.version: expected int, got bool"):
        encode("hello", version=True, python="", numpy="")
    with pytest.raises(ProtocolError, match=r"load\.start: expected bool, got int"):
        encode("load", **{"version": 1, "file": "", "class": None, "start": 1})


def test_other_version_is_refused_in_words_that_name_both():
    protocol.check_version(decode(encode("hello", version=VERSION, python="", numpy="")))
    with pytest.raises(ProtocolError, match=f"expected version {VERSION}, got 99"):
        protocol.check_version(decode(encode("hello", version=99, python="", numpy="")))


def test_nan_and_infinity_survive():
    values = {"nan": math.nan, "inf": math.inf}
    got = decode(encode("ready", description=values, code_hash=""))["description"]
    assert math.isnan(got["nan"])
    assert got["inf"] == math.inf


def test_message_above_the_limit_is_refused():
    with pytest.raises(ProtocolError, match=f"expected at most {LONGEST} bytes"):
        encode("ready", description={}, code_hash="x" * LONGEST)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'"stop"',
        b'{"type": 5}',
        b'{"type": "unheard of"}',
        b'{"type": "large", "bytes": 1.0}',
        b"[" * 100_000,
        b'{"type": "large", "bytes": ' + b"9" * 10_000 + b"}",
        b'{"type": "ready", "description": {}, "code_hash": "\\ud800"}',
        '{"type": "stop"}'.encode("utf-16"),
    ],
)
def test_rubbish_is_a_protocol_error(data):
    with pytest.raises(ProtocolError):
        decode(data)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_protocol_errors(data):
    with pytest.raises(ProtocolError):
        decode(data)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(sorted(MESSAGES)), st.dictionaries(st.text(), JSON, max_size=4), st.data())
def test_random_fields_raise_nothing_but_protocol_errors(type_, extra, data):
    known = {name: data.draw(JSON) for name in MESSAGES[type_]}
    try:
        message = decode(json.dumps({**extra, **known, "type": type_}).encode())
    except ProtocolError:
        return
    assert message.fields.keys() == MESSAGES[type_].keys()


@settings(deadline=None, max_examples=50)
@given(JSON, JSON)
def test_random_layouts_raise_nothing_but_protocol_errors(shape, dtype):
    with pytest.raises(ProtocolError):
        check_layout(shape, dtype, 1000)


def test_layout_is_bounded_by_the_memory():
    assert check_layout([10, 5, 2], "uint16", 200) == 200
    for shape in ([10, 5, 3], [2**62, 2**62], [-10, -5], [0, 5], [True, 5], [], [1, 1, 1, 1]):
        with pytest.raises(ProtocolError):
            check_layout(shape, "uint16", 200)
