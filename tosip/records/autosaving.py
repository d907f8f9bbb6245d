"""softioc's autosave: what operators have set is as it was after a restart."""

import contextlib
import logging
import os
from pathlib import Path

import yaml
from softioc import autosave

NAME = "tosip"
PERIOD = 5.0  # s: at most so much is lost if the IOC is killed

log = logging.getLogger(__name__)


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
