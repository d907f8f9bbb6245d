"""ophyd-async makes devices from the PVI structures, given a prefix alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import Client, needs

pytestmark = needs("ophyd_async")

PARTS = {"cam01", "cam02", "focus01", "focus02", "field", "env", "gateway"}
INPUTS = ("gain", "count", "big", "flag", "mode", "label", "story", "weights")
OUTPUTS = ("mean", "total", "raised", "seen", "text", "profile", "was_reset")


@pytest.fixture(scope="module")
def seen(run_client: Client) -> dict[str, Any]:
    return run_client("pvi_client")


def test_the_whole_ioc_is_one_device_with_its_parts(seen):
    assert set(seen["whole"]) >= PARTS
    assert set(seen["whole"].values()) == {"d"}
    assert all(len(entries) > 3 for entries in seen["parts"].values())


def test_a_plugin_alone_is_the_same_device_as_in_the_whole(seen):
    assert seen["alone"] == seen["parts"]["focus01"]


def test_inputs_and_outputs_of_the_algorithm_are_signals(seen):
    plugin = seen["alone"]

    assert {name: plugin[name] for name in INPUTS} == dict.fromkeys(INPUTS, "rw")
    assert {name: plugin[name] for name in OUTPUTS} == dict.fromkeys(OUTPUTS, "r")


def test_buttons_are_commands(seen):
    commands = ("reset", "process_plugin", "rearm", "reload", "apply", "empty_free_list")

    assert {name: seen["alone"][name] for name in commands} == dict.fromkeys(commands, "x")


def test_a_driver_can_be_told_to_acquire_and_says_whether_it_does(seen):
    driver = seen["parts"]["cam01"]

    # Two signals: their choices differ, as in areaDetector.
    assert (driver["acquire"], driver["acquire_rbv"]) == ("rw", "r")
    assert driver["wait_for_plugins"] == "rw"


def test_nothing_is_invalid_after_a_frame(seen):
    assert seen["alarms"] == {"cam01": [], "focus01": [], "gateway": []}


def test_what_is_set_is_in_force_when_set_returns(seen):
    assert {name: got for name, (_, got) in seen["written"].items()} == {
        name: wanted for name, (wanted, _) in seen["written"].items()
    }


def test_a_command_reaches_one_frame(seen):
    assert seen["commanded"] == [True, False]


def test_the_structures_themselves_are_never_in_alarm(ioc):
    for name in ("PVI", "FOCUS01:PVI", "CAM01:PVI", "GATEWAY:PVI"):
        assert ioc.get(name).alarm.severity == 0, name
