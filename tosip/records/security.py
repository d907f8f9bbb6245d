"""Who may write which records, and a log line for every write, with who and from where."""

import ctypes
import itertools
import logging
from pathlib import Path
from typing import Any

from softioc import fields, imports

from tosip.errors import ConfigurationError
from tosip.records import limits

# Everybody may do everything, and it is logged.
DEFAULT_FILE = Path(__file__).with_name("default.acf")

LONGEST_LOGGED = 200  # characters of a text that are logged

puts = logging.getLogger("tosip.puts")


class _Message(ctypes.Structure):
    """EPICS's asTrapWriteMessage; `channel` is a dbChannel, which begins with its name."""

    _fields_ = (
        ("user", ctypes.c_char_p),
        ("host", ctypes.c_char_p),
        ("channel", ctypes.POINTER(ctypes.c_char_p)),
        ("ours", ctypes.c_void_p),
    )


_LISTENER = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Message), ctypes.c_int)


def use_access_security(file: Path | None) -> None:
    """Use an EPICS access security file, before the IOC starts; ConfigurationError if it is none.

    Writes that its rules mark with TRAPWRITE are logged, and alarm limits act at once; without a
    file all are.
    """
    if file is not None and not file.is_file():
        raise ConfigurationError(f"--acf: expected a file, got none at {file}")
    path = str(file or DEFAULT_FILE).encode()
    # Once to see whether it is right; EPICS itself reads it when the IOC starts, and goes on
    # without any security if it is not. It adds its records then, if none were active before.
    if imports.dbCore.asInitFile(path, None):
        raise ConfigurationError(f"--acf: {file}: expected EPICS access security rules (see above)")
    ctypes.c_int.in_dll(imports.Com, "asActive").value = 0
    imports.dbCore.asSetFilename(path)
    imports.dbCore.asTrapWriteRegisterListener(_LISTENING)


_numbers = itertools.count(1)
_before: dict[int, str] = {}  # what records held before the writes that are going on
_writers: dict[str, str] = {}  # by record: who has written it last


def writer(record: str) -> str:
    """Return who has written a record last, as far as the rules trap its writes."""
    return _writers.get(record, "somebody")


def _on_write(message: Any, after: int) -> None:
    """Log a write when it is done; EPICS calls this in the thread of the client."""
    said = message.contents
    name = said.channel[0].decode(errors="replace")
    user, host = (part.decode(errors="replace") for part in (said.user, said.host))
    if not after:
        _writers[name.partition(".")[0]] = f"{user}@{host}"
        said.ours = next(_numbers)
        _before[said.ours] = _value(name)
        return
    puts.info("%s@%s %s: %s -> %s", user, host, name, _before.pop(said.ours, "?"), _value(name))
    limits.written(name)


_LISTENING = _LISTENER(_on_write)  # EPICS calls it for as long as the process lives


def _value(name: str) -> str:
    text = ctypes.create_string_buffer(LONGEST_LOGGED)
    try:
        record = name.partition(".")[0]
        # Not asked of others: an mbbo has a choice's number in a field of that name.
        kind = _text_of(f"{record}.FTVL") if _text_of(f"{record}.RTYP") == "waveform" else ""
        if kind == "CHAR" and "." not in name:
            imports.db_get_field(name, fields.DBF_CHAR, ctypes.addressof(text), LONGEST_LOGGED - 1)
            return repr(text.value.decode(errors="replace"))
        return f"an array of {kind}" if kind and "." not in name else _text_of(name)
    except RuntimeError:  # nothing that EPICS has a text for
        return "?"


def _text_of(name: str) -> str:
    text = ctypes.create_string_buffer(40)
    imports.db_get_field(name, fields.DBF_STRING, ctypes.addressof(text), 1)
    return text.value.decode(errors="replace")
