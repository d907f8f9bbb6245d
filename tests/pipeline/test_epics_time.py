"""No time wraps or raises on its way to a record."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tosip.pipeline.epics_time import EPICS_END, EPICS_EPOCH, within_epics
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.port_panel import last_array_items


@pytest.mark.parametrize(
    ("timestamp", "kept"),
    [
        (1685595898.47, 1685595898.47),
        (EPICS_EPOCH - 1e-6, EPICS_EPOCH),
        (EPICS_END + 1.0, EPICS_END),
        (-62135596800.0, EPICS_EPOCH),
        (math.nan, EPICS_EPOCH),
        (math.inf, EPICS_END),
        (-math.inf, EPICS_EPOCH),
    ],
)
def test_the_nearest_time_that_epics_can_hold_is_kept(timestamp, kept):
    assert within_epics(timestamp) == kept


@settings(deadline=None)
@given(st.floats())
def test_records_of_a_port_show_any_time(timestamp):
    lease: Any = None  # the pixels are not read
    array = NDArray(1, timestamp, (2, 2), "uint8", lease, {})
    items: Any = last_array_items(lambda _: array, "")
    read = {item.pv: item.read(None) for item in items if item.read}
    seconds, nanoseconds = read["EpicsTSSec"], read["EpicsTSNsec"]
    assert 0 <= seconds < 2**31
    assert 0 <= nanoseconds < 10**9
