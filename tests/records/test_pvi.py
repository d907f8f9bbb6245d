"""What a PVI structure says of declared values and of tables of items."""

import json

import pytest
from softioc import builder

from tosip.description import Description, Field, Kind
from tosip.housekeeping import Item, button, choice, integer
from tosip.records.pvi import declared_entries, item_entries, part_entries, structure
from tosip.records.quick import remember_accepted_values

PORT = "X:CAM:"


def test_inputs_are_written_and_read_outputs_read_and_commands_executed():
    description = Description(
        "Demo",
        "Shows",
        inputs=(
            Field("gain_x", Kind.FLOAT, "Gain", default=1.0),
            Field("reset", Kind.COMMAND, "Reset", default=False),
        ),
        outputs=(Field("mean", Kind.FLOAT, "Mean"),),
    )

    assert declared_entries(PORT, description) == {
        "gain_x": {"r": "X:CAM:GainX_RBV", "w": "X:CAM:GainX"},
        "reset": {"x": "X:CAM:Reset"},
        "mean": {"r": "X:CAM:Mean_RBV"},
    }


def test_items_become_what_clients_know():
    def write(_owner, _value):
        """Take it."""

    states = "Done", "Acquire"
    items = [
        Item("Acquire", choice("", *states), lambda _: "Done", write, echo=True),
        Item("Acquire", choice("", *states), lambda _: "Done"),
        Item("WaitForPlugins", choice("", "No", "Yes"), lambda _: "No", write, echo=True),
        Item("QueueFree", integer(""), lambda _: 1, bare=True),
        Item("QueueSize", integer(""), lambda _: 1, write),
        Item("MaxArrayRate", integer(""), derived="rw"),
        Item("Rearm", button(""), write=write),
    ]

    assert item_entries(PORT, items) == {
        "acquire": {"rw": "X:CAM:Acquire"},
        "acquire_rbv": {"r": "X:CAM:Acquire_RBV"},  # its choices are others
        "wait_for_plugins": {"rw": "X:CAM:WaitForPlugins"},
        "queue_free": {"r": "X:CAM:QueueFree"},
        "queue_size": {"r": "X:CAM:QueueSize_RBV", "w": "X:CAM:QueueSize"},
        "max_array_rate": {"r": "X:CAM:MaxArrayRate_RBV", "w": "X:CAM:MaxArrayRate"},
        "rearm": {"x": "X:CAM:Rearm"},
    }


def test_names_that_a_device_has_already_get_an_underscore():
    description = Description("D", "d", outputs=(Field("name", Kind.FLOAT, "Name"),))
    assert list(declared_entries(PORT, description)) == ["name_"]
    assert part_entries("X:", ["CAM01", "LOG"]) == {
        "cam01": {"d": "X:CAM01:PVI"},
        "log_": {"d": "X:LOG:PVI"},
    }


def test_odd_documentation_stays_what_it_is():
    doc = 'a "quoted" \\ back\nslash, {brace} $(MACRO) é'
    text = structure("X:PVI", doc, {})
    group = json.loads(text[text.index('{"X:PVI"') : text.rindex(")")])
    assert group["X:PVI"]["display.description"]["+const"] == doc


def test_values_that_epics_does_not_take_are_refused_the_second_time_too():
    remember_accepted_values()
    for name in ("X:ONE", "X:TWO"):
        with pytest.raises(AssertionError, match="EGU"):
            builder.aIn(name, EGU="a unit that is far too long")
    builder.aIn("X:THREE", EGU="ADU", PREC=2)
    builder.aIn("X:FOUR", EGU="ADU", PREC=2)
