"""What the user's code raised, in words: the cause and its place first, the traceback below.

    ValueError: flat field of night 12 not found (mine.py:31)
    caused by KeyError: 12 (tables.py:8)
    Traceback (most recent call last):
      ...

The place is the innermost line of the user's own files, even if NumPy raised the error. Frames of
TOSIP are left out of the traceback.
"""

from __future__ import annotations

import builtins
import os
import sys
import traceback
from collections.abc import Collection, Iterator

import tosip

LONGEST_REPORT = 16 * 1024  # characters; the beginning is kept
LONGEST_LINE = 1000  # characters of a cause, so that its place is kept
MOST_CAUSES = 5
MOST_MEMBERS = 10  # of an exception group

_PACKAGE = os.path.join(os.path.dirname(os.path.abspath(tosip.__file__)), "")
_GROUP = getattr(builtins, "BaseExceptionGroup", ())  # Python 3.11


def words(error: BaseException) -> str:
    """Return `Type: text`; the type alone for an error without text, or whose text raises."""
    try:
        text = _text(error)
    except BaseException:  # noqa: BLE001 (the user's __str__ may raise anything)
        text = ""
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _text(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return str(error.msg)  # its str() repeats the place
    text = str(error).strip()
    if isinstance(error, ModuleNotFoundError) and error.name:
        text += f" in {sys.executable}"
    return text


def report(error: BaseException, files: Collection[str]) -> str:
    """Describe an error; `files` are those of the user, as code objects name them."""
    lines = [_cause(error, files)]
    try:
        members = list(_members(error))
        lines += [f"  {_cause(member, files)}" for member in members[:MOST_MEMBERS]]
        lines += [f"{link} {_cause(cause, files)}" for link, cause in _causes(error)]
        lines.append(_trace(error, files))
    except Exception as fault:  # noqa: BLE001 (too many causes of causes, for example)
        lines.append(f"no traceback: {type(fault).__name__}")
    return "\n".join(lines).rstrip()[:LONGEST_REPORT]


def _cause(error: BaseException, files: Collection[str]) -> str:
    first, newline, rest = words(error).partition("\n")
    place = _place(error, files)
    return first[:LONGEST_LINE] + (f" ({place})" if place else "") + newline + rest


def _place(error: BaseException, files: Collection[str]) -> str:
    if isinstance(error, SyntaxError) and error.filename and not error.filename.startswith("<"):
        column = f":{error.offset}" if error.offset else ""
        return f"{os.path.basename(error.filename)}:{error.lineno}{column}"
    places = [
        f"{os.path.basename(frame.f_code.co_filename)}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename in files
    ]
    return places[-1] if places else ""


def _members(error: BaseException) -> Iterator[BaseException]:
    if not isinstance(error, _GROUP):
        return
    for member in error.exceptions:  # type: ignore[attr-defined, unused-ignore]
        yield member
        yield from _members(member)


def _causes(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    seen = {id(error)}
    cause: BaseException | None = error
    while len(seen) <= MOST_CAUSES and cause is not None:
        if cause.__cause__ is not None:
            link, cause = "caused by", cause.__cause__
        else:
            link, cause = "while handling", _context(cause)
        if cause is None or id(cause) in seen:
            return
        seen.add(id(cause))
        yield link, cause


def _context(error: BaseException) -> BaseException | None:
    return None if error.__suppress_context__ else error.__context__


def _trace(error: BaseException, files: Collection[str]) -> str:
    described = traceback.TracebackException(type(error), error, error.__traceback__)
    shown = _leave_ours_out(described, files, set())
    return "".join(described.format()) if shown or isinstance(error, SyntaxError) else ""


def _leave_ours_out(
    described: traceback.TracebackException, files: Collection[str], seen: set[int]
) -> bool:
    """Remove TOSIP's frames, also from the causes; return whether any frame is left."""
    seen.add(id(described))
    kept = [frame for frame in described.stack if not _is_ours(frame.filename, files)]
    described.stack = traceback.StackSummary.from_list(kept)
    shown = bool(kept)
    others = [described.__cause__, described.__context__]
    others += getattr(described, "exceptions", None) or []
    for other in others:
        if other is not None and id(other) not in seen:
            shown |= _leave_ours_out(other, files, seen)
    return shown


def _is_ours(file: str, files: Collection[str]) -> bool:
    # The algorithms that TOSIP ships are in its package, and files of the user all the same.
    return file.startswith("<frozen importlib") or (file.startswith(_PACKAGE) and file not in files)
