"""Which spool a command is about: `CONFIG|SPOOL`."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tosip.configuration import placed
from tosip.errors import ConfigurationError
from tosip.gateway.config import load_config
from tosip.gateway.settings import Keeping

_ARGUMENT = "CONFIG|SPOOL"  # as the help has it


@dataclass(frozen=True)
class Place:
    """A spool's folder, and what it keeps."""

    folder: Path
    keeping: Keeping


def find(path: Path) -> Place:
    """Take a spool's folder, or the file that names it."""
    if path.is_dir():
        place = Place(path, Keeping())
    else:
        spool = load_config(path).spool
        place = Place(spool.folder, spool.keeping())
    return place


@contextlib.contextmanager
def usable(path: Path) -> Iterator[None]:
    """Turn what the disk or the journal says into a ConfigurationError."""
    try:
        with placed({"Spool.folder": _ARGUMENT, "Spool.journal": _ARGUMENT}):
            yield
    except OSError as error:
        raise ConfigurationError(
            f"{_ARGUMENT}: expected a spool to work with, got {path} ({error.strerror or error})"
        ) from None
