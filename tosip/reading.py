"""Reads an algorithm's class into its frozen description, once.

All that is wrong with a declaration is collected and raised together, each fault as
`Class.name: expected ..., got ...`. Runs where the algorithm runs: standard library and NumPy only.
"""

from __future__ import annotations

import enum
import inspect
from numbers import Integral, Real
from typing import Any, ClassVar, get_args, get_origin

from tosip import names, type_hints
from tosip.algorithm import Algorithm, Inputs, Outputs, Spec
from tosip.description import (
    ARRAY_TYPES,
    Alarm,
    Description,
    Field,
    Kind,
    Severity,
    enum_label,
)
from tosip.errors import DeclarationError
from tosip.sizes import faults_together, size_faults

LONGEST_UNITS = 15  # EPICS: EGU
LONGEST_LABEL = 25  # EPICS: ZRST ... FFST
MOST_CHOICES = 16  # EPICS: mbbi
DEFAULT_TEXT = 256

_SCALARS = {bool: Kind.BOOL, int: Kind.INT, float: Kind.FLOAT, str: Kind.STR}
_SIGNATURE = ["self", "image", "params", "attributes", "metadata"]


def describe(cls: type[Algorithm[Any, Any]]) -> Description:
    """Read an algorithm's class; DeclarationError names every fault that it has."""
    faults: list[str] = []
    doc, details = _documentation(cls.__name__, cls.__doc__, faults)
    _check_process(cls, faults)
    inputs: tuple[Field, ...] = ()
    outputs: tuple[Field, ...] = ()
    try:
        declared_inputs, declared_outputs = declared_classes(cls)
    except DeclarationError as error:
        faults += error.faults
    else:
        inputs = _fields(declared_inputs, ("param", "command"), faults)
        outputs = _fields(declared_outputs, ("output",), faults)
        faults += faults_together(declared_inputs.__name__, inputs)
        faults += faults_together(declared_outputs.__name__, outputs)
        _check_names((declared_inputs, declared_outputs), faults)
    watch = _watched(cls, faults)
    _check_state(cls, faults)
    if faults:
        raise DeclarationError(faults)
    return Description(
        name=cls.__name__,
        doc=doc,
        details=details,
        stateful=bool(cls.stateful),
        inputs=inputs,
        outputs=outputs,
        watch=watch,
        keep_state=bool(cls.keep_state),
    )


def _watched(cls: type[Algorithm[Any, Any]], faults: list[str]) -> tuple[str, ...]:
    names = cls.watch
    if isinstance(names, (list, tuple)) and all(map(_is_path, names)):
        return tuple(names)
    faults.append(f'{cls.__name__}.watch: expected files as ["cal.json"], got {names!r}'[:200])
    return ()


def _is_path(name: Any) -> bool:
    return isinstance(name, str) and name != "" and "\0" not in name


def _check_state(cls: type[Algorithm[Any, Any]], faults: list[str]) -> None:
    if not cls.keep_state:
        return
    missing = [
        what
        for what, given in (
            ("stateful = True", cls.stateful),
            ("a method save", cls.save is not Algorithm.save),
            ("a method restore", cls.restore is not Algorithm.restore),
        )
        if not given
    ]
    if missing:
        faults.append(f"{cls.__name__}.keep_state: expected {', '.join(missing)} with it, got none")


def declared_classes(cls: type[Algorithm[Any, Any]]) -> tuple[type[Inputs], type[Outputs]]:
    """Find the two classes that `Algorithm[..., ...]` was given, or raise DeclarationError."""
    arguments = _type_arguments(cls, Algorithm)
    given = ", ".join(map(type_hints.spelling, arguments)) or "neither"
    try:
        resolved = tuple(map(type_hints.resolve, arguments))
    except TypeError as error:
        resolved, given = (), f"{given}: {error}"
    if not resolved or not all(map(type_hints.is_class, resolved)):
        expected = f"class {cls.__name__}(Algorithm[Inputs, Outputs])"
        raise DeclarationError([f"{cls.__name__}: expected {expected}, got {given}"])
    return _checked_classes(cls, resolved)


def _type_arguments(cls: type, generic: type) -> tuple[Any, ...]:
    """Return what `cls` and its bases give for the parameters of `generic`, () if nothing."""
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin = get_origin(base) or base
        found = get_args(base) if origin is generic else _type_arguments(origin, generic)
        if found and origin is not generic:
            given = dict(zip(getattr(origin, "__parameters__", ()), get_args(base)))
            found = tuple(given.get(argument, argument) for argument in found)
        if found:
            return found
    return ()


def _checked_classes(
    cls: type[Algorithm[Any, Any]], arguments: tuple[Any, ...]
) -> tuple[type[Inputs], type[Outputs]]:
    inputs, outputs = arguments
    faults = [
        f"{cls.__name__}: expected a subclass of {base.__name__}, got {given.__name__}"
        for given, base in ((inputs, Inputs), (outputs, Outputs))
        if not issubclass(given, base)
    ]
    if faults:
        raise DeclarationError(faults)
    return inputs, outputs


def _documentation(owner: str, text: str | None, faults: list[str]) -> tuple[str, str]:
    lines = inspect.cleandoc(text if isinstance(text, str) else "").split("\n", 1)
    if not lines[0]:
        given = "none" if text is None or isinstance(text, str) else repr(text)
        faults.append(f"{owner}: expected documentation, got {given}")
    return lines[0], lines[1].strip() if len(lines) > 1 else ""


def _check_process(cls: type[Algorithm[Any, Any]], faults: list[str]) -> None:
    if cls.process is Algorithm.process or not callable(cls.process):
        given = "none" if cls.process is Algorithm.process else repr(cls.process)
        faults.append(f"{cls.__name__}.process: expected a method, got {given}")
        return
    given_names = list(inspect.signature(cls.process).parameters)
    if given_names != _SIGNATURE or inspect.iscoroutinefunction(cls.process):
        kind = "async " if inspect.iscoroutinefunction(cls.process) else ""
        faults.append(
            f"{cls.__name__}.process: expected ({', '.join(_SIGNATURE)}), "
            f"got {kind}({', '.join(given_names)})"
        )


def _fields(cls: type, roles: tuple[str, ...], faults: list[str]) -> tuple[Field, ...]:
    hints = _hints(cls, faults)
    if hints is None:
        return ()
    specs: dict[str, Spec] = cls._specs()  # type: ignore[attr-defined]
    fields = []
    for name in {**{h: None for h in hints if not h.startswith("_")}, **specs}:
        owner = f"{cls.__name__}.{name}"
        spec = specs.get(name)
        if spec is None and _is_class_variable(hints[name]):
            continue
        if spec is None:
            faults.append(
                f"{owner}: expected = {roles[0]}(...), got {getattr(cls, name, 'nothing')!r}"
            )
        elif spec.role not in roles:
            faults.append(f"{owner}: expected {' or '.join(roles)}(...), got {spec.role}(...)")
        elif name not in hints:
            faults.append(f"{owner}: expected a type, as in {name}: float = ..., got none")
        else:
            field = _field(owner, name, hints[name], spec, faults)
            fields += [field] if field else []
    return tuple(fields)


def _is_class_variable(hint: Any) -> bool:
    return hint is ClassVar or get_origin(hint) is ClassVar


def _hints(cls: type, faults: list[str]) -> dict[str, Any] | None:
    try:
        return type_hints.annotated_types(cls)
    except TypeError as error:
        faults.append(f"{cls.__name__}: expected types that can be looked up, got {error}")
        return None


def _field(owner: str, name: str, hint: Any, spec: Spec, faults: list[str]) -> Field | None:
    given = type_hints.spelling(hint)
    try:
        declared = type_hints.resolve(hint)
    except TypeError as error:
        faults.append(f"{owner}: expected a type that can be looked up, got {given}: {error}")
        return None
    kind, choices, dtype = _kind(declared, spec)
    if kind is None:
        faults.append(f"{owner}: expected {_expected_type(declared, spec)}, got {given}")
        return None
    before = len(faults)
    doc, details = _documentation(owner, spec.doc, faults)
    wrong = (
        _option_faults(spec)
        or _faults(kind, choices, spec)
        or size_faults(kind, dtype, spec.length or 0)
    )
    faults.extend(f"{owner}: {fault}" for fault in wrong)
    if len(faults) > before:
        return None
    field = Field(
        name=name,
        kind=kind,
        doc=doc,
        details=details,
        units=spec.units,
        precision=3 if spec.precision is None else spec.precision,
        low=spec.limits[0] if spec.limits else None,
        high=spec.limits[1] if spec.limits else None,
        choices=choices,
        severities=_severities(kind, choices, spec),
        alarm=spec.alarm,
        length=spec.length or (DEFAULT_TEXT if kind is Kind.STR else 0),
        dtype=dtype,
        bits=spec.bits or (64 if kind is Kind.INT else 32),
    )
    return _with_default(owner, field, spec, faults)


