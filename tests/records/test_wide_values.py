"""Integers of 64 bits, arrays of them and of bools, choices by text: served, and kept exactly.

One IOC, which is started again after its algorithm and its configuration have changed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.records.conftest import Uploads, configured
from tosip.testing.ioc import IocProcess

PREFIX = "WIDE:"
LARGE = 2**62 + 1
LIMIT = 2**53 + 1

ALGORITHM = """
import enum

import numpy as np
from numpy.typing import NDArray

from tosip import Alarm, Algorithm, Inputs, Outputs, output, param


class Mode(enum.Enum):
    GOOD = "good"
    BEST = "best"
    YES = "yes"


class Side(enum.Enum):
    LEFT = "left"
    RIGHT = "right"


class Params(Inputs):
    large: int = param("Large", default=5)
    small: int = param("Small", default=6, bits=32)
    mask: NDArray[np.bool_] = param("Mask", default=(True, False), length=4)
    counts: NDArray[np.int64] = param("Counts", default=(1, 2), length=4)
    ids: NDArray[np.uint64] = param("Ids", default=(1, 2), length=4)
    mode: Mode = param("Mode", default=Mode.GOOD)
    other: Mode = param("Mode", default=Mode.GOOD)
    old: Mode = param("Mode", default=Mode.GOOD)
    side: Side = param("Side", default=Side.LEFT)
    on: bool = param("On", default=False)


class Figures(Outputs):
    total: int = output("Total", alarm=Alarm(high=2**53))
    longs: NDArray[np.int64] = output("Histogram", length=64)
    halves: NDArray[np.int32] = output("Histogram", length=64)
    reals: NDArray[np.float64] = output("Histogram", length=64)
    inverse: NDArray[np.bool_] = output("Mask", length=4)
    seen: str = output("Types", default="")
    same: NDArray[np.uint64] = output("Ids", length=4)


class Wide(Algorithm[Params, Figures]):
    '''Integers of 64 bits.'''

    def process(self, image, params, attributes, metadata):
        histogram = np.histogram(image, bins=64, range=(0, 640))[0]
        return Figures(
            total=np.int64(params.large), longs=histogram, halves=histogram, reals=histogram,
            inverse=~params.mask, same=params.ids.tolist(), seen=str(params.mask.dtype),
        )
"""

CA_CLIENT = """
import asyncio, json, sys
from aioca import caget, caput, FORMAT_CTRL

async def main(prefix):
    names = ["Large_RBV", "Small_RBV", "Longs_RBV", "Same_RBV", "Inverse_RBV"]
    values = [await caget(prefix + "FOCUS01:" + name) for name in names]
    await caput(prefix + "FOCUS01:Counts", [7, 8], wait=True)
    types = [int(value.datatype) for value in values]
    print(json.dumps([types, float(values[0]), [float(n) for n in values[2]][10]]))

