"""What the workers of one plugin run: texts of modules, digests of data files, and their hash."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tosip.errors import ProtocolError
from tosip.pipeline.worker.code import text_digest

MOST_CHARACTERS = 64 * 1024**2  # of all modules: a worker may send anything


class Code:
    """The code of all workers that share it; it grows when one of them imports another module.

    `modules` holds `file`, `package` and `text` by module, `data` the SHA-256 of data files by
    path, relative to `folder`; `hash` covers all of them. `again` names modules (`file` and
    `package` of each) that an older version has imported late: newer code may do so, too, and reads
    them with the rest. `mixed` says that workers have read different data. `on_module` lists
    functions to call with the name of each added module.
    """

    def __init__(
        self,
        folder: Path,
        modules: Mapping[str, Any] | None = None,
        again: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.again = dict(again or {})
        self.modules: dict[str, Mapping[str, Any]] = {}
        self.data: Mapping[str, str] = {}
        self.hash = ""
        self.mixed = False
        self.on_module: list[Callable[[str], None]] = []
        self._late = set(self.again)
        self._loaded = False
        self._digests: dict[str, str] = {}
        for name, module in (modules or {}).items():
            self._put(name, module)
        self._renew_hash()

    def add(self, name: str, module: Mapping[str, Any], finder: Callable[[str], None]) -> bool:
        """Add a module that a worker has found; False if the others run another text of it.

        All but `finder` of `on_module` are called. ProtocolError if the texts become too long.
        """
        if name in self.modules:
            return bool(self.modules[name]["text"] == module["text"])
        if sum(len(each["text"]) for each in self.modules.values()) > MOST_CHARACTERS:
            raise ProtocolError(f"code: expected at most {MOST_CHARACTERS} characters, got more")
        self._put(name, module)
        if self._loaded:
            self._late.add(name)
        self._renew_hash()
        for listener in tuple(self.on_module):
            if listener != finder:
                listener(name)
        return True

    def _put(self, name: str, module: Mapping[str, Any]) -> None:
        self.modules[name] = module
        self._digests[name] = text_digest(module["text"])

    def loaded(self, data: Mapping[str, Any]) -> None:
        """Note that a worker has loaded the algorithm, when its data files had these digests."""
        digests = {str(path): str(digest) for path, digest in data.items()}
        self.mixed = self.mixed or (self._loaded and digests != self.data)
        self.data = digests
        self._loaded = True
        self._renew_hash()

    @property
    def late(self) -> dict[str, dict[str, Any]]:
        """The modules that were imported after the algorithm was loaded, for `again`."""
        return {
            name: {"file": module["file"], "package": module["package"]}
            for name, module in self.modules.items()
            if name in self._late
        }

    def _renew_hash(self) -> None:
        whole = hashlib.sha256()
        for name, digest in [*sorted(self._digests.items()), *sorted(self.data.items())]:
            whole.update(f"{name} {digest}\n".encode(errors="surrogatepass"))
        self.hash = whole.hexdigest()[:12]

    def texts(self) -> dict[str, str]:
        """Return the SHA-256 of every module's text, by its file's whole path."""
        return {module["file"]: self._digests[name] for name, module in self.modules.items()}

    def data_files(self) -> dict[str, str]:
        """Return the SHA-256 of every data file by its whole path."""
        return {os.path.join(self.folder, path): digest for path, digest in self.data.items()}
