"""Configuration files: a whole `IocConfig`, or the short form of a recipe from which one grows.

A file that says `ioc = "neosted"` is NEOSTED's short one; a file that says nothing is an
`IocConfig` itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tosip.errors import ConfigurationError
from tosip.iocs.config import IocConfig, load_config
from tosip.iocs.neosted_config import NeostedConfig, load_neosted, neosted_ioc, neosted_places
from tosip.toml_files import read_toml

RECIPE = "ioc"


@dataclass(frozen=True)
class IocFile:
    """An IOC's configuration and where the user wrote it.

    `path` is None for built-in defaults. `places` names the section of a plugin in the file, where
    that is not `plugins.NAME`.
    """

    config: IocConfig
    path: Path | None = None
    places: Mapping[str, str] = field(default_factory=dict)

    def place(self, plugin: str) -> str:
        """Return the key of a plugin's section, for messages."""
        return self.places.get(plugin, f"plugins.{plugin}")

    def changed(self, **values: Any) -> "IocFile":
        """Return the same with other values of the configuration."""
        return replace(self, config=self.config.model_copy(update=values))


def load_ioc(path: Path) -> IocFile:
    """Read any configuration file; ConfigurationError names file and key."""
    recipe = read_toml(path).values.get(RECIPE)
    if recipe is None:
        return IocFile(load_config(path), path)
    if recipe not in _RECIPES:
        known = ", ".join(_RECIPES)
        raise ConfigurationError(f"{path}: {RECIPE}: expected {known} or nothing, got {recipe!r}")
    return _RECIPES[recipe](path)


def neosted_file(path: Path | None, cameras: int | None = None) -> IocFile:
    """Read NEOSTED's short configuration, or take its defaults; the first `cameras` of it."""
    config: NeostedConfig = load_neosted(path)
    if cameras is not None:
        if not 1 <= cameras <= len(config.cameras):
            raise ConfigurationError(
                f"--cameras: expected 1 to {len(config.cameras)}, got {cameras}"
            )
        config = config.model_copy(update={"cameras": config.cameras[:cameras]})
    return IocFile(neosted_ioc(config), path, neosted_places(config))


_RECIPES: dict[str, Callable[[Path], IocFile]] = {"neosted": neosted_file}