asyncio.run(main(sys.argv[1]))
"""
LONG, DOUBLE, CHAR = 5, 6, 4  # DBR types


def numbers(value):
    return [int(number) for number in value]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wide")
    (folder / "wide.py").write_text(ALGORITHM)
    config = configured(folder)
    text = config.read_text().replace("[focus.alarms.mean]\nhigh = 900.0\n", "")
    config.write_text(re.sub('file = ".*"', f'file = "{folder}/wide.py"', text))
    return folder


@pytest.fixture(scope="module")
def start(start_ioc: Callable[..., IocProcess], folder: Path) -> Callable[[], IocProcess]:
    arguments = ["tosip.iocs.neosted", "--config", str(folder / "neosted.toml")]
    return lambda: start_ioc(arguments, var=folder / "var", prefix=PREFIX)


@pytest.fixture(scope="module")
def first(start: Callable[[], IocProcess]) -> Iterator[IocProcess]:
    ioc = start()
    yield ioc
    ioc.stop()


def test_values_of_64_bits_come_and_go_exactly(first):
    ids = np.array([2**64 - 1, 2**63], np.uint64)
    first.put("FOCUS01:Large", LARGE)
    first.put("FOCUS01:Counts", np.array([-(2**63), LIMIT]))
    first.put("FOCUS01:Ids", ids)
    first.put("FOCUS01:Mask", [1, 0, 1])
    stamp = Uploads(first).frame(100)
    first.wait("FOCUS01:Same_RBV", lambda value: value.timestamp == stamp)

    assert first.get("FOCUS01:Large_RBV") == first.get("FOCUS01:Large") == LARGE
    assert first.get("FOCUS01:Total_RBV") == LARGE
    assert numbers(first.get("FOCUS01:Counts_RBV")) == [-(2**63), LIMIT]
    assert numbers(first.get("FOCUS01:Ids_RBV")) == numbers(ids)
    for name, dtype in (("Longs", "int64"), ("Halves", "int32"), ("Reals", "float64")):
        histogram = first.get(f"FOCUS01:{name}_RBV")
        assert histogram.dtype == dtype
        assert (len(histogram), histogram[10], histogram.sum()) == (64, 512, 512)
    assert numbers(first.get("FOCUS01:Inverse_RBV")) == [0, 1, 0]
    assert first.get("FOCUS01:Seen_RBV") == "bool"


def test_a_bool_array_takes_nothing_but_0_and_1(first):
    with pytest.raises(Exception, match="dbNotify"):
        first.put("FOCUS01:Mask", [2, 0])
    assert "expected numbers from 0 to 1, got 2" in first.get("FOCUS01:WriteMessage_RBV")


def test_channel_access_has_doubles_for_64_bits_and_a_long_where_it_was_asked_for(first):
    client = subprocess.run(
        [sys.executable, "-c", CA_CLIENT, first.prefix],
        env={**os.environ, **first.environment},
        capture_output=True,
        text=True,
        timeout=30,
    )

    types, large, tenth = json.loads(client.stdout.splitlines()[-1])
    assert types == [DOUBLE, LONG, DOUBLE, DOUBLE, CHAR], client.stderr
    assert large == float(LARGE)
    assert tenth == 512.0
    assert numbers(first.get("FOCUS01:Counts_RBV")) == [7, 8]


def test_values_limits_and_choices_are_kept_exactly_and_told_at_the_start(first, start, folder):
    first.put("FOCUS01:Mode", "best")
    first.put("FOCUS01:Other", "yes")
    first.put("FOCUS01:Side", "right")
    first.put("FOCUS01:On", 1)
    first.put("FOCUS01:Total_RBV.HIHI", LIMIT)
    first.put("FOCUS01:SortMode", "Sorted")
    assert first.stop() == 0
    saved = folder / "var" / "autosave" / "tosip.softsav"
    text = saved.read_text()
    assert f"{PREFIX}FOCUS01:Mode: best\n" in text
    saved.write_text(
        re.sub("FOCUS01:Old: good", "FOCUS01:Old: 2", text)
    )  # as earlier versions kept it
    source = ALGORITHM.replace('    GOOD = "good"', '    FIRST = "first"\n    GOOD = "good"')
    source = source.replace('YES = "yes"', 'LAST = "last"')
    (folder / "wide.py").write_text(source.replace("LEFT =", "UP = 'up'\n    LEFT ="))

    again = start()

    kept = {"Mode": "best", "Other": "good", "Side": "right", "Old": "best", "SortMode": "Sorted"}
    for name, choice in kept.items():
        assert again.get(f"FOCUS01:{name}").choice == choice, name
        assert again.get(f"FOCUS01:{name}_RBV").choice == choice, name
    assert bool(again.get("FOCUS01:On_RBV"))
    assert again.get("FOCUS01:Large_RBV") == LARGE
    assert again.get("FOCUS01:Total_RBV.HIHI") == LIMIT
    assert again.get("FOCUS01:Total_RBV.HIGH") == 2**53
    assert numbers(again.get("FOCUS01:Ids_RBV")) == [2**64 - 1, 2**63]
    lines = (folder / "var" / "log" / "tosip.log").read_text().splitlines()
    (refused,) = [line for line in lines if "FOCUS01:Other: kept 'yes' is refused" in line]
    assert "WARNING" in refused
    assert "'good' stays" in refused
    assert "expected one of first, good, best, last, got 'yes'" in refused
    for words in (
        f"FOCUS01:Large: {LARGE} was kept; write 5 to return to what is configured",
        "FOCUS01:Mode: 'best' was kept; write 'good'",
        "FOCUS01:SortMode: 'Sorted' was kept; write 'Unsorted'",
        f"FOCUS01:Total_RBV.HIHI: {LIMIT} was kept; write 0 ",
    ):
        assert len([line for line in lines if words in line]) == 1, words
    assert not [line for line in lines if "FOCUS01:Small: " in line or ".HIGH: " in line]
    again.stop()
