"""Gives what pvi has drawn its place: the rows of a box their columns, a page's parts theirs."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from lxml.etree import _Element
from pvi.device import ComponentUnion, Group, Row, SignalR, SignalRW, SubScreen

from tosip.screens.metrics import text_width
from tosip.screens.page import SPACING, Box, Picture
from tosip.screens.pvi_xml import display_of, is_text, label_of, number, place, put, set_title

FRAME = 36  # pixels that pvi adds to a group's width
TALLEST = 930  # pixels; a column that would be taller goes on in another one

_Cell = tuple[int | None, _Element]  # with its column, or None: the whole width is its own
_Line = tuple[_Element | None, list[_Cell]]  # with its label, which a heading has not


class Part(Protocol):
    """A drawn part of a page."""

    element: _Element
    label_width: int
    inner_width: int  # of what is beside the labels

    def put(self, x: int, y: int, label_width: int, inner_width: int) -> None:
        """Give it its place in a column of these widths."""


class _BoxPart:
    def __init__(self, box: Box) -> None:
        self.element = _first_widget(_alone(box.group))
        self._widths = box.widths
        self._lines = list(_lines(box.group.children, iter(self.element.findall("widget"))))
        ends = [cell for _, cells in self._lines for cell in cells[-1:]]
        self._ends_in_text = any(column is not None and is_text(cell) for column, cell in ends)
        self.label_width = max(text_width(label_of(row)) for row in box.group.children)
        self.inner_width = sum(box.widths) + SPACING * (len(box.widths) - 1)

    def put(self, x: int, y: int, label_width: int, inner_width: int) -> None:
        left = label_width + SPACING
        place(self.element, x=x, y=y, width=left + inner_width + FRAME)
        for label, cells in self._lines:
            if label is not None:
                place(label, x=0, width=label_width)
            whole = [cell for column, cell in cells if column is None]
            # A number stays near its label. Texts take all the room that there is, and so do
            # arrays: they, too, have setpoint and readback side by side.
            long = len(whole) > 1 or any(map(is_text, whole))
            room = inner_width if long else self.inner_width
            _share(whole, left, room)
            for column, cell in cells:
                if column is not None:
                    self._put_cell(cell, column, left, inner_width)

    def _put_cell(self, cell: _Element, column: int, left: int, inner_width: int) -> None:
        before = sum(self._widths[:column]) + SPACING * column
        last = column == len(self._widths) - 1
        width = inner_width - before if last and self._ends_in_text else self._widths[column]
        place(cell, x=left + before, width=width)


class _PicturePart:
    def __init__(self, picture: Picture) -> None:
        self.element = _first_widget(display_of("", [picture.signal]))
        self.label_width = 0
        self.inner_width = max(number(self.element, "width"), text_width(picture.title, bold=True))
        put(self.element, "tooltip", f"{picture.title}\n$(pv_name)")
        if self.element.get("type") == "xyplot":
            set_title(self.element, picture.title)

    def put(self, x: int, y: int, label_width: int, inner_width: int) -> None:
        place(self.element, x=x, y=y, width=self.inner_width)


def drawn(part: Box | Picture) -> Part:
    """Let pvi draw a part of a page."""
    return _BoxPart(part) if isinstance(part, Box) else _PicturePart(part)


def arrange(columns: Sequence[Sequence[Part]], top: int) -> tuple[int, int]:
    """Put parts side by side below `top`; return the width and the height that they take."""
    x, lowest = SPACING, top
    for parts in _broken(columns, TALLEST - top):
        label_width = max(part.label_width for part in parts)
        inner_width = max(
            part.inner_width - (0 if part.label_width else label_width) for part in parts
        )
        y = top
        for part in parts:
            part.put(x, y, label_width, inner_width)
            y += number(part.element, "height") + SPACING
        x = max(number(part.element, "x") + number(part.element, "width") for part in parts)
        x, lowest = x + SPACING, max(lowest, y)
    return x, lowest


def _broken(columns: Sequence[Sequence[Part]], room: int) -> Iterator[list[Part]]:
    """Break columns that are too tall, between their parts."""
    for column in columns:
        fitting: list[Part] = []
        taken = 0
        for part in column:
            height = number(part.element, "height") + SPACING
            if fitting and taken + height > room:
                yield fitting
                fitting, taken = [], 0
            fitting.append(part)
            taken += height
        if fitting:
            yield fitting


def _first_widget(display: _Element) -> _Element:
    # The title comes first where there is one; there is none here.
    widget = display.find("widget")
    if widget is None:
        raise ValueError("pvi: expected a widget, got an empty screen")
    return widget


def _alone(group: Group) -> _Element:
    """Draw a group as the only one of a sub-screen: in any other pvi squeezes rows."""
    return display_of("", [Group(name="Only", layout=SubScreen(), children=[group])])


def _lines(rows: Sequence[ComponentUnion], widgets: Iterator[_Element]) -> Iterator[_Line]:
    """Find the widgets that pvi made of each row: they come in the rows' order."""
    for row in rows:
        if not isinstance(row, Group) or not isinstance(row.layout, Row):
            label = next(widgets)
            both = isinstance(row, SignalRW) and row.read_widget is not None
            yield label, [(None, next(widgets)) for _ in range(2 if both else 1)]
            continue
        if row.layout.header is not None:
            yield None, [(column, next(widgets)) for column in range(len(row.layout.header))]
        label = next(widgets)
        filled = [column for column, cell in enumerate(row.children) if not _blank(cell)]
        yield label, [(column, next(widgets)) for column in filled]


def _blank(cell: ComponentUnion) -> bool:
    return isinstance(cell, SignalR) and not isinstance(cell, SignalRW) and not cell.read_widget


def _share(cells: Sequence[_Element], left: int, width: int) -> None:
    for index, cell in enumerate(cells):
        share = (width - SPACING * (len(cells) - 1)) // len(cells)
        place(cell, x=left + index * (share + SPACING), width=share)
