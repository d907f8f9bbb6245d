"""softioc's autosave: what operators have set is as it was after a restart.

A choice is kept as its text: its number may be another choice's when the IOC starts again.
"""

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from softioc import autosave

from tosip.description import Field, Kind

NAME = "tosip"
PERIOD = 5.0  # s: at most so much is lost if the IOC is killed

# What the log says of each value that is not the configured one, and how to go back.
TAKEN = "%s: %r was kept; write %r to return to what is configured"

log = logging.getLogger(__name__)


class Kept:
    """The entry of one record in the file; `value` is the plain one read from it, None if none is.

    `read` returns the record's plain value; softioc calls it in a thread of its own.
    """

    def __init__(self, name: str, field: Field, read: Callable[[], Any]) -> None:
        self.value: Any = None
        self._field = field
        self.get = read
        autosave.add_pv_to_autosave(self, name, True)

    def set(self, value: Any) -> None:
        """Take what the file says; files of earlier versions have the numbers of choices."""
        choices = self._field.choices
        if self._field.kind is Kind.ENUM and type(value) is int:
            value = choices[value] if 0 <= value < len(choices) else str(value)
        elif self._field.kind is Kind.BOOL and value in (0, 1):
            value = bool(value)
        self.value = value


def keep_in(folder: Path) -> None:
    """Save to `folder`, and take what is there; call it before records are made.

    A file that cannot be read is put aside, with a warning: the IOC starts with its configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{NAME}.{autosave.SAV_SUFFIX}"
    try:
        with contextlib.suppress(FileNotFoundError):
            _check(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        aside = file.with_suffix(".unreadable")
        reason = str(error).split("\n", 1)[0]
        log.warning("%s: saved settings are lost, the file is now %s: %s", file, aside.name, reason)
        os.replace(file, aside)
    if not file.exists():
        file.write_text("{}\n")  # or softioc would complain
    autosave.configure(folder, NAME, save_period=PERIOD, timestamped_backups=False)


def _check(file: Path) -> None:
    with file.open() as stream:
        saved = yaml.safe_load(stream)
    if not isinstance(saved, dict):
        raise ValueError("expected names with their values")
