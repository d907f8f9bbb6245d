"""The screens of the NEOSTED IOC, from its configuration and the descriptions of its algorithms."""

from pathlib import Path

from tosip.description import Description
from tosip.iocs.config import NeostedConfig
from tosip.iocs.system import ENVIRONMENT, FIELD, GATEWAY
from tosip.screens.write import DRIVER_SCREEN, GATEWAY_SCREEN, screen_of, write_screens

LABEL = "NEOSTED"


def write_neosted_screens(
    folder: Path,
    config: NeostedConfig,
    focus: Description,
    field: Description,
    environment: Description,
) -> list[Path]:
    """Write all screens into `folder`, which must exist; return the files."""
    screens = {camera.focus_port: screen_of(focus) for camera in config.cameras}
    screens |= {FIELD: screen_of(field), ENVIRONMENT: screen_of(environment)}
    screens |= {camera.port: DRIVER_SCREEN for camera in config.cameras}
    screens[GATEWAY] = GATEWAY_SCREEN
    parts = [(port, f"{port}:", screen) for port, screen in screens.items()]
    return write_screens(folder, LABEL, (focus, field, environment), parts)
