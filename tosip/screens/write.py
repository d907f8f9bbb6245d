"""Writes the screens of an IOC."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tosip.description import Description
from tosip.housekeeping import HEALTH_ITEMS, Item
from tosip.pipeline.panel import PLUGIN_ITEMS
from tosip.screens.bob import write_bob
from tosip.screens.fields import SCALARS
from tosip.screens.index import Part, index_page
from tosip.screens.page import Page
from tosip.screens.pages import IMAGE, INDEX, algorithm_pages, image_page, part_pages

GATEWAY, HEALTH = "gateway", "health"


@dataclass(frozen=True)
class DriverScreen:
    """The screen of a kind of driver: its file's name, its label, and the items it shows."""

    name: str
    label: str
    items: Sequence[Item[Any]]


@dataclass(frozen=True)
class Ports:
    """The ports of an IOC: drivers with their screens, plugins with their algorithm's description,
    and a gateway with its items.

    `health` names the part with the faults of TOSIP itself.
    """

    drivers: Mapping[str, DriverScreen] = field(default_factory=dict)
    plugins: Sequence[tuple[str, Description]] = ()
    gateway: tuple[str, Sequence[Item[Any]]] | None = None
    health: str | None = None


def write_screens(folder: Path, label: str, prefix: str, ports: Ports) -> list[Path]:
    """Write all screens of an IOC into `folder`, which must exist; return the files."""
    return [write_bob(page, folder) for page in pages(label, prefix, ports)]


def pages(label: str, prefix: str, ports: Ports) -> Iterable[Page]:
    """Lay out all pages of an IOC, the index first; those of an algorithm once."""
    screens = _screens(ports)
    yield index_page(label, prefix, _parts(ports, screens))
    for name, description in screens.items():
        yield from algorithm_pages(name, description, PLUGIN_ITEMS)
    for name, driver in {driver.name: driver for driver in ports.drivers.values()}.items():
        yield from part_pages(name, driver.label, driver.items, image=True)
    if ports.gateway:
        yield from part_pages(GATEWAY, "FTP gateway", ports.gateway[1], image=False)
    if ports.health:
        yield from part_pages(HEALTH, "Health", HEALTH_ITEMS, image=False)
    if ports.plugins or ports.drivers:
        yield image_page()


def _screens(ports: Ports) -> dict[str, Description]:
    """Name the screens of algorithms: `CountBright` has `count_bright`.

    Another class of that name, or the same with other alarm limits, has `count_bright_2`.
    """
    taken = {INDEX, IMAGE, GATEWAY, HEALTH, *(driver.name for driver in ports.drivers.values())}
    screens: dict[str, Description] = {}
    for _, description in ports.plugins:
        for name in _candidates(description.name, taken):
            if _same(screens.setdefault(name, description), description):
                break
    return screens


def _candidates(name: str, taken: Collection[str]) -> Iterator[str]:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    if snake not in taken:
        yield snake
    yield from (f"{snake}_{number}" for number in count(2))


def _same(one: Description, other: Description) -> bool:
    # As text: a default of NaN is the same as NaN.
    return one is other or repr(one) == repr(other)


def _parts(ports: Ports, screens: Mapping[str, Description]) -> list[Part]:
    plugins = [_plugin(name, description, screens) for name, description in ports.plugins]
    drivers = [
        Part(
            name,
            f"{name}:",
            f"{driver.name}.bob",
            _family(ports, driver),
            driver.label,
            driver.items,
        )
        for name, driver in ports.drivers.items()
    ]
    gateways = [
        Part(name, f"{name}:", f"{GATEWAY}.bob", "Gateway", "FTP gateway", items)
        for name, items in ([ports.gateway] if ports.gateway else [])
    ]
    health = [
        Part(name, f"{name}:", f"{HEALTH}.bob", "Health", "Faults of TOSIP", HEALTH_ITEMS)
        for name in ([ports.health] if ports.health else [])
    ]
    return [*plugins, *drivers, *gateways, *health]


def _family(ports: Ports, driver: DriverScreen) -> str:
    """Head the table of drivers with one screen; those of several kinds have a table each."""
    alone = len({other.name for other in ports.drivers.values()}) == 1
    return "Drivers" if alone else driver.label


def _plugin(name: str, description: Description, screens: Mapping[str, Description]) -> Part:
    screen = next(screen for screen, shown in screens.items() if _same(shown, description))
    result = next((field for field in description.outputs if field.kind in SCALARS), None)
    kind = description.name
    return Part(name, f"{name}:", f"{screen}.bob", "Plugins", kind, PLUGIN_ITEMS, result)
