"""How clients learn that a write was refused: the put fails, and a record says why.

EPICS takes a value into the record before device support sees it, so a record that goes on working
has no return code left for the client. A client that waits has a `processNotify`, though, which the
record points to until it is done: its status is what Channel Access and PVAccess report.
"""

import ctypes
import functools

from softioc import alarm, builder, imports

from tosip.housekeeping import WRITE_MESSAGE
from tosip.records.values import READBACKS, checked

_NOTIFY_ERROR = 2  # EPICS: notifyError, in dbNotify.h


class _Address(ctypes.Structure):
    """The first member of EPICS's dbAddr; the others are room for EPICS to write to."""

    _fields_ = (("record", ctypes.c_void_p), ("rest", ctypes.c_byte * 248))


class _Notify(ctypes.Structure):
    """The first members of EPICS's processNotify, in dbNotify.h."""

    _fields_ = (
        ("next", ctypes.c_void_p),
        ("previous", ctypes.c_void_p),
        ("is_on_list", ctypes.c_int),
        ("private", ctypes.c_void_p),
        ("status", ctypes.c_int),
        ("was_processed", ctypes.c_int),
    )


def fail_put(name: str) -> None:
    """Let the put that the record `name` is working on fail, if its client waits for the end."""
    address = _Address()
    if imports.dbCore.dbNameToAddr(name.encode(), ctypes.byref(address)):
        raise LookupError(f"{name}: expected a record of this IOC")
    record = ctypes.c_void_p(address.record)
    imports.dbCore.dbScanLock(record)  # or the client's end could free what is written to
    try:
        pointer = ctypes.c_void_p.from_address(address.record + _notify_offset())
        notify = _Notify.from_address(pointer.value) if pointer.value else None
        if notify and notify.was_processed:  # or it is of a client whose turn comes after this put
            notify.status = _NOTIFY_ERROR
    finally:
        imports.dbCore.dbScanUnlock(record)


@functools.cache
def _notify_offset() -> int:
    offset: int = imports.get_field_offsets("ao")["PPN"][0]  # it is the same in all records
    return offset


class WriteMessage:
    """The record that says why the last write to a part was refused; empty when it was not.

    `prefix` is what the names of the part's records begin with.
    """

    def __init__(self, prefix: str) -> None:
        field = WRITE_MESSAGE.field
        self._length = field.length
        self._refused = False
        self._record = builder.longStringIn(
            checked(prefix + WRITE_MESSAGE.readback),
            length=field.length + 1,
            DESC=field.short_doc,
            ASG=READBACKS,
        )

    def refused(self, reason: str) -> None:
        """Show why a write was refused, in alarm."""
        self._refused = True
        text = reason.encode()[: self._length].decode(errors="ignore")
        self._record.set(text, alarm.MINOR_ALARM, alarm.WRITE_ALARM)

    def accepted(self) -> None:
        """Show that the last write was good."""
        if self._refused:
            self._refused = False
            self._record.set("")


class WriteMessages(dict[str, WriteMessage]):
    """The messages of all parts, by prefix; each is made when it is first asked for."""

    def __missing__(self, prefix: str) -> WriteMessage:
        self[prefix] = made = WriteMessage(prefix)
        return made
