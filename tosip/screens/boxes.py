"""Makes the boxes of a page, each with columns as wide as their values need."""

from collections.abc import Iterable, Sequence
from typing import Any

from pvi.device import (
    ArrayTrace,
    ComponentUnion,
    Grid,
    Group,
    ImageRead,
    Row,
    SignalR,
    TextFormat,
    TextRead,
    enforce_pascal_case,
)

from tosip import names
from tosip.description import Field, Kind
from tosip.housekeeping import Item
from tosip.screens.fields import (
    LIMITS,
    NARROWEST,
    PREFIX,
    SCALARS,
    alarm_row,
    button_width,
    input_row,
    item_row,
    lines_of,
    output_row,
    value_width,
    with_unit,
)
from tosip.screens.page import SPACING, Box, Picture

IMAGE_SIZE, PLOT_HEIGHT = 370, 220  # pixels, as all widths
_LIMIT_WIDTH, _SEVERITY_WIDTH, _LONG_TEXTS_WIDTH = 60, 120, 700

Items = Sequence[Item[Any]]


def box(heading: str, rows: Iterable[ComponentUnion], widths: Sequence[int]) -> Box:
    """Frame rows under a heading."""
    name = enforce_pascal_case(heading)
    group = Group(name=name, label=heading, layout=Grid(), children=list(rows))
    return Box(group, tuple(widths))


def headed(rows: Sequence[ComponentUnion], header: Sequence[str]) -> list[ComponentUnion]:
    """Head the columns of a box, above the first row that has them."""
    for row in rows:
        if isinstance(row, Group):
            row.layout = Row(header=list(header))
            break
    return list(rows)


def result_boxes(outputs: Sequence[Field]) -> list[Box]:
    """Show outputs, beside them their alarm limits if there are any."""
    if not outputs:
        return []
    limits = any(field.alarm for field in outputs)
    rows: list[ComponentUnion] = [output_row(field, limits) for field in outputs]
    widths = [max(value_width(field) for field in outputs)]
    if limits:
        rows = headed(rows, ["Value", *LIMITS])
        widths += [_LIMIT_WIDTH] * len(LIMITS)
    return [box("Results", rows, widths)]


def input_boxes(inputs: Sequence[Field]) -> list[Box]:
    """Let operators set inputs."""
    if not inputs:
        return []
    rows = headed([input_row(field) for field in inputs], ["Setpoint", "Readback"])
    settings = [field for field in inputs if field.kind in SCALARS]
    others = [button_width(names.pascal_case(f.name)) for f in inputs if f.kind is Kind.COMMAND]
    return [box("Inputs", rows, _setting_widths(settings, others))]


def alarm_box(outputs: Sequence[Field]) -> Box:
    """Let operators change all that decides on the alarms of numbers."""
    header, widths = ["Value"], [NARROWEST]
    for limit in LIMITS:
        header += [limit, "Severity"]
        widths += [_LIMIT_WIDTH, _SEVERITY_WIDTH]
    rows = headed([alarm_row(field) for field in outputs], [*header, "Hysteresis"])
    return box("Alarms", rows, [*widths, NARROWEST])


def item_boxes(items: Items, headings: Iterable[str], least: int = NARROWEST) -> list[Box]:
    """Make a box of each of these headings that some item has."""
    grouped = {h: [item for item in items if item.group == h] for h in headings}
    return [_item_box(heading, found, least) for heading, found in grouped.items() if found]


def _item_box(heading: str, items: Items, least: int) -> Box:
    """Make a row of each name: areaDetector's Acquire and Acquire_RBV are two items."""
    by_name: dict[str, list[Item[Any]]] = {}
    for item in items:
        by_name.setdefault(item.pv, []).append(item)
    settings, others = [], []
    for name, (item, *same) in by_name.items():
        if item.field.kind is Kind.COMMAND:
            others.append(button_width(name))
        elif item.field.kind in SCALARS and (same or (item.demand and item.readback)):
            settings.append(item.field)
        elif item.field.kind in SCALARS:
            others.append(value_width(item.field, combo=bool(item.demand)))
    rows = [item_row(*same) for same in by_name.values()]
    return box(heading, rows, _setting_widths(settings, others, least))


def _setting_widths(
    settings: Sequence[Field], others: Iterable[int], least: int = NARROWEST
) -> tuple[int, int]:
    """Return the widths of setpoints and readbacks; `others` have both columns to themselves."""
    first = max([least, *(value_width(field, combo=True) for field in settings)])
    second = max([least, *(value_width(field) for field in settings)])
    return first, max([second, *(width - first - SPACING for width in others)])


def text_box(items: Items) -> Box:
    """Make large fields of texts, larger than a page beside others has room for."""
    rows = [
        SignalR(
            name=enforce_pascal_case(item.pv),
            description=item.field.doc,
            read_pv=PREFIX + item.readback,
            read_widget=TextRead(format=TextFormat.string, lines=4 * lines_of(item.field)),
        )
        for item in items
    ]
    return box("Messages", rows, [_LONG_TEXTS_WIDTH])


def image_of(pv: str, size: int) -> Picture:
    """Show a port's image."""
    widget = ImageRead(width=size, height=size)
    # An image is no record: only PVAccess has it.
    signal = SignalR(name=pv, read_pv=f"pva://{PREFIX}{pv}", read_widget=widget)
    return Picture("The port's last array", signal)


def plot_of(field: Field) -> Picture:
    """Show an array as a plot."""
    widget = ArrayTrace(axis="", width=IMAGE_SIZE, height=PLOT_HEIGHT)
    name, pv = names.pascal_case(field.name), names.readback(PREFIX, field.name)
    signal = SignalR(name=name, read_pv=pv, read_widget=widget)
    return Picture(with_unit(field.short_doc, field), signal)
