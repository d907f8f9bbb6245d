"""Finds the algorithm's class in the user's file."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from tosip.algorithm import Algorithm
from tosip.errors import DeclarationError
from tosip.pipeline.worker.code import OwnModules


def load_class(file: str, class_name: str | None, modules: OwnModules) -> type[Algorithm[Any, Any]]:
    """Import `file`, with `modules` for what it imports, and return the algorithm that it defines.

    Whatever the file raises comes through; DeclarationError if there is no such class, or several
    and no `class_name`.
    """
    module = _import_module(modules) if modules.module else _import(file, modules)
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
        choice = f", or {base}:CLASS (class_name in a configuration)" if found else ""
        raise DeclarationError([f"{base}: expected one Algorithm{choice}, got {_list(found)}"])
    return next(iter(found.values()))


def _import_module(modules: OwnModules) -> ModuleType:
    """Import the module of an installed package."""
    modules.install()
    return importlib.import_module(modules.module)


def _import(file: str, modules: OwnModules) -> ModuleType:
    name, ending = os.path.splitext(os.path.basename(file))
    if ending != ".py":
        raise DeclarationError([f"{os.path.basename(file)}: expected a Python file"])
    if name in sys.modules or _is_pythons_own(name):
        raise DeclarationError(
            [f"{os.path.basename(file)}: expected a name that is no Python module's, got {name}"]
        )
    spec = modules.main(name)
    if spec is None or spec.loader is None:
        raise DeclarationError([f"{os.path.basename(file)}: expected a Python file"])
    module = importlib.util.module_from_spec(spec)
    sys.path[:0] = [os.path.dirname(folder) for folder in modules.folders]  # for modules beside it
    modules.install()
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _is_pythons_own(name: str) -> bool:
    known = getattr(sys, "stdlib_module_names", None)
    if known is None:  # Python 3.9: look where its library is, and nowhere else
        library = os.path.dirname(os.__file__)
        found = PathFinder.find_spec(name, [library, os.path.join(library, "lib-dynload")])
        return name in sys.builtin_module_names or found is not None
    return name in known


def _list(found: dict[str, Any]) -> str:
    return ", ".join(found) or "none"
