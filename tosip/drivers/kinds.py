"""The kinds of driver, found by name through the entry points `tosip.drivers`.

A package adds a kind by naming a `DriverKind` in its metadata:

    [project.entry-points."tosip.drivers"]
    my_camera = "my_package.camera:KIND"

The configuration then makes a driver of it with `kind = "my_camera"`. The kind's module is imported
only when a configuration names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol

from tosip.configuration import Section
from tosip.errors import ConfigurationError
from tosip.events import Event
from tosip.housekeeping import Item
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Port, Ports

GROUP = "tosip.drivers"


class DriverConfig(Section):
    """The section of one driver, `[drivers.NAME]`; a kind's own section inherits from it."""

    kind: str


class Driver(Protocol):
    """A source of NDArrays with a port of the same name.

    `start` is called when the IOC serves, on the event loop; `stop` ends the driver and never
    raises. The driver calls `on_change`, on the event loop, when a value that its items show has
    changed. `pool` and `preallocate` are for areaDetector's pool records.
    """

    name: str
    pool: Pool
    port: Port
    preallocate: int
    on_change: Event[[]]

    def start(self) -> None:
        """Begin to produce arrays."""

    async def stop(self) -> None:
        """Stop producing arrays and release all resources."""


@dataclass(frozen=True)
class DriverContext:
    """What the IOC lends to its drivers: the frame pool, the ports, and a folder to write to.

    The folder is the driver's own, below `--var`; it need not exist yet.
    """

    pool: Pool
    ports: Ports
    folder: Path


@dataclass(frozen=True)
class DriverKind:
    """One kind of driver.

    `config` is the model of its section. `make(name, config, context)` returns the driver, or
    raises ConfigurationError; `check(name, config)` raises what can be known without making one.
    `items` are its records, read from the driver. `screen` is the file name of its Phoebus screen,
    headed by `label` (kinds with equal items may share one); `model` is areaDetector's Model_RBV.
    """

    config: type[DriverConfig]
    make: Callable[[str, Any, DriverContext], Driver]
    items: Sequence[Item[Any]]
    screen: str
    label: str
    model: str
    check: Callable[[str, Any], None] = lambda _name, _config: None


def find_kind(name: str) -> DriverKind:
    """Return a kind by its name; ConfigurationError lists the known kinds if there is none."""
    found = _installed()
    if name not in found:
        known = ", ".join(sorted(found))
        raise ConfigurationError(f"expected a kind of driver ({known}), got {name!r}")
    return _load(found[name])


@cache
def _installed() -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


@cache
def _load(entry: EntryPoint) -> DriverKind:
    try:
        kind = entry.load()
    except Exception as error:  # of a package that is not ours
        raise ConfigurationError(
            f"expected kind {entry.name!r} to load from {entry.value}, got {error!r}"
        ) from error
    if not isinstance(kind, DriverKind):
        raise ConfigurationError(
            f"expected {entry.value} of kind {entry.name!r} to be a DriverKind, "
            f"got {type(kind).__name__}"
        )
    return kind
