"""What the two sides may say to each other; everything else is refused."""

import json
import math
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tosip.description import same_value
from tosip.errors import ProtocolError
from tosip.pipeline import protocol
from tosip.pipeline.protocol import (
    FLAT,
    LONGEST,
    LONGEST_JSON,
    MESSAGES,
    PIXEL_TYPES,
    VERSION,
    check_layout,
    decode,
    encode,
)

SAMPLES = {int: 3, float: 0.5, str: "text", bool: True, dict: {"a": 1}, list: [1], type(None): None}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
TEXT = st.text(st.characters(exclude_categories=[]), max_size=10)  # halves of characters too
NUMBERS = arrays.arrays(
    st.sampled_from(sorted(PIXEL_TYPES)), st.integers(0, 20), elements=st.just(0) | st.just(1)
)
PLAIN = st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXT | NUMBERS
WITH_FLAT = [name for name, fields in MESSAGES.items() if fields.keys() & set(FLAT)]


def sample(type_: str) -> dict[str, object]:
    return {name: SAMPLES[types[0]] for name, types in MESSAGES[type_].items()}


def packet(text: bytes, behind: bytes = b"") -> bytes:
    return len(text).to_bytes(4, "little") + text + behind


def result(outputs: object, behind: bytes = b"") -> bytes:
    return packet(
        json.dumps({**sample("result"), "type": "result", "outputs": outputs}).encode(), behind
    )


def claim(dtype: object, count: object) -> dict[str, object]:
    return {"line": {"dtype": dtype, "count": count}}


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
        encode("load", **{**sample("load"), "class": None, "start": 1})


@pytest.mark.parametrize("wrong", [[1, "2"], [True], [1.0], [None], [[1]]])
def test_lists_are_of_integers(wrong):
    with pytest.raises(ProtocolError, match=r"forget\.images: expected a list of int"):
        encode("forget", buffers=[1], images=wrong)


def test_other_version_is_refused_in_words_that_name_both():
    protocol.check_version(decode(encode("hello", version=VERSION, python="", numpy="")))
    with pytest.raises(ProtocolError, match=f"expected version {VERSION}, got 99"):
        protocol.check_version(decode(encode("hello", version=99, python="", numpy="")))


def test_nan_and_infinity_survive():
    values = {"nan": math.nan, "inf": math.inf}
    got = decode(encode("ready", description=values, data={}))["description"]
    assert math.isnan(got["nan"])
    assert got["inf"] == math.inf


def test_params_may_be_those_of_the_frame_before():
    assert decode(encode("frame", **{**sample("frame"), "params": None}))["params"] is None


def test_messages_above_the_limits_are_refused():
    with pytest.raises(ProtocolError, match=f"expected at most {LONGEST_JSON} bytes"):
        encode("ready", description={"x": "x" * LONGEST_JSON}, data={})
    large = np.zeros(LONGEST, np.uint8)
    with pytest.raises(ProtocolError, match=f"expected at most {LONGEST} bytes"):
        encode("result", **{**sample("result"), "outputs": {"line": large}})


@pytest.mark.parametrize("dtype", PIXEL_TYPES)
def test_arrays_of_every_type_survive_to_the_last_bit_and_are_read_only(dtype):
    bits = np.arange(24, dtype=np.uint8).view(dtype)
    fields = {**sample("result"), "outputs": {"a": 1, "line": bits}, "attributes": {"b": bits[1:]}}
    message = decode(encode("result", **fields))
    for got, sent in ((message["outputs"]["line"], bits), (message["attributes"]["b"], bits[1:])):
        assert got.dtype == sent.dtype
        assert got.tobytes() == sent.tobytes()
        assert not got.flags.writeable
        assert got.flags.aligned
    assert message["outputs"]["a"] == 1


def test_arrays_are_not_copied_out_of_the_message():
    data = encode("result", **{**sample("result"), "outputs": {"line": np.zeros(1000)}})
    line = decode(data)["outputs"]["line"]
    assert np.shares_memory(line, np.frombuffer(data, np.uint8))


