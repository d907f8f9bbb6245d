"""The screens of the NEOSTED IOC, from its configuration and the descriptions of its algorithms."""

from pathlib import Path

from tosip.description import Description
from tosip.gateway.panel import gateway_items
from tosip.iocs.config import NeostedConfig
from tosip.iocs.system import ENVIRONMENT, FIELD, GATEWAY, HEALTH
from tosip.screens.write import Ports, write_screens

LABEL = "NEOSTED"


def write_neosted_screens(
    folder: Path,
    config: NeostedConfig,
    focus: Description,
    field: Description,
    environment: Description,
) -> list[Path]:
    """Write all screens into `folder`, which must exist; return the files."""
    plugins = [(camera.focus_port, focus) for camera in config.cameras]
    plugins += [(FIELD, field), (ENVIRONMENT, environment)]
    items = gateway_items([camera.port for camera in config.cameras])
    ports = Ports([camera.port for camera in config.cameras], plugins, (GATEWAY, items), HEALTH)
    return write_screens(folder, LABEL, config.prefix, ports)
