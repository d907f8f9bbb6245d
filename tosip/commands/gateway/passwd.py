"""`tosip gateway passwd`: a line for the users file, printed or put there."""

import contextlib
import fcntl
import getpass
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tosip.configuration import placed
from tosip.errors import ConfigurationError
from tosip.gateway.users import users_line


def passwd(name: str, file: Path | None) -> int:
    """Ask for the password of `name`; print its line, or add or replace it in `file`."""
    password = _asked() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise ConfigurationError("passwd: expected a password, got none")
    with placed({"Users: ": "NAME: "}):
        line = users_line(name, password)
    if file is None:
        sys.stdout.write(f"{line}\n")
        return 0
    try:
        done = _put(file, name, line)
    except OSError as error:
        raise ConfigurationError(
            f"--file: expected a users file to write, got {file} ({error.strerror})"
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"--file: expected UTF-8, got other bytes in {file}") from None
    sys.stdout.write(f"{done} {name} in {file}\n")
    return 0


def _asked() -> str:
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise ConfigurationError("passwd: expected the same password twice, got two")
    return password


def _put(file: Path, name: str, line: str) -> str:
    """Replace the user's line, else add it; comments and other users stay as they are."""
    target = file.resolve()
    with _locked(target.parent):
        lines = target.read_text("utf-8").splitlines() if target.exists() else []
        places = [at for at, old in enumerate(lines) if old.strip().partition(":")[0] == name]
        kept = [old for at, old in enumerate(lines) if at not in places[1:]]
        if places:
            kept[places[0]] = line
        else:
            kept.append(line)
        _replace(target, "\n".join(kept) + "\n")
    return "changed" if places else "added"


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep another of us from writing what we have not read."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
        os.fsync(fd)
    finally:
        os.close(fd)


def _replace(target: Path, text: str) -> None:
    """Write the whole file or leave the old one; only its owner, who stays, may read it."""
    fd, path = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mode 0600
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            if target.exists():
                owner = target.stat()
                with contextlib.suppress(PermissionError):
                    os.fchown(fd, owner.st_uid, owner.st_gid)
            file.write(text)
            file.flush()
            os.fsync(fd)
        Path(path).replace(target)
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise
