"""Reads TOML files that include others and use variables.

    include = ["site.toml", { file = "camera.toml", N = ["01", "02"] }]
    [variables]
    NIGHT = "2026-11-28"

`include` reads other files first; their tables are merged, and what this file says itself wins. An
entry may give variables to the file; one whose variables are lists of equal length includes it once
for each element. `${NAME}` in any text or key is replaced by a variable, `$${` stands for `${`.
A relative path starts at the folder of the file that it stands in.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tosip.errors import ConfigurationError

INCLUDE, VARIABLES = "include", "variables"
DEEPEST = 8  # includes within includes

Key = tuple[str, ...]
_VARIABLE = re.compile(r"\$?\$\{([^}]*)\}")


class Text(str):
    """A text of a file; `folder` is the file's, where a relative path starts."""

    folder: Path

    __slots__ = ("folder",)


@dataclass
class Table:
    """The merged tables of a file and its includes; `origins` names the file of each key."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, Path] = field(default_factory=dict)

    def merge(self, values: Mapping[str, Any], file: Path, at: Key = ()) -> None:
        """Add the values of a file; they replace those that were there."""
        target = self.values
        for part in at:
            target = target[part]
        for name, value in values.items():
            key = (*at, name)
            self.origins[key] = file
            if isinstance(value, dict) and isinstance(target.get(name), dict):
                self.merge(value, file, key)
            elif isinstance(value, dict):
                target[name] = {}
                self.merge(value, file, key)
            else:
                target[name] = value

    def origin(self, key: Key, default: Path) -> Path:
        """Return the file that `key`, or the table around it, stands in."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.origins:
                return self.origins[key[:length]]
        return default


def read_toml(path: Path) -> Table:
    """Read a file with all that it includes.

    Raises ConfigurationError, which names the file and the line or key, for a file that cannot be
    read, an unknown variable, a wrong include, and files that include themselves.
    """
    table = Table()
    _read(path, {}, table, ())
    return table


def _read(path: Path, variables: Mapping[str, str], table: Table, within: tuple[Path, ...]) -> None:
    if path.resolve() in within or len(within) > DEEPEST:
        chain = " > ".join(str(file) for file in (*within, path))
        raise ConfigurationError(f"{path}: expected files that do not include themselves: {chain}")
    values = _load(path)
    known = {**_own_variables(path, values.pop(VARIABLES, {})), **variables}
    includes = _replaced(values.pop(INCLUDE, []), known, path, INCLUDE)
    for file, given in _includes(path, includes):
        _read(file, {**known, **given}, table, (*within, path.resolve()))
    table.merge(_replaced(values, known, path, ""), path)


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _own_variables(path: Path, given: Any) -> dict[str, str]:
    if not isinstance(given, dict) or any(isinstance(v, (dict, list)) for v in given.values()):
        raise ConfigurationError(f"{path}: {VARIABLES}: expected NAME = value, got {given!r}")
    return {name: str(value) for name, value in given.items()}


def _includes(path: Path, entries: Any) -> Iterator[tuple[Path, dict[str, str]]]:
    if not isinstance(entries, list):
        raise ConfigurationError(f"{path}: {INCLUDE}: expected a list, got {entries!r}")
    for number, entry in enumerate(entries):
        place = f"{path}: {INCLUDE}.{number}"
        given = {"file": entry} if isinstance(entry, str) else entry
        if not isinstance(given, dict) or not isinstance(given.get("file"), str):
            raise ConfigurationError(f"{place}: expected a file, got {entry!r}")
        variables = {name: value for name, value in given.items() if name != "file"}
        for each in _each(place, variables):
            yield path.parent / given["file"], each


def _each(place: str, variables: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    lists = {name: value for name, value in variables.items() if isinstance(value, list)}
    lengths = {len(value) for value in lists.values()}
    if len(lengths) > 1:
        raise ConfigurationError(f"{place}: expected lists of one length, got {lists}")
    for index in range(lengths.pop() if lengths else 1):
        yield {
            name: str(value[index] if name in lists else value) for name, value in variables.items()
        }


def _replaced(value: Any, variables: Mapping[str, str], path: Path, place: str) -> Any:
    """Return a value with the variables in all its texts and keys replaced."""
    if isinstance(value, dict):
        return {
            _text(key, variables, path, place): _replaced(
                inner, variables, path, f"{place}.{key}".lstrip(".")
            )
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_replaced(inner, variables, path, place) for inner in value]
    return _text(value, variables, path, place) if isinstance(value, str) else value


def _text(text: str, variables: Mapping[str, str], path: Path, place: str) -> Text:
    def replace(match: re.Match[str]) -> str:
        if match[0].startswith("$$"):
            return match[0][1:]
        if match[1] not in variables:
            known = ", ".join(sorted(variables)) or "none"
            raise ConfigurationError(
                f"{path}: {place}: expected a variable of {known}, got ${{{match[1]}}}"
            )
        return variables[match[1]]

    replaced = Text(_VARIABLE.sub(replace, text))
    # A link stays one: it may lead to another version later.
    replaced.folder = Path(os.path.abspath(path)).parent
    return replaced
