"""Reading our configuration files: TOML, typed by pydantic, unknown keys refused.

A message reads `FILE: key: expected X, got Y`. Relative paths start at the file's folder. A file
with a secret that anybody may read is warned about.
"""

import logging
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from tosip.errors import ConfigurationError

logger = logging.getLogger(__name__)

LONGEST_FAULT = 300


class Section(BaseModel):
    """One table of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SectionT = TypeVar("SectionT", bound=Section)


def _from_folder(path: Path, info: ValidationInfo) -> Path:
    if "\0" in str(path):
        raise ValueError("expected a path without NUL")
    return info.context["folder"] / path if info.context else path


FilePath = Annotated[Path, AfterValidator(_from_folder)]
"""A path in a file; use it instead of `Path`, so that it starts at the file's folder."""


def read_table(path: Path) -> dict[str, Any]:
    """Read a TOML file; ConfigurationError names it and the line that is wrong."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def validated(model: type[SectionT], table: dict[str, Any], path: Path) -> SectionT:
    """Return what `read_table` has read as a model; ConfigurationError tells all faults."""
    try:
        # A link stays one: it may lead to another version later.
        folder = Path(os.path.abspath(path)).parent
        return model.model_validate(table, context={"folder": folder})
    except ValidationError as error:
        raise ConfigurationError("\n".join(_faults(path, error))) from None


def _faults(path: Path, error: ValidationError) -> list[str]:
    return [f"{path}: {_fault(fault)}"[:LONGEST_FAULT] for fault in error.errors()]


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