def test_arrays_of_other_order_or_stride_and_numpy_scalars_become_plain():
    sent = {
        "swapped": np.arange(4, dtype=">i2"),
        "strided": np.arange(8, dtype=np.int32)[::-2],
        "number": np.int16(5),
        "real": np.float64(0.5),
        "yes": np.True_,
        "text": np.str_("text"),
    }
    got = decode(encode("frame", **{**sample("frame"), "attributes": sent}))["attributes"]
    assert got["swapped"].tolist() == [0, 1, 2, 3]
    assert got["strided"].tolist() == [7, 5, 3, 1]
    assert [got[name] for name in ("number", "real", "yes", "text")] == [5, 0.5, True, "text"]
    assert [type(got[name]) for name in ("number", "yes")] == [int, bool]


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((2, 2)),
        np.array(1.0),
        np.array([True]),
        np.array(["a"]),
        np.array([None]),
        np.array([1j]),
        np.zeros(2, np.float16),
        np.complex128(1),
        np.longdouble(1),
        np.datetime64("2026-01-01"),
        [1],
        {"dtype": "int8", "count": 0},
        None,
        b"bytes",
        ...,
    ],
    ids=repr,
)
def test_other_values_in_flat_fields_are_refused_by_name(value):
    with pytest.raises(ProtocolError, match=r"result\.attributes: expected text.*'WRONG'"):
        encode("result", **{**sample("result"), "attributes": {"WRONG": value}})


@pytest.mark.parametrize(
    "number", [2**64, -(2**63) - 1, 10**5000], ids=["2**64", "-2**63-1", "10**5000"]
)
def test_integers_of_more_than_64_bits_are_refused_by_name(number):
    with pytest.raises(ProtocolError, match=r"frame\.params: expected ints of 64 bits.*'WRONG'"):
        encode("frame", **{**sample("frame"), "params": {"WRONG": number}})
    if number < 10**4000:
        with pytest.raises(ProtocolError, match=r"result\.outputs: expected ints.*'WRONG'"):
            decode(result({"WRONG": number}))


def test_names_are_text():
    with pytest.raises(ProtocolError, match=r"frame\.attributes: expected names"):
        encode("frame", **{**sample("frame"), "attributes": {5: 1}})


@pytest.mark.parametrize("name", ["description", "shape"])
def test_arrays_elsewhere_are_refused(name):
    type_ = "ready" if name == "description" else "frame"
    value = {"a": np.zeros(2)} if name == "description" else np.zeros(2)
    with pytest.raises(ProtocolError):
        encode(type_, **{**sample(type_), name: value})


def test_nothing_that_holds_itself_is_encoded():
    endless: dict[str, object] = {}
    endless["again"] = endless
    with pytest.raises(ProtocolError):
        encode("ready", description=endless, data={})


@pytest.mark.parametrize("digits", [5000, 10**5, 10**7])
def test_integer_of_many_digits_is_refused_at_once(digits):
    data = packet(b'{"type":"large","bytes":' + b"9" * digits + b"}")
    started = time.thread_time()
    with pytest.raises(ProtocolError):
        decode(data)
    assert time.thread_time() - started < 1


def test_interpreters_without_a_limit_of_digits_get_ours():
    assert protocol._int("-12") == -12
    with pytest.raises(ValueError, match="an integer of 5000 digits"):
        protocol._int("9" * 5000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        *map(
            packet,
            [
                b"",
                b"[]",
                b'"stop"',
                b'{"type": 5}',
                b'{"type": "unheard of"}',
                b'{"type": "large", "bytes": 1.0}',
                b"[" * 100_000,
                b'{"type": "ready", "description": {}, "code_hash": "\\ud800"}',
                '{"type": "stop"}'.encode("utf-16"),
            ],
        ),
        b'{"type": "stop"}',
        packet(b'{"type": "stop"}')[:-1],
        packet(b'{"type": "stop"}', b"\0"),
        (LONGEST_JSON + 1).to_bytes(4, "little") + b" " * (LONGEST_JSON + 1),
    ],
)
def test_rubbish_is_a_protocol_error(data):
    with pytest.raises(ProtocolError) as caught:
        decode(data)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "data",
    [
        result(claim("float64", 1)),
        result(claim("float64", 1), b"1234567"),
        result(claim("float64", 2**62), b"12345678" * 9),
        result(claim("float64", -1), b"12345678" * 9),
        result(claim("float64", True), b"12345678" * 9),
        result(claim("float64", 1.0), b"12345678" * 9),
        result(claim("float64", "1"), b"12345678" * 9),
        result(claim("float64", 0), b"12345678" * 9),
        result(claim("object", 1), b"12345678" * 9),
        result(claim("O", 1), b"12345678" * 9),
        result(claim(">f8", 1), b"12345678" * 9),
        result(claim(["float64"], 1), b"12345678" * 9),
        result(claim("complex128", 1), b"12345678" * 9),
        result({"line": {"dtype": "int8"}}, b"12345678"),
        result({"line": {"dtype": "int8", "count": 1, "offset": 0}}, b"12345678"),
        result({"line": {}}),
        result({"line": [1]}),
        result({"line": None}),
    ],
)
def test_claims_of_arrays_that_are_not_there_are_refused(data):
    with pytest.raises(ProtocolError):
        decode(data)


