"""ophyd-async's own areaDetector classes connect to our ports, by names and by PVI."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import Client, needs

pytestmark = needs("ophyd_async")

FRAME = {
    "array_size_x": 32,
    "array_size_y": 16,
    "array_size_z": 0,
    "array_size0": 32,
    "array_size1": 16,
    "array_size2": 0,
    "color_mode": "Mono",
    "data_type": "UInt16",
}
PLUGIN = {
    "port_name": "FOCUS01",
    "nd_array_port": "CAM01",
    "nd_array_address": 0,
    "enable_callbacks": "Enable",
    "queue_size": 20,
}


@pytest.fixture(scope="module", params=["adcore_client", "adcore_pvi_client"], ids=["ca", "pvi"])
def seen(request: pytest.FixtureRequest, run_client: Client) -> dict[str, Any]:
    return run_client(request.param)


def test_a_plugin_is_read(seen):
    assert (FRAME | PLUGIN).items() <= seen["plugin"]["read"].items()


def test_a_plugin_is_written_and_its_readbacks_follow(seen):
    written = {
        "queue_size": 17,
        "enable_callbacks": "Disable",
        "nd_array_port": "CAM02",
        "nd_array_address": 0,
    }
    assert written.items() <= seen["plugin"]["written"].items()


def test_a_driver_is_read(seen):
    assert (FRAME | {"port_name": "CAM01"}).items() <= seen["driver"].items()
