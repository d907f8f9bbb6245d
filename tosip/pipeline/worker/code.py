"""The user's code as text: what a worker has imported, so that others can run the very same.

A worker reads the algorithm's file, and the modules beside it that it imports, through
`OwnModules`. It tells the IOC the texts; a worker that is started later for the same plugin is
given them and does not look at the files, which may have changed meanwhile. Compiled files are
neither read nor written: they are told apart by whole seconds, and an author may save more often.
"""

from __future__ import annotations

import hashlib
import importlib.util
import linecache
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_OURS = "tosip."


class Source(Loader):
    """One module's text; it loads the module."""

    def __init__(self, file: str, package: bool, text: str) -> None:
        self.file = file
        self.package = package
        self.text = text

    @classmethod
    def read(cls, file: str, package: bool) -> Source:
        """Read a file; SyntaxError if it is no text."""
        with open(file, "rb") as opened:
            data = opened.read()
        try:
            return cls(file, package, importlib.util.decode_source(data))
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise SyntaxError(f"expected text, got {error}", (file, line, None, None)) from None
        except SyntaxError as error:  # an encoding that is none
            error.filename, error.lineno = file, error.lineno or 1
            raise

    def spec(self, name: str) -> ModuleSpec | None:
        """Say how the module `name` is made of this text."""
        folders = [os.path.dirname(self.file)] if self.package else None
        return importlib.util.spec_from_file_location(
            name, self.file, loader=self, submodule_search_locations=folders
        )

    def exec_module(self, module: ModuleType) -> None:
        """Run the text."""
        lines = self.text.splitlines(keepends=True)
        linecache.cache[self.file] = (len(self.text), None, lines, self.file)  # for tracebacks
        try:
            code = compile(self.text, self.file, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:  # ValueError: of a NUL, in older Pythons
            if isinstance(error, SyntaxError) and error.filename:
                raise
            line = self.text.partition("\0")[0].count("\n") + 1
            raise SyntaxError(str(error), (self.file, line, None, None)) from None
        exec(code, module.__dict__)  # noqa: S102 (running the user's code is what workers do)

    def get_source(self, _name: str) -> str:
        """Return the text, for `inspect`."""
        return self.text


class OwnModules(MetaPathFinder):
    """Finds the algorithm's own modules: those in its file's folder, and TOSIP's beside the worker.

    With `given`, plain texts by module as another worker told them, they are taken from there.
    """

    def __init__(self, file: str, given: Mapping[str, Any]) -> None:
        self._file = file
        self._folder = os.path.join(os.path.dirname(os.path.abspath(file)), "")
        self._given = {
            name: Source(each["file"], each["package"], each["text"])
            for name, each in given.items()
        }
        self._loaded: dict[str, Source] = {}

    def main(self, name: str) -> ModuleSpec | None:
        """Say how the algorithm's own file is imported, as module `name`."""
        self._loaded[name] = self._given.get(name) or Source.read(self._file, False)
        return self._loaded[name].spec(name)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module beside the algorithm; None leaves it to Python."""
        source = self._given.get(fullname) or self._beside(fullname, path)
        if source is None:
            return None
        self._loaded[fullname] = source
        return source.spec(fullname)

    def _beside(self, fullname: str, path: Sequence[str] | None) -> Source | None:
        if fullname in sys.builtin_module_names:
            return None
        if not fullname.startswith(_OURS):
            path = [each for each in path or [self._folder] if self._is_beside(each)]
        spec = PathFinder.find_spec(fullname, path) if path else None
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return None
        return Source.read(spec.origin, spec.submodule_search_locations is not None)

    def _is_beside(self, path: str) -> bool:
        within = os.path.join(path, "")
        return within.startswith(self._folder) and "-packages" not in within[len(self._folder) :]

    def to_plain(self) -> dict[str, Any]:
        """Return what was imported, as `given` takes it."""
        return {
            name: {"file": source.file, "package": source.package, "text": source.text}
            for name, source in self._loaded.items()
        }

    def files(self) -> set[str]:
        """Return the files of what was imported."""
        return {source.file for source in self._loaded.values()}

    def digest(self) -> str:
        """Return the SHA-256 of all texts by module, its first 12 hexadecimal digits."""
        whole = hashlib.sha256()
        for name, source in sorted(self._loaded.items()):
            part = hashlib.sha256(source.text.encode(errors="surrogatepass")).hexdigest()
            whole.update(f"{name} {part}\n".encode(errors="surrogatepass"))
        return whole.hexdigest()[:12]

    def install(self) -> None:
        """Let imports use it, before all else."""
        sys.meta_path.insert(0, self)
