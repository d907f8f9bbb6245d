"""Described values become pvi's rows: label, unit and documentation, and the widgets to use."""

from collections.abc import Sequence
from typing import Any

from pvi.device import (
    ButtonPanel,
    ComboBox,
    ComponentUnion,
    Group,
    Row,
    SignalR,
    SignalRW,
    SignalX,
    TextFormat,
    TextRead,
    TextWrite,
    enforce_pascal_case,
    to_title_case,
)

from tosip import names
from tosip.description import Field, Kind
from tosip.housekeeping import Item
from tosip.screens.metrics import text_width
from tosip.screens.page import BLANK

PREFIX = "$(P)$(R)"
SCALARS = (Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.ENUM)
NUMBERS = (Kind.INT, Kind.FLOAT)
LIMITS = {"LOLO": "LLSV", "LOW": "LSV", "HIGH": "HSV", "HIHI": "HHSV"}
NARROWEST = 85  # pixels, of a value
FRINGE = 12  # of a value, for its alarm's border
ARROW = 30  # of a combo box
SHORT_TEXT, VERY_LONG_TEXT = 64, 2000  # bytes


def table_row(name: str, label: str, tooltip: str, cells: Sequence[ComponentUnion]) -> Group:
    """Put cells beside a label, one for each column of the box."""
    return Group(name=name, label=label, description=tooltip, layout=Row(), children=list(cells))


def with_unit(label: str, field: Field) -> str:
    """Put the unit behind a label."""
    return f"{label} [{field.units}]" if field.units else label


def output_row(field: Field, limits: bool) -> ComponentUnion:
    """Show an output, with those of its alarm limits that raise an alarm."""
    record = names.readback(PREFIX, field.name)
    name, label, tooltip = _declared(field, record)
    if field.kind not in SCALARS:
        return _shown(name, label, tooltip, record, field)
    cells: list[ComponentUnion] = [SignalR(name=name, read_pv=record)]
    if limits:
        declared = field.alarm and [getattr(field.alarm, limit.lower()) for limit in LIMITS]
        cells += [
            BLANK if value is None else _changed(name, record, limit)
            for limit, value in zip(LIMITS, declared or [None] * len(LIMITS), strict=True)
        ]
    return table_row(name, label, tooltip, cells)


def alarm_row(field: Field) -> ComponentUnion:
    """Show a number with everything that decides on its alarms, to be changed."""
    record = names.readback(PREFIX, field.name)
    name, label, tooltip = _declared(field, record)
    cells: list[ComponentUnion] = [SignalR(name=name, read_pv=record)]
    for limit, severity in LIMITS.items():
        cells.append(_changed(name, record, limit))
        cells.append(_changed(name, record, severity, ComboBox()))
    return table_row(name, label, tooltip, [*cells, _changed(name, record, "HYST")])


def input_row(field: Field) -> ComponentUnion:
    """Let operators set an input, and show what is in force."""
    demand, readback = names.demand(PREFIX, field.name), names.readback(PREFIX, field.name)
    return _set(*_declared(field, demand), demand, readback, field)


def item_row(item: Item[Any], *same: Item[Any]) -> ComponentUnion:
    """Show a housekeeping value under areaDetector's name, and let operators set it.

    Items that are the `same` value have the other of its two records.
    """
    demand, readback = (
        next((PREFIX + name for name in found if name), "")
        for found in zip(*((i.demand, i.readback) for i in (item, *same)), strict=True)
    )
    name = enforce_pascal_case(item.pv)
    label, tooltip = with_unit(to_title_case(name), item.field), item.field.doc
    if not demand:
        return _shown(name, label, tooltip, readback, item.field)
    return _set(name, label, tooltip, demand, readback, item.field)


def value_width(field: Field, *, combo: bool = False) -> int:
    """Say how many pixels a value takes."""
    choices = field.choices or ("Yes",)
    widest = max(text_width(choice, bold=True) for choice in choices)
    return max(NARROWEST, widest + FRINGE + (ARROW if combo and field.kind is Kind.ENUM else 0))


def button_width(name: str) -> int:
    """Say how many pixels a button takes that says its name."""
    return text_width(to_title_case(name)) + 2 * FRINGE


def lines_of(field: Field) -> int:
    """Say how many lines a value takes."""
    if field.kind is Kind.ARRAY:
        return 2
    if field.kind is not Kind.STR or field.length <= SHORT_TEXT:
        return 1
    return 4 if field.length > VERY_LONG_TEXT else 2


def _declared(field: Field, pv: str) -> tuple[str, str, str]:
    """Return name, label and tooltip of what an algorithm declares."""
    label = with_unit(field.short_doc, field)
    more = "" if field.short_doc == field.doc else field.doc
    tooltip = "\n".join(part for part in (more, field.details, pv) if part)
    return names.pascal_case(field.name), label, tooltip


def _shown(name: str, label: str, tooltip: str, pv: str, field: Field) -> ComponentUnion:
    widget = TextRead(format=_format(field), lines=lines_of(field))
    return SignalR(name=name, label=label, description=tooltip, read_pv=pv, read_widget=widget)


def _set(
    name: str, label: str, tooltip: str, demand: str, readback: str, field: Field
) -> ComponentUnion:
    """Make a button, a setting beside its readback, or for long values one of whole width."""
    common: dict[str, Any] = {"label": label, "description": tooltip, "write_pv": demand}
    if field.kind is Kind.COMMAND:
        panel = ButtonPanel(actions={name: "1"})
        return SignalX(name=name, write_widget=panel, **common)
    widget = _write_widget(field)
    if field.kind in SCALARS and readback:
        setting = SignalRW(name=name, write_pv=demand, write_widget=widget)
        return table_row(name, label, tooltip, [setting, SignalR(name=name, read_pv=readback)])
    shown = TextRead(format=_format(field)) if readback else None
    return SignalRW(name=name, write_widget=widget, read_pv=readback, read_widget=shown, **common)


def _format(field: Field) -> TextFormat | None:
    return TextFormat.string if field.kind is Kind.STR else None


def _write_widget(field: Field) -> ComboBox | TextWrite:
    if field.kind in (Kind.ENUM, Kind.BOOL):
        return ComboBox()  # its choices come from the PV
    return TextWrite(format=_format(field))


def _changed(
    name: str, record: str, part: str, widget: ComboBox | TextWrite | None = None
) -> ComponentUnion:
    """Let operators change a field of a record."""
    return SignalRW(
        name=name + part.capitalize(),
        write_pv=f"{record}.{part}",
        write_widget=widget or TextWrite(),
    )
