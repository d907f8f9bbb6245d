"""Configuration files by their recipe: the short form of an IOC that a file may choose.

A file that says `ioc = "neosted"` is NEOSTED's short one, and its IOC grows from that; a file that
says nothing is an `IocConfig` itself.
"""

from collections.abc import Callable
from pathlib import Path

from tosip.errors import ConfigurationError
from tosip.iocs.config import IocConfig, load_config
from tosip.iocs.neosted_config import load_neosted, neosted_ioc
from tosip.toml_files import read_toml

RECIPE = "ioc"

_RECIPES: dict[str, Callable[[Path], IocConfig]] = {
    "neosted": lambda path: neosted_ioc(load_neosted(path)),
}


def load_ioc(path: Path) -> IocConfig:
    """Read the IOC of any configuration file; ConfigurationError names file and key."""
    recipe = read_toml(path).values.get(RECIPE)
    if recipe is None:
        return load_config(path)
    if recipe not in _RECIPES:
        known = ", ".join(_RECIPES)
        raise ConfigurationError(f"{path}: {RECIPE}: expected {known} or nothing, got {recipe!r}")
    return _RECIPES[recipe](path)
