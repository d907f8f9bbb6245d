"""The user's code as text: the modules that a worker imports, so that others can run the very same.

A worker reads the algorithm's file, and every module beside it that is imported at any time,
through `OwnModules`, which reports each text to the IOC. A worker that is started later for the
same plugin is given these texts and does not read the files, which may have changed meanwhile. A
module has one text for the whole life of a worker. Compiled files are neither read nor written:
they are told apart by whole seconds, and an author may save more often.
"""

from __future__ import annotations

import hashlib
import importlib.util
import linecache
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, Callable

_OURS = "tosip."


class Source(SourceFileLoader):
    """One module's text; it loads the module, and reads the resources of a package from its folder.

    `to_plain` returns what messages hold: `file`, `package` (whether it is one) and `text`.
    """

    def __init__(self, name: str, file: str, package: bool, text: str) -> None:
        super().__init__(name, file)
        self.file = file
        self.package = package
        self.text = text

    @classmethod
    def read(cls, name: str, file: str, package: bool) -> Source:
        """Read a file; SyntaxError if it is no text."""
        with open(file, "rb") as opened:
            data = opened.read()
        try:
            return cls(name, file, package, importlib.util.decode_source(data))
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise SyntaxError(f"expected text, got {error}", (file, line, None, None)) from None
        except SyntaxError as error:  # an encoding that is none
            error.filename, error.lineno = file, error.lineno or 1
            raise

    def spec(self) -> ModuleSpec | None:
        """Return how the module is made of this text."""
        folders = [os.path.dirname(self.file)] if self.package else None
        return importlib.util.spec_from_file_location(
            self.name, self.file, loader=self, submodule_search_locations=folders
        )

    def compiled(self) -> CodeType:
        """Compile the text; SyntaxError with file and line if it is no Python."""
        try:
            code: CodeType = compile(self.text, self.file, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:  # ValueError: of a NUL, in older Pythons
            if isinstance(error, SyntaxError) and error.filename:
                raise
            line = self.text.partition("\0")[0].count("\n") + 1
            raise SyntaxError(str(error), (self.file, line, None, None)) from None
        return code

    def get_code(self, _name: str) -> CodeType:
        """Return the compiled text, which the import system runs."""
        lines = self.text.splitlines(keepends=True)
        linecache.cache[self.file] = (len(self.text), None, lines, self.file)  # for tracebacks
        return self.compiled()

    def get_source(self, _name: str) -> str:
        """Return the text, for `inspect`."""
        return self.text

    def to_plain(self) -> dict[str, Any]:
        """Return what a message says about the module."""
        return {"file": self.file, "package": self.package, "text": self.text}


class OwnModules(MetaPathFinder):
    """Finds the algorithm's own modules: those in its file's folder and below, and TOSIP's.

    If the algorithm is the `module` of an installed package, its own modules are the package's.

    `given` holds the texts that another worker of the plugin runs, by module: they are used, not
    the files. `on_found` is called with each module's text before it runs, in the thread that
    imports it. If the algorithm's file is a link, the folder of the file that it leads to counts,
    too.
    """

    def __init__(
        self,
        file: str,
        given: Mapping[str, Any],
        on_found: Callable[[Source], None],
        module: str = "",
    ) -> None:
        self.module = module
        self._package = module.partition(".")[0]
        self._file = file
        self.folders = _folders(file)
        self._given: dict[str, Source] = {}
        self._found: dict[str, Source] = {}
        self._on_found = on_found
        for name, each in given.items():
            self.give(Source(name, each["file"], each["package"], each["text"]))

    def give(self, source: Source) -> None:
        """Use this text for a module that has not been found yet."""
        self._given.setdefault(source.name, source)

    def read_again(self, modules: Mapping[str, Any]) -> None:
        """Read modules that the running version has imported late, as this one may do, too.

        SyntaxError or ValueError if one of them cannot run. One whose file is gone is left out.
        """
        for name, each in modules.items():
            known = name in self._found or name in self._given
            if not known and os.path.isfile(each["file"]):
                source = Source.read(name, each["file"], each["package"])
                self._keep(source)
                source.compiled()

    def main(self, name: str) -> ModuleSpec | None:
        """Return how the algorithm's own file is imported, as module `name`."""
        source = self._given.get(name) or Source.read(name, self._file, False)
        return self._keep(source).spec()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module beside the algorithm; None leaves it to Python."""
        source = self._given.get(fullname) or self._beside(fullname, path)
        if source is None:
            return self._namespace(fullname)
        return self._keep(source).spec()

    def _keep(self, source: Source) -> Source:
        if source.name not in self._found:
            self._found[source.name] = source
            if self._given.get(source.name) is not source:
                self._on_found(source)
        return source

    def _beside(self, fullname: str, path: Sequence[str] | None) -> Source | None:
        if fullname in sys.builtin_module_names:
            return None
        if self._package:  # sys.path if there is no path: the package's own name is found there
            own = fullname.startswith(_OURS) or fullname.partition(".")[0] == self._package
            spec = PathFinder.find_spec(fullname, path) if own else None
        else:
            if not fullname.startswith(_OURS):
                path = [each for each in self._search(path) if self._is_beside(each)]
            spec = PathFinder.find_spec(fullname, path) if path else None
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return None
        known = self._found.get(fullname)
        if known and known.file == spec.origin:
            return known
        return Source.read(fullname, spec.origin, spec.submodule_search_locations is not None)

    def _search(self, path: Sequence[str] | None) -> Iterable[str]:
        """Return where Python would search, the algorithm's folders first."""
        if path is not None:
            return path
        return [*self.folders, *(each for each in sys.path if isinstance(each, str))]

    def _is_beside(self, path: str) -> bool:
        within = os.path.join(path, "")
        return any(
            within.startswith(folder) and "-packages" not in within[len(folder) :]
            for folder in self.folders
        )

    def files(self) -> set[str]:
        """Return the files of the modules that were imported."""
        return {source.file for source in self._found.values()}

    def _namespace(self, fullname: str) -> ModuleSpec | None:
        """Make a package without a file for given modules in it, as its folder may be gone."""
        below = [each for name, each in self._given.items() if name.startswith(f"{fullname}.")]
        if not below or PathFinder.find_spec(fullname, self.folders):
            return None
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [os.path.dirname(below[0].file)]
        return spec

    def install(self) -> None:
        """Let imports use it, before all else."""
        sys.meta_path.insert(0, self)


def _folders(file: str) -> list[str]:
    """Return the folder of a file, and that of the file that it is a link to, with a slash."""
    places = [os.path.abspath(file), os.path.realpath(file)]
    return list(dict.fromkeys(os.path.join(os.path.dirname(each), "") for each in places))


def text_digest(text: str) -> str:
    """Return the SHA-256 of a module's text, hexadecimal."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
