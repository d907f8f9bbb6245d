"""Lets pvi draw components, and mends what its template leaves wrong or unset.

pvi's formatter has no public import path: this is the only place that uses it.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from lxml.etree import SubElement, XMLParser, _Element, parse
from pvi._format import DLSFormatter
from pvi.device import Component, ComponentUnion, Device, to_title_case

from tosip.screens.metrics import FAMILY, FONT
from tosip.screens.page import ROW_HEIGHT, SPACING

_UNLIMITED = 1_000_000  # pixels: pages have columns of their own
_STRING = "6"  # Phoebus's number of that format
_MIDDLE = "1"


def display_of(title: str, components: Sequence[ComponentUnion] = ()) -> _Element:
    """Let pvi draw a screen."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "screen.bob"
        _formatter().format(Device(label=title, children=list(components)), path)
        # pvi's template says when and by whom it was saved.
        parser = XMLParser(remove_blank_text=True, remove_comments=True)
        display = parse(path, parser).getroot()
    for font in display.iterfind(".//font/font"):
        font.set("family", FAMILY)
    for widget in display.iter("widget"):
        _MENDERS.get(widget.get("type", ""), _nothing)(widget)
    return display


def number(element: _Element, tag: str) -> int:
    """Read a position or a size."""
    return int(element.findtext(tag, "0"))


def place(element: _Element, **values: int) -> None:
    """Set a position or a size."""
    for tag, value in values.items():
        put(element, tag, str(value))


def label_of(component: Component) -> str:
    """Return the text of a component's label or button."""
    return component.label or to_title_case(component.name)


def is_text(element: _Element) -> bool:
    """Whether a widget shows text, which needs room."""
    return element.findtext("format") == _STRING


def put(element: _Element, tag: str, text: str) -> None:
    """Set the text of a property, which is added if it is not there."""
    child = element.find(tag)
    if child is None:
        child = SubElement(element, tag)
    child.text = text


@cache
def _formatter() -> DLSFormatter:
    return DLSFormatter(spacing=SPACING, widget_height=ROW_HEIGHT, max_height=_UNLIMITED)


def _nothing(_widget: _Element) -> None:
    pass


def _mend_button(button: _Element) -> None:
    """Name the PV that the button writes as its own, and the screen that it opens: pvi does not."""
    put(button, "border_alarm_sensitive", "false")  # nobody has pressed it yet: that is no alarm
    opened = button.find("actions/action[@type='open_display']")
    if opened is not None:
        put(opened, "description", f"Open {opened.findtext('file')}")
    own, written = button.find("pv_name"), button.findtext("actions/action/pv_name")
    if own is not None:
        own.text = written


def _mend_combo(combo: _Element) -> None:
    """Take the template's choices away: those that count come from the PV."""
    if "." in combo.findtext("pv_name", ""):
        put(combo, "border_alarm_sensitive", "false")
    items = combo.find("items")
    if items is not None:
        combo.remove(items)


def _mend_value(value: _Element) -> None:
    """Let text begin at the left; leave a number's unit to the label, unless it has a format."""
    if is_text(value):
        put(value, "horizontal_alignment", "0")
    elif value.find("format") is None:
        put(value, "show_units", "false")
    if "." in value.findtext("pv_name", ""):
        # It would show the alarm of the record, of which this is but a field.
        put(value, "border_alarm_sensitive", "false")
    colour = value.find("background_color/color")
    if number(value, "height") == ROW_HEIGHT:
        put(value, "vertical_alignment", _MIDDLE)
    elif colour is not None:
        for primary in ("red", "green", "blue"):
            colour.set(primary, "255")  # white, as paper


def _mend_label(label: _Element) -> None:
    """Put labels at the height of their values; make headings no larger than what they head."""
    put(label, "vertical_alignment", _MIDDLE)
    font = label.find("font/font")
    if label.findtext("name") == "Heading" and font is not None:
        font.set("size", f"{FONT}.0")


def _mend_plot(plot: _Element) -> None:
    """Let the plot scale itself: of pvi's two lists of axes, the template's comes first."""
    axes = plot.findall("y_axes")
    for leftover in axes[:-1]:
        plot.remove(leftover)
    put(plot, "show_legend", "false")
    for trace in plot.iterfind("traces/trace"):
        put(trace, "point_type", "2")  # circles: a value between two that are missing is no line
        put(trace, "point_size", "6")


def set_title(plot: _Element, title: str) -> None:
    """Head a plot; its axis has the PV's unit alone."""
    put(plot, "title", title)
    for trace in plot.iterfind("traces/trace"):
        put(trace, "name", " ")
    font = SubElement(SubElement(plot, "title_font"), "font")
    for name, value in (("family", FAMILY), ("style", "BOLD"), ("size", f"{FONT}.0")):
        font.set(name, value)


_MENDERS = {
    "action_button": _mend_button,
    "combo": _mend_combo,
    "label": _mend_label,
    "textupdate": _mend_value,
    "textentry": _mend_value,
    "xyplot": _mend_plot,
}
