"""ophyd's own areaDetector plugin classes connect to our plugins and stage them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import Client, needs

pytestmark = needs("ophyd")


@pytest.fixture(scope="module")
def seen(run_client: Client) -> dict[str, Any]:
    return run_client("ophyd_client")


def test_all_signals_of_the_plugin_classes_of_our_adcore_connect(seen):
    assert {version: count > 80 for version, count in seen["signals"].items()} == {
        "V33": True,
        "V34": True,
        "V35": True,
    }


def test_all_signals_of_older_plugin_classes_connect_but_what_adcore_has_not_any_more(seen):
    assert all(count > 40 for count in seen["older"].values())


def test_staging_enables_the_plugin_and_lets_it_block_and_unstaging_undoes_it(seen):
    assert seen["staging"] == {
        "before": ["Disable", "No"],
        "staged": ["Enable", "Yes"],
        "after": ["Disable", "No"],
    }


def test_the_plugins_source_is_found_by_its_port(seen):
    assert seen["source"] == "detector_cam"
    assert seen["ports"] == ["CAM01", "FOCUS01"]


def test_values_are_read_and_written(seen):
    assert seen["sizes"] == [0, 16, 32]
    assert seen["type"] == "Everything"
    assert seen["queue_size"] == 13
