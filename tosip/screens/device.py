"""Descriptions become a pvi Device: what is on a screen, and in which group."""

from collections.abc import Iterable, Sequence
from typing import Any

from pvi.device import (
    ArrayTrace,
    ComboBox,
    ComponentUnion,
    Device,
    DeviceRef,
    Grid,
    Group,
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
from tosip.description import Description, Field, Kind
from tosip.housekeeping import Item

PREFIX = "$(P)$(R)"
LONGEST_SHORT_TEXT = 60
_LIMITS = ("LOLO", "LOW", "HIGH", "HIHI")


def algorithm_device(description: Description, items: Sequence[Item[Any]]) -> Device:
    """Lay out the screen of a plugin that runs an algorithm."""
    groups = [
        _group("Results", [_output(field) for field in description.outputs]),
        _group("Inputs", [_input(field) for field in description.inputs]),
        _group("Alarm limits", list(_alarm_limits(description.outputs))),
        *_plots(description.outputs),
        *housekeeping_groups(items),
    ]
    return _device(description.doc, groups)


def part_device(label: str, items: Sequence[Item[Any]]) -> Device:
    """Lay out the screen of a part that has housekeeping records only."""
    return _device(label, housekeeping_groups(items))


def index_device(label: str, parts: Iterable[tuple[str, str, str]]) -> Device:
    """Lay out the screen that opens the others: (name, macro R, file) of each."""
    children = [
        DeviceRef(
            name=enforce_pascal_case(name),
            label=name,
            pv=f"$(P){r}PVI",
            ui=file,
            macros={"P": "$(P)", "R": r},
        )
        for name, r, file in parts
    ]
    return _device(label, [_group("Ports", children)])


def housekeeping_groups(items: Sequence[Item[Any]]) -> list[Group]:
    """Make a group of every heading in a table of items, in the table's order."""
    headings = list(dict.fromkeys(item.group for item in items))
    return [_group(h, [_item(item) for item in items if item.group == h]) for h in headings]


def _device(label: str, groups: Iterable[Group]) -> Device:
    filled = [group for group in groups if group.children]
    return Device(label=f"{label} - $(P)$(R)", children=filled)


def _group(heading: str, children: Sequence[ComponentUnion]) -> Group:
    return Group(
        name=enforce_pascal_case(heading), label=heading, layout=Grid(), children=list(children)
    )


def _tooltip(field: Field) -> str:
    unit = f" [{field.units}]" if field.units else ""
    return f"{field.doc}{unit}\n{field.details}".strip()


def _read_widget(field: Field) -> TextRead:
    if field.kind is Kind.STR:
        lines = 4 if field.length > LONGEST_SHORT_TEXT * 10 else 1
        return TextRead(format=TextFormat.string, lines=lines)
    return TextRead()


def _write_widget(field: Field) -> Any:
    if field.kind is Kind.ENUM:
        return ComboBox(choices=field.choices)
    if field.kind is Kind.BOOL:
        return ComboBox(choices=["No", "Yes"])
    if field.kind is Kind.STR:
        return TextWrite(format=TextFormat.string)
    return TextWrite()


def _signal(name: str, field: Field, demand: str, readback: str) -> ComponentUnion:
    common: dict[str, Any] = {"name": name, "description": _tooltip(field)}
    if field.units:
        common["label"] = f"{to_title_case(name)} [{field.units}]"
    if field.kind is Kind.COMMAND:
        return SignalX(write_pv=demand, value="1", **common)
    if not demand:
        return SignalR(read_pv=readback, read_widget=_read_widget(field), **common)
    return SignalRW(
        write_pv=demand,
        write_widget=_write_widget(field),
        read_pv=readback,
        read_widget=_read_widget(field),
        **common,
    )


def _input(field: Field) -> ComponentUnion:
    readback = "" if field.kind is Kind.COMMAND else names.readback(PREFIX, field.name)
    pascal = names.pascal_case(field.name)
    return _signal(pascal, field, names.demand(PREFIX, field.name), readback)


def _output(field: Field) -> ComponentUnion:
    return _signal(names.pascal_case(field.name), field, "", names.readback(PREFIX, field.name))


def _item(item: Item[Any]) -> ComponentUnion:
    demand = PREFIX + item.demand if item.demand else ""
    readback = PREFIX + item.readback if item.readback else ""
    return _signal(enforce_pascal_case(item.pv), item.field, demand, readback)


def _alarm_limits(outputs: Iterable[Field]) -> Iterable[ComponentUnion]:
    for field in outputs:
        if field.alarm is None:
            continue
        record = names.readback(PREFIX, field.name)
        for limit in _LIMITS:
            if getattr(field.alarm, limit.lower()) is not None:
                pascal = names.pascal_case(field.name) + limit.capitalize()
                yield SignalRW(
                    name=pascal,
                    description=f"{limit} alarm limit of {field.doc}",
                    write_pv=f"{record}.{limit}",
                )


def _plots(outputs: Iterable[Field]) -> Iterable[Group]:
    for field in outputs:
        if field.kind is Kind.ARRAY:
            pascal = names.pascal_case(field.name)
            trace = SignalR(
                name=pascal,
                read_pv=names.readback(PREFIX, field.name),
                read_widget=ArrayTrace(axis="y", width=450, height=200),
            )
            yield Group(
                name=f"{pascal}Plot", label=field.doc, layout=Grid(labelled=False), children=[trace]
            )
