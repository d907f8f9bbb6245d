"""Names as cameras write them, made into paths of a virtual namespace.

Nothing on our disk has a camera's name: the spool uses ids. A name only travels, to the archive and
to the pipeline. So it is checked for what could hurt there: a way out of the folder, characters
that break a command line or a Windows path, components that no file system takes.
"""

from __future__ import annotations

import unicodedata

from tosip.errors import TosipError

LONGEST_COMPONENT = 255
LONGEST_NAME = 1024


class NameRefusedError(TosipError, ValueError):
    """A name that the gateway does not accept; the message says why."""


def resolve_folder(current: tuple[str, ...], argument: str) -> tuple[str, ...]:
    """Return the folder that CWD or MKD means; `..` stops at the root, as in any chroot."""
    folder = [] if argument.startswith("/") else list(current)
    for part in argument.split("/"):
        if part == "..":
            del folder[-1:]
        elif part not in ("", "."):
            folder.append(_checked(part))
    return _fitting(tuple(folder))


def resolve_file(current: tuple[str, ...], argument: str) -> str:
    """Return the virtual path that STOR means, without a leading slash.

    `..` is refused here: a file that asks to lie outside its folder is a mistake or an attack.
    """
    parts = [part for part in argument.split("/") if part not in ("", ".")]
    if not parts or argument.endswith("/"):
        raise NameRefusedError("expected a file name, got none")
    folder = () if argument.startswith("/") else current
    return "/".join(_fitting((*folder, *map(_checked, parts))))


def _checked(part: str) -> str:
    if part == "..":
        raise NameRefusedError("expected a name inside the folder, got '..'")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in part):
        raise NameRefusedError("expected printable UTF-8, got a control character or a stray byte")
    if "\\" in part:
        raise NameRefusedError("expected '/' between folders, got a backslash")
    if part != part.strip():
        raise NameRefusedError("expected no blanks around a name, got some")
    if len(part.encode()) > LONGEST_COMPONENT:
        raise NameRefusedError(f"expected at most {LONGEST_COMPONENT} bytes a component, got more")
    return part


def _fitting(parts: tuple[str, ...]) -> tuple[str, ...]:
    if len("/".join(parts).encode()) > LONGEST_NAME:
        raise NameRefusedError(f"expected at most {LONGEST_NAME} bytes in all, got more")
    return parts
