"""PV names from declared names."""

import re

import pytest

from tosip import names


@pytest.mark.parametrize(
    ("declared", "pv"),
    [("fwhm", "Fwhm"), ("fwhm_x", "FwhmX"), ("half_flux_2", "HalfFlux2"), ("x1", "X1")],
)
def test_snake_case_becomes_pascal_case(declared, pv):
    assert names.DECLARED.fullmatch(declared)
    assert names.demand("NEOSTED:FOCUS01:", declared) == f"NEOSTED:FOCUS01:{pv}"
    assert names.readback("NEOSTED:FOCUS01:", declared) == f"NEOSTED:FOCUS01:{pv}_RBV"


@pytest.mark.parametrize(
    ("pv", "python"),
    [
        ("NDArrayPort", "nd_array_port"),
        ("ArraySize0", "array_size0"),
        ("ADCoreVersion", "ad_core_version"),
        ("EpicsTSNsec", "epics_ts_nsec"),
        ("NDimensions", "n_dimensions"),
        ("FwhmX", "fwhm_x"),
    ],
)
def test_pvs_are_known_to_python_in_snake_case(pv, python):
    assert names.snake_case(pv) == python


@pytest.mark.parametrize("name", ["", "Fwhm", "_x", "x_", "a__b", "1x", "a-b", "ä", "a b", "x\n"])
def test_other_names_cannot_be_declared(name):
    assert not names.DECLARED.fullmatch(name)


def test_longest_name_leaves_room_for_a_prefix():
    assert names.LONGEST_NAME + len("_RBV") + 28 <= names.LONGEST_RECORD


def test_reserved_names_are_those_of_the_records_that_every_plugin_has():
    from tosip.pipeline.panel import PLUGIN_ITEMS

    assert {item.pv for item in PLUGIN_ITEMS} <= names.RESERVED
    assert all(re.fullmatch("[A-Za-z0-9]+", name) for name in names.RESERVED)
