"""Finds Python interpreters on this machine: on the path, and where pyenv and uv keep theirs."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

# A pyenv shim may stand for nothing, and Debian's Python may lack ensurepip.
_USABLE = "import ensurepip, sys, venv; sys.exit(sys.version_info.releaselevel != 'final')"


def find_interpreter(*names: str) -> str | None:
    """Return the first released interpreter of these names that can make environments."""
    return next((str(path) for path in _candidates(names) if runs(path, _USABLE)), None)


def runs(python: str | Path, code: str) -> bool:
    """Whether the interpreter is there and runs `code` without an error."""
    try:
        return subprocess.run([python, "-c", code], capture_output=True, timeout=30).returncode == 0
    except OSError:
        return False


def _candidates(names: tuple[str, ...]) -> Iterator[str | Path]:
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # HOME may be anything in tests
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    for name in names:
        yield from filter(None, [shutil.which(name)])
        yield from sorted(pyenv.glob(f"versions/*/bin/{name}"), reverse=True)
        yield from sorted(home.glob(f".local/share/uv/python/*/bin/{name}"), reverse=True)
