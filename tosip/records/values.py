"""One described value becomes one softioc record.

`readback` makes the record that shows a value, `demand` the one that operators write. Which record
type a kind of value gets, and how plain values are written to it and read from it, is decided here
and nowhere else.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from softioc import alarm, builder

from tosip.description import Alarm, Field, Kind, Severity, same_value
from tosip.errors import ConfigurationError
from tosip.names import LONGEST_RECORD
from tosip.records.limits import keep_limits
from tosip.texts import beginning, is_utf8, printable

LONGEST_STRING = 39  # EPICS: stringin, stringout

_NOTHING = object()

# EPICS's access security groups, for the file given with --acf: what is only shown, the outputs
# (whose alarm limits can be changed), the inputs of algorithms, and all other settings.
READBACKS, OUTPUTS, INPUTS, SETTINGS = "READBACKS", "OUTPUTS", "INPUTS", "SETTINGS"

_SEVERITIES = {
    Severity.NO_ALARM: alarm.NO_ALARM,
    Severity.MINOR: alarm.MINOR_ALARM,
    Severity.MAJOR: alarm.MAJOR_ALARM,
    Severity.INVALID: alarm.INVALID_ALARM,
}


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
        self.shown = plain
        self._record.set(_readable(self.field, plain))


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
            keep_limits(self._record, self._look_again)

    def set(self, plain: Any, timestamp: float) -> None:
        """Show a plain value of the frame that was taken at `timestamp` (Unix seconds)."""
        self._given = True
        self._record.set(_to_record(self.field, plain), timestamp=timestamp)

    def invalidate(self, timestamp: float) -> None:
        """Keep the value but say that the frame of `timestamp` gave none."""
        self._record.set_alarm(alarm.INVALID_ALARM, alarm.READ_ALARM, timestamp)

    def expire(self, timestamp: float) -> None:
        """Keep the value and its frame's time but say that it is too old."""
        self._record.set_alarm(alarm.INVALID_ALARM, alarm.TIMEOUT_ALARM, timestamp)

    def _look_again(self) -> None:
        """Compare the value with limits that have changed, not only at the next frame."""
        if self._given:  # or what was never known would be valid
            self._record.trigger()


class Demand:
    """The record that operators write; `on_write` gets the plain value, on the event loop.

    What `on_write` returns, or what an awaitable that it returns comes to, is the value in force,
    which the record then shows: the old one, if the new one was refused. Autosave keeps a `saved`
    value: whoever starts the IOC writes what is `kept`.
    """

    def __init__(
        self,
        name: str,
        field: Field,
        initial: Any,
        on_write: Callable[[Any], Any],
        *,
        saved: bool = False,
        multi: bool = False,
        group: str = SETTINGS,
    ) -> None:
        self.name = checked(name)
        self.field = field
        self._on_write = on_write
        self._initial = initial
        self._saved = saved
        self._shown: Any = _NOTHING
        self._writing = False
        options: dict[str, Any] = {
            "DESC": field.short_doc,
            "ASG": group,
            "always_update": True,
            "on_update": self._updated,
            "blocking": True,  # a put with completion ends when the value is in force
            "autosave": saved,
            "initial_value": 0 if field.kind is Kind.COMMAND else _to_record(field, initial),
        }
        self._known: Any = options["initial_value"]  # by the record, as far as we have heard
        self._record = _DEMANDS[_type(field, multi)](name, field, options)

    def show(self, plain: Any) -> None:
        """Show a value that was not written through this record."""
        if not self._writing:  # or what is in force is shown when it is known
            self._show(plain)

    def _show(self, plain: Any) -> None:
        # Not compared with the record itself: a client may have written what we hear of later.
        value = _to_record(self.field, plain)
        if not same_value(value, self._known):
            self._known = value
            self._shown = plain
            self._record.set(value)  # processed, or clients would not hear of it

    def kept(self) -> Any:
        """Return the value that autosave has kept, None if there is none that differs.

        Ask between the loading of the database and the start, before anything is shown.
        """
        plain = _from_record(self.field, self._record.get()) if self._saved else None
        return None if plain is None or same_value(plain, self._initial) else plain

    async def write(self, plain: Any) -> None:
        """Do what a client's write does."""
        self._known = self._record.get()
        self._writing = True
        try:
            in_force = await self._wait(self._on_write(plain))
        finally:
            self._writing = False
        self._show(in_force)

    async def _updated(self, value: Any) -> None:
        plain = _from_record(self.field, value)
        if self.field.kind is Kind.COMMAND:
            if plain:
                await self._wait(self._on_write(True))
                self._record.set(0)
            return
        shown, self._shown = self._shown, _NOTHING
        if shown is _NOTHING or not same_value(plain, shown):  # or it is what `show` has set
            await self.write(plain)

    async def _wait(self, result: Any) -> Any:
        return await result if isinstance(result, Awaitable) else result


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


def _to_record(field: Field, plain: Any) -> Any:
    if field.kind is Kind.STR:
        return _text(plain, field.length)
    return field.choices.index(plain) if field.kind is Kind.ENUM else plain


def _readable(field: Field, plain: Any) -> Any:
    """As `_to_record`, for what is only shown: names of files may hold what terminals obey."""
    return _to_record(field, printable(plain, "\n\t") if field.kind is Kind.STR else plain)


def _text(text: str, longest: int) -> str:
    """Return a text as a record takes it: in UTF-8, as a file's name need not be, and no longer."""
    return beginning(text if is_utf8(text) else printable(text, "\n\t"), longest)


def _from_record(field: Field, value: Any) -> Any:
    if field.kind is Kind.ENUM:
        return field.choices[value] if 0 <= value < len(field.choices) else str(value)
    if field.kind in (Kind.BOOL, Kind.COMMAND):
        return bool(value)
    return value


def _limits(field: Field, low: str, high: str) -> dict[str, Any]:
    return {
        key: limit for key, limit in ((low, field.low), (high, field.high)) if limit is not None
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


def _wave(field: Field) -> dict[str, Any]:
    shown: dict[str, Any] = {"EGU": field.units} if field.units else {}
    return {"length": field.length, "datatype": field.dtype, "PREC": field.precision, **shown}


def _shown(field: Field) -> dict[str, Any]:
    limits = _limits(field, "LOPR", "HOPR") | _alarms(field.alarm)
    return _number(field) | _whole(field, limits)


def _controlled(field: Field) -> dict[str, Any]:
    limits = _limits(field, "DRVL", "DRVH") | _limits(field, "LOPR", "HOPR")
    return _number(field) | _whole(field, limits)


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
    "array": lambda name, f, o: builder.WaveformOut(name, **_wave(f), **o),
    "command": lambda name, f, o: builder.boolOut(name, ZNAM="Done", ONAM="Run", **o),
}
