"""Alarm limits that operators have changed, kept by softioc's autosave.

softioc reads a field as the text that EPICS makes of it, with as many digits as the record shows:
a limit of 0.0004 on a record with a precision of 3 would come back as 0. Here limits are read as
numbers. All limits of a record are one entry of the file: reading it is most of a restart's work.
"""

import ctypes
from collections.abc import Callable
from typing import Any

from softioc import autosave, fields, imports

NUMBERS = ("HIHI", "HIGH", "LOW", "LOLO", "HYST")
SEVERITIES = ("HHSV", "HSV", "LSV", "LLSV")
LABELS = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")


_changed: dict[str, Callable[[], None]] = {}  # by record


def keep_limits(record: Any, changed: Callable[[], None]) -> None:
    """Let autosave keep the alarm limits of a numeric softioc record.

    `changed` is called, in the client's thread, when one has been written.
    """
    autosave.add_pv_to_autosave(_Limits(record), f"{record.name}.limits", True)
    _changed[record.name] = changed


def written(pv: str) -> None:
    """Know that a client has written `pv`, which may be a limit of a record."""
    record, _, field = pv.partition(".")
    if field in NUMBERS + SEVERITIES and record in _changed:
        _changed[record]()


class _Limits:
    """What softioc's autosave gets and sets: `HIHI 5.0 HHSV MAJOR ...`."""

    def __init__(self, record: Any) -> None:
        self._record = record
        self._name: str = record.name

    def get(self) -> str:
        """Read the limits of the running record."""
        numbers = [(name, repr(self._number(name))) for name in NUMBERS]
        severities = [(name, LABELS[self._choice(name)]) for name in SEVERITIES]
        return " ".join(f"{name} {value}" for name, value in numbers + severities)

    def set(self, text: str) -> None:
        """Set the limits of the record before the IOC runs; ValueError if they are none."""
        words = text.split()
        for name, value in zip(words[::2], words[1::2], strict=True):
            if name in SEVERITIES and value in LABELS:
                setattr(self._record, name, value)
            elif name in NUMBERS:
                number = float(value)
                setattr(self._record, name, int(number) if number.is_integer() else number)
            else:
                raise ValueError(f"{self._name}: expected alarm limits, got {text!r}")

    def _number(self, name: str) -> float:
        value = ctypes.c_double()
        self._get(name, fields.DBF_DOUBLE, value)
        return value.value

    def _choice(self, name: str) -> int:
        value = ctypes.c_uint16()
        self._get(name, fields.DBF_ENUM, value)
        return value.value

    def _get(self, name: str, kind: int, value: Any) -> None:
        imports.db_get_field(f"{self._name}.{name}", kind, ctypes.addressof(value), 1)
