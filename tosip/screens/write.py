"""Writes the screens of an IOC, or those of the algorithms that ship with TOSIP."""

import re
from collections.abc import Iterable
from pathlib import Path

from tosip.description import Description
from tosip.drivers.panel import DRIVER_ITEMS
from tosip.gateway.panel import GATEWAY_ITEMS
from tosip.pipeline.panel import PLUGIN_ITEMS
from tosip.screens.bob import write_bob
from tosip.screens.device import algorithm_device, index_device, part_device

DRIVER_SCREEN = "fits_driver.bob"
GATEWAY_SCREEN = "gateway.bob"
INDEX_SCREEN = "index.bob"


def screen_of(description: Description) -> str:
    """Name the screen file of an algorithm: `CountBright` has `count_bright.bob`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", description.name).lower() + ".bob"


def write_screens(
    folder: Path,
    label: str,
    descriptions: Iterable[Description],
    parts: Iterable[tuple[str, str, str]],
) -> list[Path]:
    """Write all screens of an IOC into `folder`, which must exist; return the files.

    `descriptions` are those of its algorithms, each once; `parts` are the index's entries: a
    label, the macro R, and the screen to open.
    """
    for description in descriptions:
        device = algorithm_device(description, PLUGIN_ITEMS)
        write_bob(device, folder / screen_of(description))
    write_bob(part_device("FITS driver", DRIVER_ITEMS), folder / DRIVER_SCREEN)
    write_bob(part_device("FTP gateway", GATEWAY_ITEMS), folder / GATEWAY_SCREEN)
    write_bob(index_device(label, parts), folder / INDEX_SCREEN)
    return sorted(folder.glob("*.bob"))
