"""Lays out the index: a row for every part of an IOC, which opens its screen."""

from collections.abc import Sequence
from dataclasses import dataclass

from pvi.device import (
    ComponentUnion,
    DeviceRef,
    SignalR,
    TextFormat,
    TextRead,
    enforce_pascal_case,
    to_title_case,
)

from tosip import names
from tosip.description import Field, Kind
from tosip.screens.boxes import Items, box, headed
from tosip.screens.fields import FRINGE, NARROWEST, NUMBERS, table_row, value_width, with_unit
from tosip.screens.metrics import text_width
from tosip.screens.page import BLANK, Box, Page
from tosip.screens.pages import INDEX

# What is shown of each part, of that which the part has.
_GLANCE = (
    *("WorkerState", "Status", "ArchiveState", "ArrayRate", "Acknowledged", "Pending"),
    *("DroppedArrays", "Refused", "Message", "LastError"),
)
_MESSAGE_WIDTH = 240  # pixels


@dataclass(frozen=True)
class Part:
    """A row of the index: what has the macro `r`, and opens `screen`.

    Parts of one `family` have the same `items` and share a table; `kind` labels the row. `result`
    is the output to show.
    """

    name: str
    r: str
    screen: str
    family: str
    kind: str
    items: Items
    result: Field | None = None


def index_page(label: str, prefix: str, parts: Sequence[Part]) -> Page:
    """Lay out the page that shows the state of every part, and opens its screen."""
    families = list(dict.fromkeys(part.family for part in parts))
    tables = [_table(f, [part for part in parts if part.family == f]) for f in families]
    # The longest table has a column of its own, so that all is seen at once.
    longest = max(tables, key=lambda table: len(table.group.children))
    rest = tuple(table for table in tables if table is not longest)
    return Page(
        INDEX,
        f"{label}: all ports",
        ((longest,), rest) if rest else ((longest,),),
        (),
        {"P": f"$(P={prefix})"},
    )


def _table(family: str, parts: Sequence[Part]) -> Box:
    """Make the index's table of parts that have the same items."""
    found = {item.pv: item for item in parts[0].items if item.readback}
    shown = [found[pv] for pv in _GLANCE if pv in found]
    button = max(text_width(part.name, bold=True) for part in parts) + 2 * FRINGE
    columns = [("Screen", button)]
    if any(part.result for part in parts):
        columns.append(("Result", NARROWEST + 2 * FRINGE))
    for item in shown:
        heading = with_unit(to_title_case(enforce_pascal_case(item.pv)), item.field)
        wide = _MESSAGE_WIDTH if item.field.kind is Kind.STR else value_width(item.field)
        columns.append((heading, max(wide, text_width(heading, bold=True))))
    with_result = len(columns) > 1 + len(shown)
    rows = [_index_row(part, shown, with_result) for part in parts]
    return box(family, headed(rows, [h for h, _ in columns]), [width for _, width in columns])


def _index_row(part: Part, shown: Items, with_result: bool) -> ComponentUnion:
    prefix, name = f"$(P){part.r}", enforce_pascal_case(part.name)
    macros = {"P": "$(P)", "R": part.r}
    cells: list[ComponentUnion] = [
        DeviceRef(name=name, label=part.name, pv=f"{prefix}PVI", ui=part.screen, macros=macros)
    ]
    if with_result:
        cells.append(_result(part.result, prefix))
    for item in shown:
        text_format = TextFormat.string if item.field.kind is Kind.STR else None
        cells.append(
            SignalR(
                name=enforce_pascal_case(item.pv),
                read_pv=prefix + item.readback,
                read_widget=TextRead(format=text_format),
            )
        )
    return table_row(name, part.kind, f"Opens the screen of {part.name}", cells)


def _result(field: Field | None, prefix: str) -> ComponentUnion:
    if field is None:
        return BLANK
    # Only with a format the value has its unit beside it; here no label tells it.
    widget = TextRead()
    if field.kind in NUMBERS:
        precision = field.precision if field.kind is Kind.FLOAT else 0
        widget = TextRead(format=TextFormat.decimal, precision=precision)
    pv = names.readback(prefix, field.name)
    return SignalR(name=names.pascal_case(field.name), read_pv=pv, read_widget=widget)
