"""The screens of an IOC, from its configuration and what its algorithms declare."""

from collections.abc import Mapping
from pathlib import Path

from tosip.description import Description
from tosip.drivers.kinds import find_kind
from tosip.gateway.panel import gateway_items
from tosip.iocs.config import GATEWAY, HEALTH, IocConfig
from tosip.screens.write import DriverScreen, Ports, write_screens


def write_ioc_screens(
    folder: Path, config: IocConfig, descriptions: Mapping[str, Description]
) -> list[Path]:
    """Write all screens into `folder`, which must exist; return the files.

    `descriptions` are those of the plugins, by port, with the configured alarm limits.
    """
    drivers = {}
    for name, driver in config.drivers.items():
        kind = find_kind(driver.kind)
        drivers[name] = DriverScreen(kind.screen, kind.label, kind.items)
    plugins = [(name, descriptions[name]) for name in config.plugins]
    gateway = None
    if config.gateway:
        gateway = (GATEWAY, gateway_items(config.of_kind("ftp")))
    ports = Ports(drivers, plugins, gateway, HEALTH)
    return write_screens(folder, config.label, config.prefix, ports)
