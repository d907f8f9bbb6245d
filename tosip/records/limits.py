"""Alarm limits that operators have changed, kept by softioc's autosave.

softioc reads a field as the text that EPICS makes of it, with as many digits as the record shows:
a limit of 0.0004 on a record with a precision of 3 would come back as 0. Here limits are read as
numbers. All limits of a record are one entry of the file: reading it is most of a restart's work.
"""

import ctypes
import logging
from collections.abc import Callable, Mapping
from typing import Any

from softioc import autosave, fields, imports

from tosip.records.autosaving import TAKEN

NUMBERS = ("HIHI", "HIGH", "LOW", "LOLO", "HYST")
SEVERITIES = ("HHSV", "HSV", "LSV", "LLSV")
LABELS = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")

log = logging.getLogger(__name__)

Number = int | float

_changed: dict[str, Callable[[], None]] = {}  # by record


def keep_limits(
    record: Any, configured: Mapping[str, Any], changed: Callable[[], None], *, whole: bool
) -> None:
    """Let autosave keep the alarm limits of a numeric softioc record, a `whole` one of integers.

    `configured` are its limits by EPICS's names. `changed` is called, in the client's thread, when
    one has been written.
    """
    autosave.add_pv_to_autosave(_Limits(record, configured, whole), f"{record.name}.limits", True)
    _changed[record.name] = changed


def written(pv: str) -> None:
    """Know that a client has written `pv`, which may be a limit of a record."""
    record, _, field = pv.partition(".")
    if field in NUMBERS + SEVERITIES and record in _changed:
        _changed[record]()


class _Limits:
    """What softioc's autosave gets and sets: `HIHI 5.0 HHSV MAJOR ...`."""

    def __init__(self, record: Any, configured: Mapping[str, Any], whole: bool) -> None:
        self._record = record
        self._name: str = record.name
        self._whole = whole
        self._configured = dict.fromkeys(NUMBERS, 0) | dict.fromkeys(SEVERITIES, LABELS[0])
        self._configured |= configured

    def get(self) -> str:
        """Read the limits of the running record."""
        numbers = [(name, repr(self._number(name))) for name in NUMBERS]
        severities = [(name, LABELS[self._choice(name)]) for name in SEVERITIES]
        return " ".join(f"{name} {value}" for name, value in numbers + severities)

    def set(self, text: str) -> None:
        """Set the limits of the record before the IOC runs; the log says what is none."""
        try:
            words = text.split()
            limits = dict(_limit(*pair) for pair in zip(words[::2], words[1::2], strict=True))
        except (AttributeError, ValueError) as error:
            log.warning("%s: kept %r are no alarm limits: %s", self._name, text, error)
            return
        for name, value in limits.items():
            setattr(self._record, name, value)
            if value != self._configured[name]:
                log.info(TAKEN, f"{self._name}.{name}", value, self._configured[name])

    def _number(self, name: str) -> Number:
        # As an integer where the record has integers: a float would round those above 2**53.
        value = ctypes.c_int64() if self._whole else ctypes.c_double()
        self._get(name, fields.DBF_INT64 if self._whole else fields.DBF_DOUBLE, value)
        return value.value

    def _choice(self, name: str) -> int:
        value = ctypes.c_uint16()
        self._get(name, fields.DBF_ENUM, value)
        return value.value

    def _get(self, name: str, kind: int, value: Any) -> None:
        imports.db_get_field(f"{self._name}.{name}", kind, ctypes.addressof(value), 1)


def _limit(name: str, text: str) -> tuple[str, Number | str]:
    if name in SEVERITIES and text in LABELS:
        return name, text
    if name not in NUMBERS:
        raise ValueError(f"expected one of {', '.join(NUMBERS + SEVERITIES)}, got {name}")
    try:
        return name, int(text)
    except ValueError:
        number = float(text)
        return name, int(number) if number.is_integer() else number