def test_decoding_makes_no_memory_of_claims():
    names = {f"a{n}": {"dtype": "float64", "count": 2**40 // 8} for n in range(100)}
    data = result(names, bytes(8))
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 40 * len(data)
    finally:
        tracemalloc.stop()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_protocol_errors(data):
    for bytes_ in (data, packet(data)):
        with pytest.raises(ProtocolError):
            decode(bytes_)


def legal(draw: st.DrawFn, type_: str) -> dict[str, object]:
    flat = MESSAGES[type_].keys() & set(FLAT)
    return {
        **sample(type_),
        **{name: draw(st.dictionaries(TEXT, PLAIN, max_size=4)) for name in flat},
    }


@settings(deadline=None)
@given(st.sampled_from(WITH_FLAT), st.data())
def test_legal_fields_survive_the_way(type_, data):
    fields = legal(data.draw, type_)
    message = decode(encode(type_, **fields))
    for name in MESSAGES[type_].keys() & set(FLAT):
        sent, got = fields[name], message[name]
        assert isinstance(sent, dict)
        # Halves of characters become question marks, and names that differ by them one name.
        expected = {_encoded(key): _encoded(value) for key, value in sent.items()}
        assert got.keys() == expected.keys()
        if len(expected) == len(sent):
            for key, value in expected.items():
                assert same_value(got[key], value)
                assert isinstance(got[key], np.ndarray) or type(got[key]) is type(value)


def _encoded(value):
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(WITH_FLAT), st.data())
def test_changed_messages_raise_nothing_but_protocol_errors(type_, data):
    whole = bytearray(encode(type_, **legal(data.draw, type_)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        what = data.draw(st.sampled_from(["change", "cut", "insert"]))
        if what == "change":
            whole[place] = data.draw(st.integers(0, 255))
        elif what == "cut" and len(whole) > 1:
            del whole[place : place + data.draw(st.integers(1, 8))]
        else:
            whole[place:place] = data.draw(st.binary(min_size=1, max_size=8))
        if not whole:
            break
    try:
        message = decode(bytes(whole))
    except ProtocolError:
        return
    arrays_ = [v for name in FLAT for v in (message.fields.get(name) or {}).values()]
    assert sum(a.nbytes for a in arrays_ if isinstance(a, np.ndarray)) <= len(whole)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(sorted(MESSAGES)), st.dictionaries(st.text(), JSON, max_size=4), st.data())
def test_random_fields_raise_nothing_but_protocol_errors(type_, extra, data):
    known = {name: data.draw(JSON) for name in MESSAGES[type_]}
    try:
        message = decode(packet(json.dumps({**extra, **known, "type": type_}).encode()))
    except ProtocolError:
        return
    assert message.fields.keys() == MESSAGES[type_].keys()


PLACES = st.fixed_dictionaries(
    {"dtype": st.sampled_from(sorted(PIXEL_TYPES)) | JSON, "count": st.integers(-2, 12) | JSON}
)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.text(max_size=3), PLACES | JSON, max_size=3), st.binary(max_size=64))
def test_random_claims_raise_nothing_but_protocol_errors(outputs, behind):
    try:
        message = decode(result(outputs, behind))
    except ProtocolError:
        return
    got = [v for v in message["outputs"].values() if isinstance(v, np.ndarray)]
    assert sum(array.nbytes for array in got) <= len(behind)


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


def test_names_that_become_one_name_leave_one_array():
    sent = {chr(0xD800): np.arange(3), "?": 5, chr(0xD801): np.arange(4)}
    got = decode(encode("frame", **{**sample("frame"), "attributes": sent}))["attributes"]
    assert got.keys() == {"?"}
    assert got["?"].tolist() == [0, 1, 2, 3]


def test_a_message_that_is_too_large_names_its_largest_value():
    line = np.zeros(protocol.LONGEST // 8)
    rest = {"sequence": 1, "status": "ok", "params": {}, "attributes": {}, "image": None}
    rest["seconds"] = 0.1
    outputs = {"line": line, "small": line[:9]}
    with pytest.raises(ProtocolError, match=r"^result\.outputs\.line: expected at most \d+ bytes"):
        protocol.encode("result", message="", outputs=outputs, **rest)
    long = "x" * (protocol.LONGEST_JSON + 1)
    with pytest.raises(ProtocolError, match=r"^result\.message: expected at most \d+ bytes"):
        protocol.encode("result", message=long, outputs={}, **rest)
