"""areaDetector's attributes file: which attributes a port adds to its arrays, and where from.

    <Attributes>
      <Attribute name="Temperature" type="EPICS_PV" source="$(P)TEMP" dbrtype="DBR_NATIVE"/>
      <Attribute name="Count" type="PARAM" source="ARRAY_COUNTER" datatype="INT"/>
      <Attribute name="Site" type="CONST" source="Mount Mufara" datatype="STRING"/>
    </Attributes>

Nothing here knows ports or EPICS: a file, or the XML itself, becomes definitions, or one error that
names every fault with its line. A file comes from whoever may write the record: it is limited in
size, may not have a DTD (where XML's entities are), and macros cannot make it grow without end.

Macros are substituted in the values of XML attributes, not in comments; `$(X)`, `${X}` and
`$(X=what else)` stand for the value of X, also inside the values of other macros.
"""

import enum
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from xml.parsers import expat

from tosip.errors import TosipError

LARGEST = 1024**2  # bytes of a file
LONGEST_VALUE = 4096  # characters of one value, with its macros
MOST_ATTRIBUTES = 1000  # each goes with every frame
DEEPEST = 20  # macros inside macros
MOST_FAULTS = 10  # told in one message

_XML = "<Attributes"  # areaDetector takes a file name with this in it for the XML itself
_PLACE_OF_TEXT = "the XML"
_TOO_DEEP = f"expected at most {DEEPEST} macros inside one another, got more"
_REFERENCE = re.compile(r"\$[({]")
_CLOSING = {"(": ")", "{": "}"}
_MACRO = re.compile(r"[^\s$(){}=,]+")


class AttributesStatus(enum.Enum):
    """areaDetector's NDAttributesStatus: what has come of reading the file."""

    OK = "Attributes file OK"
    NOT_FOUND = "File not found"
    SYNTAX = "XML syntax error"
    MACRO = "Macro substitution error"


class AttributesError(TosipError, ValueError):
    """An attributes file that cannot be used; `status` is what clients see of it."""

    def __init__(self, status: AttributesStatus, message: str) -> None:
        self.status = status
        super().__init__(message)


class DbrType(enum.Enum):
    """The type in which Channel Access is asked for a PV."""

    NATIVE = "DBR_NATIVE"
    STRING = "DBR_STRING"
    CHAR = "DBR_CHAR"
    SHORT = "DBR_SHORT"
    INT = "DBR_INT"
    ENUM = "DBR_ENUM"
    LONG = "DBR_LONG"
    FLOAT = "DBR_FLOAT"
    DOUBLE = "DBR_DOUBLE"


class DataType(enum.Enum):
    """The type that a constant or a parameter shall have."""

    INT = "INT"
    INT64 = "INT64"
    DOUBLE = "DOUBLE"
    STRING = "STRING"


@dataclass(frozen=True)
class FromPv:
    """An attribute that follows an EPICS PV."""

    name: str
    pv: str
    dbrtype: DbrType
    description: str = ""


@dataclass(frozen=True)
class FromParameter:
    """An attribute that shows a parameter of the port; `place` tells where it was asked for."""

    name: str
    parameter: str
    datatype: DataType | None
    place: str
    description: str = ""


@dataclass(frozen=True)
class Constant:
    """An attribute that is always the same."""

    name: str
    value: int | float | str
    description: str = ""


Definition = FromPv | FromParameter | Constant


def read_attributes(file: str, macros: str = "") -> tuple[Definition, ...]:
    """Read the file of that name, or `file` itself if it is the XML; blocks as long as disks do.

    `macros` is areaDetector's `A=B,C=D`. Of two attributes with one name the later counts; an empty
    name gives none. AttributesError tells what is wrong.
    """
    name = file.strip()
    if not name:
        return ()
    if _XML in name:
        content, place = name.encode(errors="replace"), _PLACE_OF_TEXT
        return _Reader(place, Macros(macros)).read(_limited(content, place), "utf-8")
    content = _content(name)  # first: areaDetector too tells what is missing before what is wrong
    return _Reader(name, Macros(macros)).read(content)