def _kind(hint: Any, spec: Spec) -> tuple[Kind | None, tuple[str, ...], str]:
    if spec.role == "command":
        return (Kind.COMMAND if hint is bool else None), (), ""
    if type_hints.is_class(hint):
        if issubclass(hint, enum.Enum):
            return Kind.ENUM, tuple(enum_label(member) for member in hint), ""
        return _SCALARS.get(hint), (), ""
    dtype, dimensions = type_hints.array_type(hint) or ("", None)
    if dtype in ARRAY_TYPES and dimensions in (None, 1):
        return Kind.ARRAY, (), dtype
    return None, (), ""


def _expected_type(hint: Any, spec: Spec) -> str:
    if spec.role == "command":
        return "bool"
    return type_hints.remedy(hint) or (
        f"int, float, bool, str, an enum or NDArray of {', '.join(ARRAY_TYPES)}"
    )


def _option_faults(spec: Spec) -> list[str]:
    """Find options of a wrong type: what a type checker says, for those who use none."""
    limits = () if spec.limits is None else spec.limits
    checks = [
        (isinstance(spec.units, str), "units as text", spec.units),
        (_is_number(spec.precision, Integral), "precision as an int", spec.precision),
        (_is_number(spec.length, Integral), "length as an int", spec.length),
        (_is_number(spec.bits, Integral), "bits as an int", spec.bits),
        (
            isinstance(limits, (tuple, list))
            and len(limits) in (0, 2)
            and all(_is_number(limit) for limit in limits),
            "limits (low, high)",
            spec.limits,
        ),
        (spec.alarm is None or isinstance(spec.alarm, Alarm), "an Alarm", spec.alarm),
    ]
    faults = [
        f"expected {expected}, got {given!r}" for right, expected, given in checks if not right
    ]
    if isinstance(spec.alarm, Alarm):
        numbers = (spec.alarm.lolo, spec.alarm.low, spec.alarm.high, spec.alarm.hihi)
        if spec.alarm.hysteresis is None or not all(
            _is_number(n) for n in (*numbers, spec.alarm.hysteresis)
        ):
            faults.append(f"expected an Alarm of numbers, got {spec.alarm}")
    for state, severity in spec.severities.items():
        if severity not in list(Severity):
            faults.append(f"expected a Severity of {state}, got {severity!r}")
    return faults


def _is_number(value: Any, kind: type = Real) -> bool:
    return value is None or (
        isinstance(value, kind) and not isinstance(value, bool) and value == value  # no NaN
    )


