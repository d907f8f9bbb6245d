"""Attributes of any kind: what cannot be carried is changed or left out, by itself, with a word."""

import asyncio
import enum
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.rig import plugin_rig, probe, run
from tosip.bundles import values as bundle_values
from tosip.images import words
from tosip.pipeline import protocol
from tosip.pipeline.attributes import LONGEST_TEXT, MOST_TEXT, carried
from tosip.pipeline.ndarray import NDArray, attribute_type
from tosip.pipeline.pool import Pool


class Band(enum.Enum):
    RED = "red"


class Odd(str):
    __slots__ = ()


# What is given, what is carried (None: left out), and a word of what is said.
KINDS: dict[str, tuple[Any, Any, str]] = {
    "bool": (True, True, ""),
    "numpy_bool": (np.True_, True, ""),
    "int": (-(2**63), -(2**63), ""),
    "unsigned": (2**64 - 1, 2**64 - 1, ""),
    "above": (2**64, str(2**64), "an int of 65 bits"),
    "below": (-(2**63) - 1, str(-(2**63) - 1), "an int of 64 bits"),
    "huge": (10**5000, None, "left out: an int of 16610 bits"),
    "numpy_int": (np.uint64(2**64 - 1), 2**64 - 1, ""),
    "infinity": (math.inf, math.inf, ""),
    "half": (np.float16(0.5), 0.5, ""),
    "long": (np.longdouble(0.5), 0.5, ""),
    "complex": (1 + 2j, "(1+2j)", "a complex number"),
    "text": ("ä\n", "ä\n", ""),
    "nul": ("a\0b", "a b", "NUL"),
    "surrogate": ("a\ud800", "a?", "halves"),
    "long_text": ("x" * (LONGEST_TEXT + 1), "x" * LONGEST_TEXT, "cut"),
    "odd_text": (Odd("a"), "a", ""),
    "numpy_text": (np.str_("a"), "a", ""),
    "bytes": (b"a\xff", "a\ufffd", ""),
    "enum": (Band.RED, "red", ""),
    "none": (None, None, "no value"),
    "masked": (np.ma.masked, None, "no value"),
    "date": (datetime(2026, 1, 1), None, "a datetime"),
    "dict": ({"a": 1}, None, "a dict"),
    "list": ([1, 2], np.array([1, 2]), ""),
    "uneven": ([[1], [1, 2]], None, "a list"),
    "huge_list": ([1, 2**70], None, "an array of object"),
    "empty": (np.empty(0, np.float32), np.empty(0, np.float32), ""),
    "order": (np.array([1, 2], ">i4"), np.array([1, 2], np.int32), ""),
    "flags": (np.array([True]), np.array([1], np.int8), "an array of bool"),
    "halves": (np.array([0.5], np.float16), np.array([0.5], np.float32), "an array of float16"),
    "scalar_array": (np.array(3), 3, ""),
    "plane": (np.zeros((2, 2)), None, "of shape (2, 2)"),
    "objects": (np.array([object()]), None, "an array of object"),
    "texts": (np.array(["a"]), None, "an array of <U1"),
    "holes": (np.ma.array([1, 2], mask=[False, True]), None, "masked"),
}


@pytest.mark.parametrize("name", KINDS)
def test_value_of_any_kind_is_carried_changed_or_left_out_with_a_word(name):
    given, wanted, said = KINDS[name]
    kept = carried({name: given, "NEXT": 1})
    assert kept["NEXT"] == 1
    if wanted is None:
        assert name not in kept
    else:
        assert type(kept[name]) is type(wanted)
        assert np.array_equal(kept[name], wanted)
        if isinstance(wanted, np.ndarray):
            array = np.asarray(kept[name])
            assert (array.dtype, array.flags.writeable) == (wanted.dtype, False)
    assert said in kept.changed.get(name, "")
    assert (name in kept.changed) == bool(said)


@pytest.mark.parametrize("name", [3, None, ("a",), b"a", "x" * 257, "a\0b"])
def test_name_that_is_none_is_left_out(name):
    kept = carried({name: 1, "NEXT": 2})
    assert dict(kept) == {"NEXT": 2}
    assert "its name" in next(iter(kept.changed.values()))


def test_attributes_of_a_frame_together_have_a_limit_and_a_changed_one_frees_its_place():
    half = "x" * (MOST_TEXT // 8)
    kept = carried({f"A{n}": half for n in range(9)})
    assert list(kept.changed) == ["A7", "A8"]
    more = carried({"A0": "short", "B": half}, kept)
    assert more["B"] == half
    assert "A0" not in more.changed


def test_nothing_downstream_refuses_what_is_carried():
    pool = Pool()
    kinds = {name: given for name, (given, _, _) in KINDS.items()} | {"\ud800": 1}
    array = NDArray(1, 0.0, (2, 2), "uint8", pool.allocate(4), kinds)
    data = words.frame("CAM01:Image", array)
    assert protocol.decode(data)["attributes"].keys() == array.attributes.keys()
    assert bundle_values.from_json(bundle_values.to_json(array.attributes)).keys() == (
        array.attributes.keys()
    )
    assert all(attribute_type(value) for value in array.attributes.values())


def test_attributes_that_an_algorithm_returns_cost_no_frame_and_are_told_once(
    tmp_path: Path, caplog
):
    code = (
        "result = Result(Figures(number=1), attributes="
        "{'BIG': 10**30, 'PLANE': np.zeros((2, 2)), 3: 1, 'GOOD': 2.5})"
    )

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            for _ in range(2):
                outcome = await rig.process(code)
                assert (outcome.failed, outcome.message) == (False, "")
            found = rig.published[-1].attributes
            assert (found["BIG"], found["GOOD"], "PLANE" in found) == ("1" + 30 * "0", 2.5, False)
            async with asyncio.timeout(10):
                while not any("PLANE" in line for line in rig.printed()):
                    await asyncio.sleep(0.01)
            assert sum("attribute BIG" in line for line in rig.printed()) == 1

    run(work())


def test_integer_above_64_bits_in_a_frame_reaches_the_algorithm_as_text(tmp_path: Path, caplog):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process("assert attributes['QSEQID'] == str(2**70)", QSEQID=2**70)
            assert outcome.message == ""
            await rig.process(QSEQID=2**70)
            assert rig.source.last is not None
            assert rig.source.last.changed_attributes == {
                "QSEQID": "kept as text: an int of 71 bits"
            }

    run(work())
    assert caplog.text.count("CAM: attribute QSEQID: kept as text") == 1