class Macros:
    """Values for `$(X)`, made of `A=B,C=D`; values in quotes may hold commas and spaces.

    AttributesError where that is something else.
    """

    def __init__(self, text: str = "") -> None:
        self._given: dict[str, str] = {}
        self._known: dict[str, str] = {}  # with what is inside them: each grows only once
        for part in _parts(text):
            name, equals, value = part.partition("=")
            if not equals or not _MACRO.fullmatch(name.strip()):
                raise _macro_error(f"NDAttributesMacros: expected A=B,C=D, got {part.strip()!r}")
            self._given[name.strip()] = _unquoted(value.strip())

    def expand(self, text: str, _within: tuple[str, ...] = ()) -> str:
        """Put in what the macros in `text` stand for; AttributesError names one without a value."""
        if len(_within) > DEEPEST:
            raise _macro_error(_TOO_DEEP)
        done, at = "", 0
        while found := _REFERENCE.search(text, at):
            name, default, end = _reference(text, found.start())
            done += text[at : found.start()] + self._value(name, default, _within)
            at = end
            if len(done) > LONGEST_VALUE:  # looked at here: they may grow very fast
                raise _macro_error(f"expected at most {LONGEST_VALUE} characters, got more")
        return done + text[at:]

    def _value(self, written: str, default: str | None, within: tuple[str, ...]) -> str:
        name = self.expand(written, (*within, ""))
        if name in within:
            raise _macro_error(f"expected a value of macro {name}, got one with itself in it")
        if name in self._known:
            return self._known[name]
        if name in self._given:
            self._known[name] = self.expand(self._given[name], (*within, name))
            return self._known[name]
        if default is not None:
            return self.expand(default, (*within, ""))
        raise _macro_error(f"expected a value of macro {name[:80]}, got none")


class _Fault(ValueError):
    """What is wrong with one element."""


class _Reader:
    """Reads one document, all of it even if it has faults."""

    def __init__(self, place: str, macros: Macros) -> None:
        self._place = place
        self._macros = macros
        self._depth = 0
        self._found: dict[str, Definition] = {}
        self._faults: list[str] = []
        self._status = AttributesStatus.SYNTAX
        self._parser = expat.ParserCreate()

    def read(self, content: bytes, encoding: str | None = None) -> tuple[Definition, ...]:
        self._parser = expat.ParserCreate(encoding)
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        try:
            self._parser.Parse(content, True)
        except AttributesError:
            raise
        except expat.ExpatError as error:
            raise self._syntax_error(expat.ErrorString(error.code)) from None
        except (LookupError, ValueError) as error:  # of the encoding
            raise self._syntax_error(str(error)) from None
        if len(self._found) > MOST_ATTRIBUTES:
            self._faults.append(
                f"{self._place}: expected at most {MOST_ATTRIBUTES} attributes, "
                f"got {len(self._found)}"
            )
        if self._faults:
            raise AttributesError(self._status, told(self._faults))
        return tuple(self._found.values())

    def _here(self) -> str:
        return f"{self._place}:{self._parser.CurrentLineNumber}"

    def _syntax_error(self, fault: str) -> AttributesError:
        return AttributesError(
            AttributesStatus.SYNTAX, f"{self._here()}: expected well-formed XML, got {fault}"
        )

    def _refuse_doctype(self, *_declared: object) -> None:
        raise AttributesError(
            AttributesStatus.SYNTAX, f"{self._here()}: expected no DTD, got <!DOCTYPE ...>"
        )

    def _start(self, element: str, written: Mapping[str, str]) -> None:
        self._depth += 1
        expected = {1: "Attributes", 2: "Attribute"}.get(self._depth)
        if expected is None:  # areaDetector too does not look into an attribute
            return
        if element != expected:
            self._faults.append(f"{self._here()}: expected <{expected}>, got <{element}>")
        elif self._depth == 2:
            self._define(written)

    def _end(self, _element: str) -> None:
        self._depth -= 1

    def _define(self, written: Mapping[str, str]) -> None:
        place = f"{self._here()}: attribute {written.get('name', '')[:80]}".rstrip()
        try:
            _refuse_long(written)
            values = {key: self._macros.expand(value) for key, value in written.items()}
            definition = _definition(values, place)
        except AttributesError as error:
            self._status = AttributesStatus.MACRO
            self._faults.append(f"{place}: {error}")
        except _Fault as error:
            self._faults.append(f"{place}: {error}")
        else:
            self._found.pop(definition.name, None)
            self._found[definition.name] = definition


def told(faults: list[str]) -> str:
    """Join faults to one message of bearable length."""
    more = len(faults) - MOST_FAULTS
    return "\n".join(faults[:MOST_FAULTS] + ([f"and {more} more"] if more > 0 else []))


def _refuse_long(values: Mapping[str, str]) -> None:
    for key, value in values.items():
        if len(value) > LONGEST_VALUE:
            raise _Fault(f"expected {key} of at most {LONGEST_VALUE} characters, got more")