def _faults(kind: Kind, choices: tuple[str, ...], spec: Spec) -> list[str]:
    number = kind in (Kind.INT, Kind.FLOAT)
    low, high = spec.limits or (None, None)
    checks = [
        (
            len(spec.units.encode()) > LONGEST_UNITS,
            f"units of at most {LONGEST_UNITS} bytes",
            spec.units,
        ),
        (spec.units and not number and kind is not Kind.ARRAY, "units on numbers only", spec.units),
        (spec.limits and not number, "limits on numbers only", spec.limits),
        (low is not None and high is not None and low >= high, "limits (low, high)", spec.limits),
        (
            spec.precision is not None and not 0 <= spec.precision <= 15,
            "precision 0 to 15",
            spec.precision,
        ),
        (
            spec.precision is not None and kind not in (Kind.FLOAT, Kind.ARRAY),
            "precision on floats only",
            spec.precision,
        ),
        (
            spec.length is not None and kind not in (Kind.STR, Kind.ARRAY),
            "length on str and arrays only",
            spec.length,
        ),
        (spec.length is not None and spec.length < 1, "a length of at least 1", spec.length),
        (
            kind is Kind.ARRAY and spec.length is None,
            "length=, the greatest number of elements",
            "none",
        ),
        (spec.bits not in (None, 32, 64), "bits=32 or bits=64", spec.bits),
        (spec.bits is not None and kind is not Kind.INT, "bits on ints only", spec.bits),
        (spec.alarm is not None and not number, "alarm on numbers only", spec.alarm),
        (
            kind is Kind.ENUM and not 1 <= len(choices) <= MOST_CHOICES,
            f"1 to {MOST_CHOICES} choices",
            len(choices),
        ),
        (len(set(choices)) < len(choices), "choices that differ", choices),
        (
            bool(spec.severities) and kind not in (Kind.ENUM, Kind.BOOL),
            "severities on enums and bools only",
            spec.severities,
        ),
    ]
    faults = [f"expected {expected}, got {given}" for wrong, expected, given in checks if wrong]
    states = choices if kind is Kind.ENUM else (False, True)
    faults += [
        f"expected a severity of one of {states}, got one of {state!r}"
        for state in map(_state, spec.severities)
        if kind in (Kind.ENUM, Kind.BOOL) and state not in states
    ]
    faults += [
        f"expected labels of 1 to {LONGEST_LABEL} bytes, got {label!r}"
        for label in choices
        if not 1 <= len(label.encode()) <= LONGEST_LABEL
    ]
    return faults + alarm_faults(spec.alarm)


def alarm_faults(alarm: Alarm | None) -> list[str]:
    """Say what is wrong with alarm limits, each as `expected ..., got ...`."""
    if alarm is None:
        return []
    limits = [x for x in (alarm.lolo, alarm.low, alarm.high, alarm.hihi) if x is not None]
    faults = []
    if not limits:
        faults.append("expected an alarm with a limit, got none")
    if limits != sorted(limits):
        faults.append(f"expected lolo <= low <= high <= hihi, got {limits}")
    if alarm.hysteresis < 0:
        faults.append(f"expected a hysteresis of at least 0, got {alarm.hysteresis}")
    return faults


def _severities(kind: Kind, choices: tuple[str, ...], spec: Spec) -> tuple[Severity, ...]:
    if not spec.severities:
        return ()
    states = choices if kind is Kind.ENUM else (False, True)
    given = {_state(state): Severity(severity) for state, severity in spec.severities.items()}
    return tuple(given.get(state, Severity.NO_ALARM) for state in states)


def _state(state: Any) -> Any:
    return enum_label(state) if isinstance(state, enum.Enum) else state


def _with_default(owner: str, field: Field, spec: Spec, faults: list[str]) -> Field | None:
    if not spec.has_default:
        return field
    try:
        check = field.plain if spec.role == "output" else field.within_limits
        default = check(spec.default)
        if field.kind is Kind.ARRAY:
            default = default.tolist()  # a description holds what JSON has
    except ValueError as error:
        faults.append(f"{owner}: default: {error}")
        return None
    return Field(**{**field.__dict__, "default": default})


def _check_names(declared: tuple[type[Inputs], type[Outputs]], faults: list[str]) -> None:
    taken: dict[str, str] = {}
    for owner, name in ((cls, name) for cls in declared for name in cls._specs()):
        pascal = names.pascal_case(name)
        if not names.DECLARED.fullmatch(name):
            fault = f"a name in snake_case, got {name}"
        elif len(pascal) > names.LONGEST_NAME:
            fault = f"a name of at most {names.LONGEST_NAME} characters, got {len(pascal)}"
        elif pascal in names.RESERVED:
            fault = f"another name, got {pascal}, which every plugin has"
        elif hasattr(Inputs, name):
            fault = f"another name, got {name}, which is a method of such classes"
        elif pascal in taken:
            fault = f"a name of its own, got {pascal}, which {taken[pascal]} has too"
        else:
            taken[pascal] = f"{owner.__name__}.{name}"
            continue
        faults.append(f"{owner.__name__}.{name}: expected {fault}")
