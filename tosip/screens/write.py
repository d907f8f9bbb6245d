"""Writes the screens of an IOC."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tosip.description import Description
from tosip.drivers.panel import DRIVER_ITEMS
from tosip.housekeeping import HEALTH_ITEMS, Item
from tosip.pipeline.panel import PLUGIN_ITEMS
from tosip.screens.bob import write_bob
from tosip.screens.fields import SCALARS
from tosip.screens.index import Part, index_page
from tosip.screens.page import Page
from tosip.screens.pages import IMAGE, INDEX, algorithm_pages, image_page, part_pages

DRIVER, GATEWAY, HEALTH = "fits_driver", "gateway", "health"
_TAKEN = (INDEX, IMAGE, DRIVER, GATEWAY, HEALTH)


@dataclass(frozen=True)
class Ports:
    """The names of what an IOC has, plugins with their algorithm, a gateway with its items.

    `health` names the part with the faults of TOSIP itself.
    """

    drivers: Sequence[str] = ()
    plugins: Sequence[tuple[str, Description]] = ()
    gateway: tuple[str, Sequence[Item[Any]]] | None = None
    health: str | None = None


def write_screens(folder: Path, label: str, prefix: str, ports: Ports) -> list[Path]:
    """Write all screens of an IOC into `folder`, which must exist; return the files."""
    return [write_bob(page, folder) for page in pages(label, prefix, ports)]


def pages(label: str, prefix: str, ports: Ports) -> Iterable[Page]:
    """Lay out all pages of an IOC, the index first; those of an algorithm once."""
    screens = _screens(description for _, description in ports.plugins)
    yield index_page(label, prefix, _parts(ports, screens))
    for name, description in screens.items():
        yield from algorithm_pages(name, description, PLUGIN_ITEMS)
    if ports.drivers:
        yield from part_pages(DRIVER, "FITS driver", DRIVER_ITEMS, image=True)
    if ports.gateway:
        yield from part_pages(GATEWAY, "FTP gateway", ports.gateway[1], image=False)
    if ports.health:
        yield from part_pages(HEALTH, "Health", HEALTH_ITEMS, image=False)
    if ports.plugins or ports.drivers:
        yield image_page()


def _screens(descriptions: Iterable[Description]) -> dict[str, Description]:
    """Name the screens of algorithms: `CountBright` has `count_bright`.

    Another class of that name, or the same with other alarm limits, has `count_bright_2`.
    """
    screens: dict[str, Description] = {}
    for description in descriptions:
        for name in _candidates(description.name):
            if _same(screens.setdefault(name, description), description):
                break
    return screens


def _candidates(name: str) -> Iterator[str]:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    if snake not in _TAKEN:
        yield snake
    yield from (f"{snake}_{number}" for number in count(2))


def _same(one: Description, other: Description) -> bool:
    # As text: a default of NaN is the same as NaN.
    return one is other or repr(one) == repr(other)


def _parts(ports: Ports, screens: Mapping[str, Description]) -> list[Part]:
    plugins = [_plugin(name, description, screens) for name, description in ports.plugins]
    drivers = [
        Part(name, f"{name}:", f"{DRIVER}.bob", "Drivers", "FITS driver", DRIVER_ITEMS)
        for name in ports.drivers
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


def _plugin(name: str, description: Description, screens: Mapping[str, Description]) -> Part:
    screen = next(screen for screen, shown in screens.items() if _same(shown, description))
    result = next((field for field in description.outputs if field.kind in SCALARS), None)
    kind = description.name
    return Part(name, f"{name}:", f"{screen}.bob", "Plugins", kind, PLUGIN_ITEMS, result)
