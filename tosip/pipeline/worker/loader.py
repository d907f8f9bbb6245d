"""Finds the algorithm's class in the user's file."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

from tosip.algorithm import Algorithm
from tosip.errors import DeclarationError


def load_class(file: str, class_name: str | None) -> type[Algorithm[Any, Any]]:
    """Import `file` and return the algorithm that it defines.

    Whatever the file raises comes through; DeclarationError if there is no such class, or several
    and no `class_name`.
    """
    module = _import(file)
    found = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Algorithm)
        and value.__module__ == module.__name__
    }
    base = os.path.basename(file)
    if class_name is not None:
        if class_name not in found:
            raise DeclarationError(
                [f"{base}: expected class {class_name}(Algorithm[...]), got {_list(found)}"]
            )
        return found[class_name]
    if len(found) != 1:
        raise DeclarationError(
            [f"{base}: expected one Algorithm, or {base}:CLASS, got {_list(found)}"]
        )
    return next(iter(found.values()))


def code_hash(file: str) -> str:
    """Return the SHA-256 of the file, its first 12 hexadecimal digits."""
    with open(file, "rb") as source:
        return hashlib.sha256(source.read()).hexdigest()[:12]


def _import(file: str) -> ModuleType:
    name = os.path.splitext(os.path.basename(file))[0]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise DeclarationError([f"{os.path.basename(file)}: expected a Python file"])
    if name in sys.modules or name in getattr(sys, "stdlib_module_names", ()):
        raise DeclarationError(
            [f"{os.path.basename(file)}: expected a name that is no Python module's, got {name}"]
        )
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(os.path.abspath(file)))  # for modules beside it
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _list(found: dict[str, Any]) -> str:
    return ", ".join(found) or "none"
