"""One described value becomes one softioc record.

`Readback` and `Figure` are the records that show a value, `demand_record` makes the one that
operators write. Which record type a kind of value gets, and how plain values are written to it and
read from it, is decided here and nowhere else.
"""

from collections.abc import Callable, Sequence
from typing import Any

from softioc import alarm, builder

from tosip.description import Alarm, Field, Kind, Severity
from tosip.errors import ConfigurationError
from tosip.names import LONGEST_RECORD
from tosip.pipeline.epics_time import within_epics
from tosip.records.limits import keep_limits
from tosip.texts import beginning, is_utf8, printable

LONGEST_STRING = 39  # EPICS: stringin, stringout

# EPICS has these; softioc's builder has no names for them.
builder.NumpyDtypeToDbf |= {"int64": "INT64", "uint64": "UINT64"}

# EPICS's access security groups, for the file given with --acf: what is only shown, the outputs
# (whose alarm limits can be changed), the inputs of algorithms, and all other settings.
READBACKS, OUTPUTS, INPUTS, SETTINGS = "READBACKS", "OUTPUTS", "INPUTS", "SETTINGS"

_SEVERITIES = {
    Severity.NO_ALARM: alarm.NO_ALARM,
    Severity.MINOR: alarm.MINOR_ALARM,
    Severity.MAJOR: alarm.MAJOR_ALARM,
    Severity.INVALID: alarm.INVALID_ALARM,
}

_NOTHING = object()


class Readback:
    """The record that shows one value, `initial` from the start; `shown` is the present one.

    Two choices are binary unless they are to be `multi`, a record that has room for more.
    """

    def __init__(self, name: str, field: Field, initial: Any, *, multi: bool = False) -> None:
        self.name = checked(name)
        self.field = field
        self.shown = initial
        options = {
            "DESC": field.short_doc,
            "ASG": READBACKS,
            "initial_value": _readable(field, initial),
        }
        self._record = _READBACKS[_type(field, multi)](name, field, options)

    def set(self, plain: Any) -> None:
        """Show a plain value."""
        self._record.set(_readable(self.field, plain))
        self.shown = plain

    def invalidate(self) -> None:
        """Keep the value but say that the present one could not be shown."""
        if self.shown is not _NOTHING:
            self.shown = _NOTHING  # whatever comes next is shown
            self._record.set_alarm(alarm.INVALID_ALARM, alarm.READ_ALARM)


class Figure:
    """The record that shows an output, with the time of the frame; INVALID until the first one."""

    def __init__(self, name: str, field: Field) -> None:
        self.name = checked(name)
        self.field = field
        options: dict[str, Any] = {
            "DESC": field.short_doc,
            "PINI": "NO",  # or it would be processed at the start, and valid
            "TSE": -2,  # EPICS: the device gives the time
            "DISP": 0,  # or operators could not change the alarm limits
            "ASG": OUTPUTS,
        }
        self._record = _READBACKS[_type(field)](name, field, options | _always_posted(field))
        self._given = False
        if field.kind in (Kind.INT, Kind.FLOAT):
            limits = _whole(field, _alarms(field.alarm))
            whole = field.kind is Kind.INT
            keep_limits(self._record, limits, self._look_again, whole=whole)

    def set(self, plain: Any, timestamp: float) -> None:
        """Show a plain value of the frame that was taken at `timestamp` (Unix seconds).

        A time that EPICS cannot hold would wrap to another year: the record keeps the nearest.
        """
        self._given = True
        self._record.set(to_record(self.field, plain), timestamp=within_epics(timestamp))

    def invalidate(self, timestamp: float) -> None:
        """Keep the value but say that the frame of `timestamp` gave none."""
        self._record.set_alarm(alarm.INVALID_ALARM, alarm.READ_ALARM, within_epics(timestamp))

    def expire(self, timestamp: float) -> None:
        """Keep the value and its frame's time but say that it is too old."""
        self._record.set_alarm(alarm.INVALID_ALARM, alarm.TIMEOUT_ALARM, within_epics(timestamp))

    def _look_again(self) -> None:
        """Compare the value with limits that have changed, not only at the next frame."""
        if self._given:  # or what was never known would be valid
            self._record.trigger()


def checked(name: str) -> str:
    """Refuse a record name that EPICS has no room for."""
    if len(name) > LONGEST_RECORD:
        raise ConfigurationError(
            f"{name}: expected a record name of at most {LONGEST_RECORD} characters, "
            f"got {len(name)}: choose a shorter prefix"
        )
    return name


def _type(field: Field, multi: bool = False) -> str:
    if field.kind is Kind.INT and field.bits == 64:
        return "int64"
    if field.kind is Kind.STR and field.length > LONGEST_STRING:
        return "text"
    if field.kind is Kind.ENUM and len(field.choices) == 2 and not multi:
        return "switch"
    return field.kind.value


def demand_record(name: str, field: Field, options: dict[str, Any], *, multi: bool = False) -> Any:
    """Make the softioc record that operators write."""
    return _DEMANDS[_type(field, multi)](name, field, options)


def to_record(field: Field, plain: Any) -> Any:
    """Return what a record holds for a plain value."""
    if field.kind is Kind.COMMAND:
        return 0
    if field.kind is Kind.STR:
        return _text(plain, field.length)
    return field.choices.index(plain) if field.kind is Kind.ENUM else plain