def _definition(values: Mapping[str, str], place: str) -> Definition:
    kind = values.get("type", "EPICS_PV")
    if kind.startswith("FUNCT"):
        raise _Fault(
            f"expected type EPICS_PV, PARAM or CONST, got {kind}: "
            "there are no compiled functions in a Python IOC; write a plugin"
        )
    if kind not in _KINDS:
        raise _Fault(f"expected type EPICS_PV, PARAM or CONST, got {kind!r}")
    may_be_empty = ("source",) if kind == "CONST" else ()
    for key in ("name", "source"):
        if key not in values or not (values[key].strip() or key in may_be_empty):
            raise _Fault(f"expected {key}=..., got none")
    return _KINDS[kind](values, place)


def _from_pv(values: Mapping[str, str], _place: str) -> Definition:
    dbrtype = _chosen(DbrType, values.get("dbrtype", DbrType.NATIVE.value), "dbrtype")
    return FromPv(values["name"], values["source"], dbrtype, values.get("description", ""))


def _from_parameter(values: Mapping[str, str], place: str) -> Definition:
    datatype = _datatype(values)
    description = values.get("description", "")
    return FromParameter(values["name"], values["source"], datatype, place, description)


def _constant(values: Mapping[str, str], _place: str) -> Definition:
    """Make a constant: text as in areaDetector, unless the file says more."""
    datatype, text = _datatype(values) or DataType.STRING, values["source"]
    try:
        value = _READ[datatype](text)
    except ValueError:
        raise _Fault(f"expected source of type {datatype.value}, got {text[:80]!r}") from None
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise _Fault(f"expected an integer of 64 bits, got {text[:80]}")
    return Constant(values["name"], value, values.get("description", ""))


_KINDS: Mapping[str, Callable[[Mapping[str, str], str], Definition]] = {
    "EPICS_PV": _from_pv,
    "PARAM": _from_parameter,
    "CONST": _constant,
}
_READ: Mapping[DataType, Callable[[str], int | float | str]] = {
    DataType.INT: int,
    DataType.INT64: int,
    DataType.DOUBLE: float,
    DataType.STRING: str,
}

_ChoiceT = TypeVar("_ChoiceT", DbrType, DataType)


def _datatype(values: Mapping[str, str]) -> DataType | None:
    return _chosen(DataType, values["datatype"], "datatype") if "datatype" in values else None


def _chosen(choices: type[_ChoiceT], text: str, what: str) -> _ChoiceT:
    try:
        return choices(text.upper())
    except ValueError:
        known = ", ".join(choice.value for choice in choices)
        raise _Fault(f"expected {what} {known}, got {text[:80]!r}") from None


def _content(name: str) -> bytes:
    """Read a file; anything else of that name, such as a pipe, would keep the reader for ever."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise AttributesError(
                    AttributesStatus.NOT_FOUND, f"{name}: expected a file, got something else"
                )
            return _limited(file.read(LARGEST + 1), name)
    except AttributesError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise AttributesError(
            AttributesStatus.NOT_FOUND, f"{name[:1000]}: expected a file, got: {reason}"
        ) from None


def _limited(content: bytes, place: str) -> bytes:
    if len(content) > LARGEST:
        raise AttributesError(
            AttributesStatus.SYNTAX, f"{place}: expected at most {LARGEST} bytes, got more"
        )
    return content


def _macro_error(message: str) -> AttributesError:
    return AttributesError(AttributesStatus.MACRO, message)


def _parts(text: str) -> list[str]:
    """Split at commas that are not in quotes."""
    parts, quote, start = [], "", 0
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == ",":
            parts.append(text[start:at])
            start = at + 1
    if quote:
        raise _macro_error(f"NDAttributesMacros: expected another {quote}, got {text[start:]!r}")
    return [part for part in (*parts, text[start:]) if part.strip()]


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] in "\"'" else value


def _reference(text: str, start: int) -> tuple[str, str | None, int]:
    """Read the `$(NAME=default)` at `start`: its name, its default, and where it ends."""
    open_until = [_CLOSING[text[start + 1]]]
    begin, equals = start + 2, -1
    for at in range(begin, len(text)):
        if text[at] == open_until[-1]:
            open_until.pop()
        elif text[at] in _CLOSING and text[at - 1] == "$":
            open_until.append(_CLOSING[text[at]])
            if len(open_until) > DEEPEST:
                raise _macro_error(_TOO_DEEP)
        elif text[at] == "=" and len(open_until) == 1 and equals < 0:
            equals = at
        if not open_until:
            name = text[begin : equals if equals >= 0 else at]
            return name, text[equals + 1 : at] if equals >= 0 else None, at + 1
    raise _macro_error(f"expected {open_until[-1]} after {text[start:][:80]!r}, got none")
