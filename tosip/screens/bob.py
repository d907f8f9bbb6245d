"""Writes pages as Phoebus screens, and reads which PVs and which other screens they name."""

from collections.abc import Iterator
from pathlib import Path

from lxml import etree
from lxml.etree import _Element
from pvi.device import DeviceRef

from tosip.screens.drawing import arrange, drawn
from tosip.screens.metrics import TITLE_FONT, text_width
from tosip.screens.page import SPACING, Page
from tosip.screens.pvi_xml import display_of, label_of, number, place

TITLE_HEIGHT = 30
BUTTON_HEIGHT = 24
BUTTON_MARGIN = 24
_MACROS = {"$(P)": "OBSERVATORY:", "$(R)": "CAMERA01:"}  # for the width of what has them
_PVA = "pva://"


def write_bob(page: Page, folder: Path) -> Path:
    """Write a page into `folder`; return the file."""
    display = display_of(page.title)
    buttons = list(_buttons(page))
    top = TITLE_HEIGHT + (BUTTON_HEIGHT + 2 * SPACING if buttons else 0)
    columns = [[drawn(part) for part in column] for column in page.columns]
    width, height = arrange(columns, top)
    width = max(width, text_width(_expanded(page.title), TITLE_FONT, bold=True) + 2 * SPACING)
    if buttons:
        width = max(width, number(buttons[-1], "x") + number(buttons[-1], "width") + SPACING)
    for element in display.iter("widget"):  # the title is all that there is yet
        place(element, width=width, height=TITLE_HEIGHT)
    place(display, width=width, height=height)
    macros = etree.SubElement(display, "macros")
    for name, value in page.macros.items():
        etree.SubElement(macros, name).text = value
    display.extend(buttons)
    display.extend(part.element for column in columns for part in column)
    path = folder / f"{page.name}.bob"
    etree.ElementTree(display).write(path, pretty_print=True, encoding="UTF-8")
    return path


def pv_names(path: Path) -> list[str]:
    """List the records that a screen names, with their macros."""
    return sorted({name for name in _named(path) if not name.startswith(_PVA)})


def pva_names(path: Path) -> list[str]:
    """List what a screen names that only PVAccess has, such as images, with its macros."""
    return sorted({name.removeprefix(_PVA) for name in _named(path) if name.startswith(_PVA)})


def links(path: Path) -> list[tuple[str, dict[str, str]]]:
    """List the screens that a screen opens: each file, and the macros that it is given."""
    actions = etree.parse(path).iterfind(".//action[@type='open_display']")
    return [
        (action.findtext("file", ""), {m.tag: m.text or "" for m in action.iterfind("macros/*")})
        for action in actions
    ]


def _named(path: Path) -> Iterator[str]:
    for element in etree.parse(path).iter("pv_name", "x_pv", "y_pv"):
        if element.text and element.text != "$(pv_name)":
            yield element.text


def _buttons(page: Page) -> Iterator[_Element]:
    """Draw the buttons below the title, from left to right."""
    x = SPACING
    for link in page.links:
        width = _button_width(link)
        for button in display_of("", [link]).iter("widget"):
            place(button, x=x, y=TITLE_HEIGHT + SPACING, width=width, height=BUTTON_HEIGHT)
            yield button
        x += width + SPACING


def _button_width(link: DeviceRef) -> int:
    return text_width(_expanded(label_of(link)), bold=True) + BUTTON_MARGIN


def _expanded(text: str) -> str:
    for macro, value in _MACROS.items():
        text = text.replace(macro, value)
    return text