def _readable(field: Field, plain: Any) -> Any:
    """As `to_record`, for what is only shown: names of files may hold what terminals obey."""
    return to_record(field, printable(plain, "\n\t") if field.kind is Kind.STR else plain)


def _text(text: str, longest: int) -> str:
    """Return a text as a record takes it: in UTF-8, as a file's name need not be, and no longer."""
    return beginning(text if is_utf8(text) else printable(text, "\n\t"), longest)


def from_record(field: Field, value: Any) -> Any:
    """Return the plain value for what a record holds; not a value of the field if there is none."""
    if field.kind is Kind.ENUM:
        return field.choices[value] if 0 <= value < len(field.choices) else str(value)
    if field.kind is Kind.COMMAND or (field.kind is Kind.BOOL and value in (0, 1)):
        return bool(value)
    return value


def _limits(field: Field) -> dict[str, Any]:
    return {
        key: limit
        for key, limit in (("LOPR", field.low), ("HOPR", field.high))
        if limit is not None
    }


def _alarms(limits: Alarm | None) -> dict[str, Any]:
    if limits is None:
        return {}
    fields: dict[str, Any] = {"HYST": limits.hysteresis}
    for limit, severity, value, name in (
        ("HIHI", "HHSV", limits.hihi, limits.hihi_severity),
        ("HIGH", "HSV", limits.high, limits.high_severity),
        ("LOW", "LSV", limits.low, limits.low_severity),
        ("LOLO", "LLSV", limits.lolo, limits.lolo_severity),
    ):
        if value is not None:  # or the limit would be 0 and the severity none
            fields |= {limit: value, severity: name.value}
    return fields


def _always_posted(field: Field) -> dict[str, Any]:
    """Let clients see a new time stamp even where the value is the same as before."""
    if field.kind in (Kind.INT, Kind.FLOAT):
        return {"MDEL": -1, "ADEL": -1}
    if _type(field) == Kind.STR.value:
        return {"MPST": "Always", "APST": "Always"}
    return {}


def _number(field: Field) -> dict[str, Any]:
    shown: dict[str, Any] = {"EGU": field.units} if field.units else {}
    if field.kind is Kind.FLOAT:
        shown["PREC"] = field.precision
    return shown


def _choices(field: Field) -> Sequence[str | tuple[str, int]]:
    if not field.severities:
        return field.choices
    return [
        (label, _SEVERITIES[severity])
        for label, severity in zip(field.choices, field.severities, strict=True)
    ]


def _states(field: Field) -> dict[str, Any]:
    off, on = field.severities or (Severity.NO_ALARM, Severity.NO_ALARM)
    off_name, on_name = field.choices or ("No", "Yes")
    return {"ZNAM": off_name, "ONAM": on_name, "ZSV": off.value, "OSV": on.value}


def _wave(field: Field, more: int = 0) -> dict[str, Any]:
    shown: dict[str, Any] = {"EGU": field.units} if field.units else {}
    datatype = "uint8" if field.dtype == "bool" else field.dtype
    return {"length": field.length + more, "datatype": datatype, "PREC": field.precision, **shown}


def _shown(field: Field) -> dict[str, Any]:
    return _number(field) | _whole(field, _limits(field) | _alarms(field.alarm))


def _controlled(field: Field) -> dict[str, Any]:
    return _number(field) | _whole(field, _limits(field))


def _whole(field: Field, limits: dict[str, Any]) -> dict[str, Any]:
    """Make an integer record's limits integers: EPICS takes no 3.0 for them."""
    if field.kind is not Kind.INT:
        return limits
    return {k: round(v) if isinstance(v, float) else v for k, v in limits.items()}


_Factory = Callable[[str, Field, dict[str, Any]], Any]

_READBACKS: dict[str, _Factory] = {
    "int": lambda name, f, o: builder.longIn(name, **_shown(f), **o),
    "int64": lambda name, f, o: builder.int64In(name, **_shown(f), **o),
    "float": lambda name, f, o: builder.aIn(name, **_shown(f), **o),
    "bool": lambda name, f, o: builder.boolIn(name, **_states(f), **o),
    "switch": lambda name, f, o: builder.boolIn(name, **_states(f), **o),
    "enum": lambda name, f, o: builder.mbbIn(name, *_choices(f), **o),
    "str": lambda name, f, o: builder.stringIn(name, **o),
    "text": lambda name, f, o: builder.longStringIn(name, length=f.length + 1, **o),
    "array": lambda name, f, o: builder.WaveformIn(name, **_wave(f), **o),
}

_DEMANDS: dict[str, _Factory] = {
    "int": lambda name, f, o: builder.longOut(name, **_controlled(f), **o),
    "int64": lambda name, f, o: builder.int64Out(name, **_controlled(f), **o),
    "float": lambda name, f, o: builder.aOut(name, **_controlled(f), **o),
    "bool": lambda name, f, o: builder.boolOut(name, **_states(f), **o),
    "switch": lambda name, f, o: builder.boolOut(name, **_states(f), **o),
    "enum": lambda name, f, o: builder.mbbOut(name, *_choices(f), **o),
    "str": lambda name, f, o: builder.stringOut(name, **o),
    "text": lambda name, f, o: builder.longStringOut(name, length=f.length + 1, **o),
    # One element more: EPICS cuts what is too long, and it would look as if it were not.
    "array": lambda name, f, o: builder.WaveformOut(name, **_wave(f, 1), **o),
    "command": lambda name, f, o: builder.boolOut(name, ZNAM="Done", ONAM="Run", **o),
}
