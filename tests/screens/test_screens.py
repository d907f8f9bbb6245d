"""Screens come from the declarations, and show nothing that is not there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.records.everything import Everything
from tosip import names
from tosip.drivers.panel import DRIVER_ITEMS
from tosip.gateway.panel import GATEWAY_ITEMS
from tosip.housekeeping import Item
from tosip.pipeline.panel import PLUGIN_ITEMS
from tosip.reading import describe
from tosip.screens.bob import pv_names, write_bob
from tosip.screens.device import algorithm_device

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "pvi_screens"


def test_the_committed_screens_are_what_is_generated(tmp_path):
    tosip = Path(sys.executable).with_name("tosip")
    subprocess.run([tosip, "screens", "--output", tmp_path], check=True, capture_output=True)

    generated = {path.name: path.read_text() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_text() for path in COMMITTED.iterdir()}

    assert generated == committed, "run: tosip screens"


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    path = tmp_path_factory.mktemp("screens") / "everything.bob"
    write_bob(algorithm_device(describe(Everything), PLUGIN_ITEMS), path)
    return path


def test_every_declared_value_is_on_the_screen(screen):
    shown = {name for path in screen.parent.iterdir() for name in pv_names(path)}
    description = describe(Everything)

    for field in description.outputs:
        assert names.readback("$(P)$(R)", field.name) in shown
    for field in description.inputs:
        assert names.demand("$(P)$(R)", field.name) in shown
    for limit in ("HIHI", "HIGH", "LOW"):
        assert f"$(P)$(R)Mean_RBV.{limit}" in shown


def test_units_and_documentation_are_on_the_screen(screen):
    text = screen.read_text()

    assert "Mean [ADU]" in text
    assert "Sum of the inputs" in text


def test_choices_are_a_combo_box(screen):
    assert re.search(
        r'<widget type="combo"[^>]*>(?:(?!</widget>).)*Mode</pv_name>',
        screen.read_text(),
        re.DOTALL,
    )


def test_every_housekeeping_name_is_reserved_for_it():
    for item in PLUGIN_ITEMS:
        assert item.pv in names.RESERVED, item.pv


def test_every_housekeeping_description_fits_its_record():
    items: list[Item[Any]] = [*PLUGIN_ITEMS, *DRIVER_ITEMS, *GATEWAY_ITEMS]
    for item in items:
        assert 0 < len(item.field.doc.encode()) <= 40, item.pv
