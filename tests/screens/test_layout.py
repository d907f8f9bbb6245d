"""Nothing on a screen is cut off, hidden behind something else, or without its explanation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest
from lxml import etree

from tests.records.everything import Everything
from tosip.reading import describe
from tosip.screens.bob import links, pv_names, pva_names
from tosip.screens.metrics import text_width
from tosip.screens.write import Ports, write_screens

COMMITTED = Path(__file__).parents[2] / "pvi_screens"
FRAME = 16  # pixels around what is in a group
SCREEN = (1920, 960)  # pixels that Phoebus leaves of an ordinary display
BUTTON_EDGES = 10


@pytest.fixture(scope="module")
def screens(tmp_path_factory) -> list[Path]:
    """All committed screens, and those of an algorithm with every kind of value."""
    folder = tmp_path_factory.mktemp("screens")
    written = write_screens(folder, "TEST", "TEST:", Ports({}, [("ALL1", describe(Everything))]))
    return [*sorted(COMMITTED.glob("*.bob")), *written]


class Area(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int

    def overlaps(self, other: Area) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def area(widget: etree._Element) -> Area:
    x, y, width, height = (int(widget.findtext(t, "0")) for t in ("x", "y", "width", "height"))
    return Area(x, y, x + width, y + height)


def containers(path: Path) -> Iterator[tuple[Area, list[etree._Element]]]:
    """Go through a display and its groups: the room in each, and the widgets in it."""
    root = etree.parse(path).getroot()
    width, height = (int(root.findtext(tag, "0")) for tag in ("width", "height"))
    yield Area(0, 0, width, height), root.findall("widget")
    for group in root.iterfind("widget[@type='group']"):
        outside = area(group)
        inside = outside.right - outside.left - 2 * FRAME, outside.bottom - outside.top - 2 * FRAME
        yield Area(0, 0, *inside), group.findall("widget")


def described(widget: etree._Element) -> str:
    text = widget.findtext("text") or widget.findtext("pv_name") or widget.findtext("name")
    return f"{widget.get('type')} {text} at {area(widget)}"


def test_nothing_is_cut_off_at_the_edges(screens):
    for path in screens:
        for room, widgets in containers(path):
            for widget in widgets:
                place = area(widget)
                inside = place.left >= 0 and place.top >= 0
                inside = inside and place.right <= room.right and place.bottom <= room.bottom
                assert inside, f"{path.name}: {described(widget)} is not within {room}"


def test_no_widgets_overlap(screens):
    for path in screens:
        for _, widgets in containers(path):
            for one, other in combinations(widgets, 2):
                apart = not area(one).overlaps(area(other))
                assert apart, f"{path.name}: {described(one)} and {described(other)}"


def drawn_width(widget: etree._Element, text: str) -> int:
    (font,) = widget.iterfind("font/font")
    size, bold = round(float(font.get("size", "0"))), font.get("style") == "BOLD"
    edges = BUTTON_EDGES if widget.get("type") == "action_button" else 0
    return text_width(text, size, bold=bold) + edges


def test_every_text_has_room(screens):
    for path in screens:
        for widget in etree.parse(path).iter("widget"):
            text = widget.findtext("text")
            if text:
                needed = drawn_width(widget, text)
                room = int(widget.findtext("width", "0"))
                assert needed <= room, f"{path.name}: {described(widget)}"


def test_screens_fit_an_ordinary_display(screens):
    for path in screens:
        root = etree.parse(path).getroot()
        width, height = (int(root.findtext(tag, "0")) for tag in ("width", "height"))
        assert width <= SCREEN[0], f"{path.name} is {width} pixels wide"
        assert height <= SCREEN[1], f"{path.name} is {height} pixels high"


def test_every_label_in_a_group_explains_itself(screens):
    for path in screens:
        for label in etree.parse(path).iterfind(".//widget[@type='group']/widget[@type='label']"):
            if label.findtext("name") != "Heading":
                explanation = label.findtext("tooltip", "").removeprefix(
                    f"{label.findtext('text')}"
                )
                assert explanation.strip(" -\n"), f"{path.name}: {described(label)}"
                assert "No description" not in explanation, f"{path.name}: {described(label)}"


def test_every_screen_that_is_opened_is_there(screens):
    for path in screens:
        for file, _ in links(path):
            assert (path.parent / file).exists(), f"{path.name}: {file}"


def test_every_screen_can_be_reached_from_the_index(screens):
    reached, waiting = set(), [COMMITTED / "index.bob"]
    while waiting:
        path = waiting.pop()
        if path.name not in reached:
            reached.add(path.name)
            waiting += [path.parent / file for file, _ in links(path)]

    assert reached == {path.name for path in COMMITTED.iterdir()}


def test_screens_need_the_macros_p_and_r_only(screens):
    for path in screens:
        for pv in (*pv_names(path), *pva_names(path)):
            assert "$" not in pv.replace("$(P)", "").replace("$(R)", ""), f"{path.name}: {pv}"
