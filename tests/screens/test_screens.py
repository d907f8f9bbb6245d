"""Screens come from the declarations, and show nothing that is not there."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tests.records.everything import Everything
from tosip import names
from tosip.description import Kind
from tosip.drivers.panel import DRIVER_ITEMS
from tosip.gateway.panel import gateway_items
from tosip.housekeeping import Item
from tosip.pipeline.panel import PLUGIN_ITEMS
from tosip.reading import describe
from tosip.screens.bob import links, pv_names, pva_names
from tosip.screens.write import DriverScreen, Ports, write_screens

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "pvi_screens"
GATEWAY_ITEMS = gateway_items(["CAM1", "CAM2"])
PREFIX = "$(P)$(R)"
TABLES: dict[str, tuple[Item[Any], ...]] = {
    "everything": PLUGIN_ITEMS,
    "fits_driver": DRIVER_ITEMS,
    "gateway": GATEWAY_ITEMS,
}


def test_the_committed_screens_are_what_is_generated(tmp_path):
    tosip = Path(sys.executable).with_name("tosip")
    subprocess.run([tosip, "screens", "--output", tmp_path], check=True, capture_output=True)

    generated = {path.name: path.read_text() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_text() for path in COMMITTED.iterdir()}

    assert generated == committed, "run: tosip screens"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The screens of an IOC with one port of each kind."""
    folder = tmp_path_factory.mktemp("screens")
    cameras = {"CAM1": DriverScreen("fits_driver", "FITS driver", DRIVER_ITEMS)}
    ports = Ports(cameras, [("ALL1", describe(Everything))], ("GATEWAY", GATEWAY_ITEMS))
    write_screens(folder, "TEST", "TEST:", ports)
    return folder


def shown(folder: Path, name: str) -> set[str]:
    """Return the PVs on the screens of one part."""
    files = folder.glob(f"{name}*.bob")
    return {pv for path in files for pv in (*pv_names(path), *pva_names(path))}


def widgets(path: Path, kind: str) -> list[etree._Element]:
    return etree.parse(path).findall(f".//widget[@type='{kind}']")


def test_every_declared_value_is_on_the_algorithms_screens(folder):
    on_screen = shown(folder, "everything")
    description = describe(Everything)

    for field in description.outputs:
        assert names.readback(PREFIX, field.name) in on_screen
    for field in description.inputs:
        assert names.demand(PREFIX, field.name) in on_screen
        if field.kind is not Kind.COMMAND:
            assert names.readback(PREFIX, field.name) in on_screen


def test_declared_alarm_limits_are_beside_the_value(folder):
    on_screen = pv_names(folder / "everything.bob")

    for limit in ("HIHI", "HIGH", "LOW"):
        assert f"{PREFIX}Mean_RBV.{limit}" in on_screen
    assert f"{PREFIX}Mean_RBV.LOLO" not in on_screen, "not declared: it raises no alarm"


@pytest.mark.parametrize("name", ["Mean", "Total"])
def test_all_that_decides_on_an_alarm_can_be_changed(folder, name):
    on_screen = pv_names(folder / "everything_alarms.bob")

    fields = ("LOLO", "LLSV", "LOW", "LSV", "HIGH", "HSV", "HIHI", "HHSV", "HYST")
    assert {f"{PREFIX}{name}_RBV.{field}" for field in fields} <= set(on_screen)


@pytest.mark.parametrize("name", TABLES)
def test_every_housekeeping_record_is_on_a_screen(folder, name):
    on_screen = shown(folder, name)

    for item in TABLES[name]:
        for record in filter(None, (item.readback, item.demand)):
            assert PREFIX + record in on_screen


def test_a_plugins_first_screen_has_what_an_operator_needs(folder):
    on_screen = set(pv_names(folder / "everything.bob"))

    needed = "EnableCallbacks NDArrayPort_RBV DroppedArrays_RBV WorkerState_RBV Message_RBV Rearm"
    assert {PREFIX + name for name in needed.split()} <= on_screen


def test_units_and_documentation_are_on_the_screen(folder):
    labels = widgets(folder / "everything.bob", "label")
    tooltips = {label.findtext("text"): label.findtext("tooltip", "") for label in labels}

    assert "Mean pixel [ADU]" in tooltips
    assert "Factor [ADU]" in tooltips
    assert f"{PREFIX}Total_RBV" in tooltips["Sum of the inputs"]
    assert "What the worker process is doing" in tooltips["Worker State"]


def test_choices_come_from_the_pv(folder):
    combos = {c.findtext("pv_name"): c for c in widgets(folder / "everything.bob", "combo")}

    assert combos[f"{PREFIX}Mode"].find("items") is None


def test_an_array_is_a_plot_and_every_port_has_an_image(folder):
    plots = widgets(folder / "everything.bob", "xyplot")
    assert [plot.findtext(".//y_pv") for plot in plots] == [f"{PREFIX}Profile_RBV"]
    assert [plot.findtext("title") for plot in plots] == ["Mean of each column"]
    assert [axis.findtext("autoscale") for axis in plots[0].iter("y_axis")] == ["true"]

    for name in ("everything", "fits_driver"):
        assert pva_names(folder / f"{name}.bob") == [f"{PREFIX}Preview"]
    assert pva_names(folder / "image.bob") == [f"{PREFIX}Image"]
    assert pva_names(folder / "gateway.bob") == []


def test_a_button_names_the_pv_that_it_writes(folder):
    for button in widgets(folder / "everything.bob", "action_button"):
        assert button.findtext("pv_name") == button.findtext("actions/action/pv_name")


def test_the_index_shows_and_opens_every_port(folder):
    index = folder / "index.bob"

    assert {macros["R"]: file for file, macros in links(index)} == {
        "ALL1:": "everything.bob",
        "CAM1:": "fits_driver.bob",
        "GATEWAY:": "gateway.bob",
    }
    state = {"$(P)ALL1:WorkerState_RBV", "$(P)ALL1:Status_RBV", "$(P)ALL1:DroppedArrays_RBV"}
    result = {"$(P)ALL1:Total_RBV"}
    others = {"$(P)CAM1:Status_RBV", "$(P)GATEWAY:ArchiveState_RBV"}
    assert state | result | others <= set(pv_names(index))


def test_algorithms_of_one_name_have_screens_of_their_own(tmp_path):
    first = describe(Everything)
    other = replace(first, inputs=first.inputs[:1])
    taken = replace(first, name="Image")

    plugins = [("ONE", first), ("TWO", other), ("THREE", first), ("FOUR", taken)]
    write_screens(tmp_path, "TEST", "TEST:", Ports({}, plugins))

    opened = {macros["R"]: file for file, macros in links(tmp_path / "index.bob")}
    assert opened == {
        "ONE:": "everything.bob",
        "TWO:": "everything_2.bob",
        "THREE:": "everything.bob",
        "FOUR:": "image_2.bob",
    }
    assert "$(P)$(R)Mode" not in pv_names(tmp_path / "everything_2.bob")


def test_the_index_knows_its_prefix_unless_it_is_given_another(folder):
    assert etree.parse(folder / "index.bob").findtext("macros/P") == "$(P=TEST:)"


def test_every_housekeeping_name_is_reserved_for_it():
    for item in PLUGIN_ITEMS:
        assert item.pv in names.RESERVED, item.pv


def test_every_housekeeping_description_fits_its_record():
    items: list[Item[Any]] = [*PLUGIN_ITEMS, *DRIVER_ITEMS, *GATEWAY_ITEMS]
    for item in items:
        assert 0 < len(item.field.doc.encode()) <= 40, item.pv
