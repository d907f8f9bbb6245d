"""Configuration files: TOML, typed by pydantic, unknown keys refused.

A message reads `FILE: key: expected X, got Y`. Relative paths start at the folder of the file that
they stand in. A secret that others may read is logged as a warning.
"""

import logging
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from tosip.errors import ConfigurationError
from tosip.toml_files import Table, Text

logger = logging.getLogger(__name__)

LONGEST_FAULT = 300


class Section(BaseModel):
    """One table of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SectionT = TypeVar("SectionT", bound=Section)


def _from_folder(path: Any) -> Any:
    if isinstance(path, str) and "\0" in path:
        raise ValueError("expected a path without NUL")
    return path.folder / path if isinstance(path, Text) else path


FilePath = Annotated[Path, BeforeValidator(_from_folder)]
"""A path in a file; use it instead of `Path`, so that it starts at the file's folder."""


def validated(model: type[SectionT], table: Table, path: Path) -> SectionT:
    """Return the tables of a file as a model; ConfigurationError names all faults at once."""
    try:
        return model.model_validate(table.values)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_faults(path, table, error))) from None


def _faults(path: Path, table: Table, error: ValidationError) -> list[str]:
    found = []
    for fault in error.errors():
        place = tuple(str(part) for part in fault["loc"])
        found.append(f"{table.origin(place, path)}: {_fault(fault)}"[:LONGEST_FAULT])
    return found


def _fault(fault: ErrorDetails) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "the file"
    # What stands behind a misspelt key may be a secret.
    if fault["type"] == "extra_forbidden":
        return f"{place}: unknown key"
    if fault["type"] == "missing":
        return f"{place}: expected a value, got none"
    if fault["type"] == "path_type":
        return f"{place}: expected a path, got {fault['input']!r}"
    expected = fault["msg"].removeprefix("Value error, ").replace("Input should", "expected to", 1)
    expected = expected.replace("expected to be ", "expected ", 1)
    expected = expected.replace("a valid tuple", "a list", 1)
    got = "" if isinstance(fault["input"], dict) else f", got {fault['input']!r}"
    return f"{place}: {expected}{got}"


@contextmanager
def placed(places: Mapping[str, str], file: Path | None = None) -> Iterator[None]:
    """Name the user's place in a ConfigurationError: our own words for it are of no use to a user.

    `places` maps how a fault may begin to how it shall: {"Tls.": "listen.tls."}. The name of the
    configuration's `file` comes first, unless an option is named (`--var: ...`).
    """
    try:
        yield
    except ConfigurationError as error:
        faults = (_in_place(fault, places) for fault in str(error).split("\n"))
        named = (
            fault if file is None or fault[:2] == "--" else f"{file}: {fault}" for fault in faults
        )
        raise ConfigurationError("\n".join(named)) from None


def _in_place(fault: str, places: Mapping[str, str]) -> str:
    for ours, theirs in places.items():
        if fault.startswith(ours):
            return f"{theirs}{fault[len(ours) :]}"
    return fault


def expect_file(key: str, path: Path) -> None:
    """Raise ConfigurationError if what `key` names is no file."""
    try:
        is_file = path.is_file()
    except OSError as error:
        raise ConfigurationError(f"{key}: expected a file, got {path} ({error.strerror})") from None
    if not is_file:
        raise ConfigurationError(f"{key}: expected a file, got none at {path}")


def expect_secret(key: str, path: Path) -> None:
    """Raise ConfigurationError if what `key` names is no file; warn if anybody may read it."""
    expect_file(key, path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IRWXO:
        logger.warning(
            "%s: expected a file that others cannot read, got mode %04o (chmod o= %s)",
            key,
            mode,
            path,
        )


def read_password(key: str, path: Path) -> str:
    """Return the only line of a file, which others should not read; else ConfigurationError."""
    expect_secret(key, path)
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{key}: expected UTF-8, got other bytes in {path}") from None
    except OSError as error:
        raise ConfigurationError(
            f"{key}: expected a file to read, got {path} ({error.strerror})"
        ) from None
    if len(lines) != 1 or not lines[0]:
        raise ConfigurationError(
            f"{key}: expected one line that is not empty in {path}, got others"
        )
    return lines[0]
