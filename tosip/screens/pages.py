"""Lays out the pages of an algorithm, of the other parts of an IOC, and of an image.

What an operator needs first comes first: results, inputs, status; then the worker's supervision;
then the port. What is rarely used has a page of its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from pvi.device import DeviceRef, enforce_pascal_case

from tosip.description import Description, Field, Kind, short_doc
from tosip.screens.boxes import (
    IMAGE_SIZE,
    Items,
    alarm_box,
    image_of,
    input_boxes,
    item_boxes,
    plot_of,
    result_boxes,
    text_box,
)
from tosip.screens.fields import NARROWEST, NUMBERS, PREFIX
from tosip.screens.page import Box, Page, Picture

INDEX, IMAGE = "index", "image"  # pages that the others open

# Headings of the housekeeping: what is none of these is the port's own.
_STATUS = ("Status",)
_SUPERVISION = ("Worker", "Reload")
_RARE = ("Last array", "Threads", "Attributes", "Pool", "Version")
_MANY = ("Cameras",)  # as many as there are: on a page of their own

_LARGE_IMAGE = 850  # pixels
_MOST_RESULTS, _MOST_ALARMS = 24, 32  # rows of a column
_NUMBERS = ("", *map(str, range(2, 100)))  # of pages with the same heading
_ROOMY = 150  # the least width of a column, where there are few
_WIDE = 250  # that of one that shows names of files
_LONG_TEXT = 256  # bytes: two lines have room for as many


def algorithm_pages(name: str, description: Description, items: Items) -> list[Page]:
    """Lay out the pages of a plugin that runs an algorithm; the first is called `name`."""
    figures = [field for field in description.outputs if field.kind is not Kind.ARRAY]
    arrays = [field for field in description.outputs if field.kind is Kind.ARRAY]
    numbers = [field for field in figures if field.kind in NUMBERS]
    first, *others = _parts(figures, _MOST_RESULTS) or [()]
    pictures = [*map(plot_of, arrays), image_of("Preview", IMAGE_SIZE)]
    more_results = [result_boxes(some) for some in others]
    columns = (
        [
            *result_boxes(first),
            *input_boxes(description.inputs),
            *item_boxes(items, _STATUS, _ROOMY),
        ],
        item_boxes(items, _SUPERVISION),
        _other_boxes(items),
        [] if others else pictures,
    )
    extra = [_page(f"{name}_results", f"{PREFIX} results", [*more_results, pictures])]
    pages = [
        *(extra if others else []),
        *(
            _page(
                f"{name}_alarms{number}", f"{PREFIX} alarms {number}".rstrip(), [[alarm_box(some)]]
            )
            for number, some in zip(_NUMBERS, _parts(numbers, _MOST_ALARMS), strict=False)
        ),
    ]
    title = short_doc(description.doc.rstrip("."))
    main = _page(name, f"{PREFIX} {title}", columns)
    return _linked(main, [*pages, *_more_pages(name, items)], image=True)


def _parts(fields: Sequence[Field], most: int) -> list[Sequence[Field]]:
    """Split fields into as many columns as they need, with at most so many rows each."""
    return [fields[start : start + most] for start in range(0, len(fields), most)]


def part_pages(name: str, label: str, items: Items, *, image: bool) -> list[Page]:
    """Lay out the pages of a part that has housekeeping records only; a port has an image."""
    columns = (
        item_boxes(items, _STATUS, _ROOMY),
        item_boxes(items, _SUPERVISION, _ROOMY),
        _other_boxes(items, _ROOMY),
        [image_of("Preview", IMAGE_SIZE)] if image else [],
    )
    main = _page(name, f"{PREFIX} {label}", columns)
    return _linked(main, _more_pages(name, items), image=image)


def image_page() -> Page:
    """Lay out the page that shows a port's image in full."""
    page = _page(IMAGE, f"{PREFIX} image", [[image_of("Image", _LARGE_IMAGE)]])
    return replace(page, links=(_link("Index", INDEX),))


def _page(name: str, title: str, columns: Iterable[Sequence[Box | Picture]]) -> Page:
    return Page(name, title, tuple(tuple(column) for column in columns if column))


def _more_pages(name: str, items: Items) -> list[Page]:
    """Lay out what is too long for the first page, and what is rarely used."""
    shown = [item for item in items if item.readback and item.field.kind is Kind.STR]
    texts = [i for i in shown if i.field.length > _LONG_TEXT and i.group not in _MANY]
    rare = item_boxes(items, _RARE)
    fields = [[text_box(some)] for some in _halves(texts)]
    messages = [_page(f"{name}_messages", f"{PREFIX} messages", fields)]
    details = [_page(f"{name}_details", f"{PREFIX} details", [rare])]
    return [
        *_pages_of_many(name, items),
        *(messages if texts else []),
        *(details if rare else []),
    ]


def _pages_of_many(name: str, items: Items) -> Iterator[Page]:
    for heading in _MANY:
        halves = _halves([item for item in items if item.group == heading], together=2)
        columns = [item_boxes(some, [heading], _WIDE) for some in halves]
        if columns:
            yield _page(f"{name}_{heading.lower()}", f"{PREFIX} {heading.lower()}", columns)


def _halves(items: Items, together: int = 1) -> list[Items]:
    """Split items into two columns, so many of them never parted."""
    half = -(-len(items) // 2 // together) * together
    return [some for some in (items[:half], items[half:]) if some]


def _other_boxes(items: Items, least: int = NARROWEST) -> list[Box]:
    elsewhere = (*_STATUS, *_SUPERVISION, *_RARE, *_MANY)
    headings = dict.fromkeys(item.group for item in items if item.group not in elsewhere)
    return item_boxes(items, headings, least)


def _linked(main: Page, more: Sequence[Page], *, image: bool) -> list[Page]:
    """Give pages the buttons that open one another."""
    links = [_link(page.name.removeprefix(f"{main.name}_").title(), page.name) for page in more]
    links += [_link("Image", IMAGE)] if image else []
    index = _link("Index", INDEX)
    back = (_link(PREFIX, main.name), index)
    return [replace(main, links=(*links, index)), *(replace(page, links=back) for page in more)]


def _link(label: str, page: str) -> DeviceRef:
    name = enforce_pascal_case(page)
    return DeviceRef(name=name, label=label, pv=f"{PREFIX}PVI", ui=f"{page}.bob")
