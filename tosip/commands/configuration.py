"""`tosip check CONFIG` and `tosip screens CONFIG`: what an IOC's configuration makes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tomli_w
from rich.table import Table

from tosip import stopping
from tosip.commands.algorithm_file import read_description
from tosip.configuration import placed
from tosip.description import Description
from tosip.drivers.kinds import find_kind
from tosip.errors import ConfigurationError
from tosip.iocs.config import IocConfig
from tosip.iocs.ioc_file import IocFile
from tosip.iocs.plugins import PluginSection, describe, first_values
from tosip.iocs.screens import write_ioc_screens


def descriptions(file: IocFile) -> dict[str, Description]:
    """Read what each plugin's algorithm declares, in its own interpreter, without an IOC."""
    found, _ = stopping.run(_descriptions(file))
    return found


async def _descriptions(file: IocFile) -> dict[str, Description]:
    read: dict[tuple[object, ...], Description] = {}
    found = {}
    with placed({}, file.path):
        for name, driver in file.config.drivers.items():
            find_kind(driver.kind).check(name, driver)
        for name, plugin in file.config.plugins.items():
            section = PluginSection(name, plugin, file.place(name))
            code = (plugin.file, plugin.module, plugin.class_name, plugin.interpreter)
            if code not in read:
                read[code] = await read_description(await section.program())
            first_values(section, read[code])
            found[name] = describe(section, read[code])
    return found


def expanded(config: IocConfig) -> str:
    """Return the whole configuration as TOML, defaults included."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def ports_table(config: IocConfig, described: Mapping[str, Description]) -> Table:
    """List the ports that the configuration makes."""
    table = Table(title=f"{config.prefix} ports")
    for heading in ("port", "kind", "from", "outputs", "inputs"):
        table.add_column(heading)
    for name, driver in config.drivers.items():
        table.add_row(name, f"{driver.kind}: {find_kind(driver.kind).model}", "", "", "")
    for name, plugin in config.plugins.items():
        description = described[name]
        outputs = ", ".join(field.name for field in description.outputs)
        inputs = ", ".join(field.name for field in description.inputs)
        table.add_row(name, description.name, plugin.source, outputs, inputs)
    for name, gather in config.gather.items():
        table.add_row(name, "gather", ", ".join(gather.sources), "", "")
    return table


def write_screens_of(file: IocFile, folder: Path) -> list[Path]:
    """Write the screens of an IOC; ConfigurationError if the folder cannot be written."""
    described = descriptions(file)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return write_ioc_screens(folder, file.config, described)
    except OSError as error:
        raise ConfigurationError(f"--output: {folder}: {error.strerror}") from None
