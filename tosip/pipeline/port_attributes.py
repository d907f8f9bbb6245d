"""The attributes that a port adds to every array, as its NDAttributesFile says.

    attributes = PortAttributes(parameters(plugin, PLUGIN_ITEMS), source)
    port.attributes = attributes
    attributes.set_file("cam01.xml")

The file is read in a thread, so that a disk that does not answer stops nobody; until it is read
the attributes of the file before stay. A file that cannot be used leaves the port with none. What
has no value, such as a PV that is not connected, is left out of the array.
"""

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from tosip.description import Field, Kind
from tosip.events import Event
from tosip.housekeeping import Item
from tosip.pipeline.attributes import value_of
from tosip.pipeline.attributes_file import (
    AttributesError,
    AttributesStatus,
    Constant,
    DataType,
    DbrType,
    Definition,
    FromParameter,
    FromPv,
    read_attributes,
    told,
)
from tosip.pipeline.ndarray import AttributeValue
from tosip.shortage import in_words

log = logging.getLogger(__name__)

READ_TIMEOUT = 10.0  # s
MOST_READING = 4  # threads of one port that wait for a disk
MOST_NAMED = 10  # attributes without a value, in the message

# areaDetector's parameters whose records have another name.
_OTHER_NAMES = {
    "PORT_NAME_SELF": "PortName",
    "ARRAY_NDIMENSIONS": "NDimensions",
    "ARRAY_DIMENSIONS": "Dimensions",
    "POOL_MAX_MEMORY": "PoolMaxMem",
    "POOL_USED_MEMORY": "PoolUsedMem",
    "NDARRAY_ADDR": "NDArrayAddress",
}


class Handle(Protocol):
    """One PV that somebody follows."""

    @property
    def value(self) -> AttributeValue | None:
        """The last value; None while there is none to believe."""

    def close(self) -> None:
        """Follow it no more."""


class Source(Protocol):
    """Where PVs come from."""

    def subscribe(self, pv: str, dbrtype: DbrType) -> Handle:
        """Follow a PV; returns at once, on the event loop."""


@dataclass(frozen=True)
class Parameter:
    """One value of a port that a file may ask for: how to read it, and what it is."""

    read: Callable[[], Any]
    field: Field


def parameters(owner: Any, items: Iterable[Item[Any]]) -> dict[str, Parameter]:
    """Give the readable items of a port as parameters; keys are as `_key` makes them."""
    found = {
        _key(item.pv): Parameter(functools.partial(item.read, owner), item.field)
        for item in items
        if item.read is not None
    }
    for other, pv in _OTHER_NAMES.items():
        if _key(pv) in found:
            found.setdefault(_key(other), found[_key(pv)])
    return found


def _key(name: str) -> str:
    """areaDetector's ARRAY_COUNTER is the record ArrayCounter."""
    return name.replace("_", "").lower()


_Reader = Callable[[], AttributeValue | None]


class PortAttributes:
    """The attributes of one port's file.

    `file` and `macros` are what was asked for last, `status` and `message` what has come of it.
    `on_change` is called, on the event loop, when these have changed. Without `source` attributes
    from PVs are left out.
    """

    def __init__(self, params: Mapping[str, Parameter], source: Source | None = None) -> None:
        self.file = ""
        self.macros = ""
        self.status = AttributesStatus.OK
        self.on_change: Event[[]] = Event("PortAttributes.on_change")
        self._params = params
        self._source = source
        self._fault = ""
        self._readers: Sequence[tuple[str, _Reader]] = ()
        self._pvs: Mapping[str, str] = {}
        self._handles: Sequence[Handle] = ()
        self._task: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(MOST_READING)

    def set_file(self, file: str) -> None:
        """Read the file of that name, or the XML itself, from now on; the same one too.

        Returns at once: the last file asked for will be in force. Call it on the event loop.
        """
        self.file = file
        self._read()

    def set_macros(self, macros: str) -> None:
        """Read the file again with these macros (`A=B,C=D`), as `set_file`."""
        self.macros = macros
        self._read()

    async def load(self, file: str, macros: str = "") -> None:
        """Read a file and wait until it, or one asked for after it, is in force."""
        self.file, self.macros = file, macros
        self._read()
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing is being read any more."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def in_force(self) -> None:
        """Wait as `settled`; AttributesError if the file cannot be used."""
        await self.settled()
        if self._fault:
            raise AttributesError(self.status, self._fault)

    def values(self) -> Mapping[str, AttributeValue]:
        """Return the attributes of an array that is made now."""
        found = {}
        for name, read in self._readers:
            if (value := read()) is not None:
                found[name] = value
        return found

    @property
    def message(self) -> str:
        """What is wrong with the file, or which attributes have no value; empty if all is well."""
        if self._task is not None and not self._task.done():
            return f"reading {self.file}"[:1000]
        if self._fault:
            return self._fault
        missing = [
            f"{name} ({self._pvs[name]})" if name in self._pvs else name
            for name, read in self._readers
            if read() is None
        ]
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        return f"no value: {', '.join(missing[:MOST_NAMED])}{more}" if missing else ""

    def close(self) -> None:
        """Follow no PV any more, and read no file."""
        if self._task is not None:
            self._task.cancel()
        self._use((), (), {})

    def _read(self) -> None:
        if self._task is not None:
            self._task.cancel()  # the latest wins
        self._task = asyncio.get_running_loop().create_task(self._load())
        self._task.add_done_callback(self._loaded)

    def _loaded(self, task: asyncio.Task[None]) -> None:
        if task is self._task and not task.cancelled():
            self.on_change()

    async def _load(self) -> None:
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                definitions = await self._in_thread(self.file, self.macros)
            self._bind(definitions)
        except TimeoutError:
            fault = f"{self.file}: expected an answer of the disk within {READ_TIMEOUT:g} s"
            self._refuse(AttributesStatus.NOT_FOUND, f"{fault}, got none"[:1000])
        except AttributesError as error:
            self._refuse(error.status, str(error))
        except Exception as error:  # a shortage, or a fault of TOSIP: not kept quiet
            log.exception("%s: attributes file", self.file)
            self._refuse(AttributesStatus.NOT_FOUND, f"{self.file}: not read: {in_words(error)}")
        else:
            self.status, self._fault = AttributesStatus.OK, ""

    def _refuse(self, status: AttributesStatus, fault: str) -> None:
        self.status, self._fault = status, fault
        self._use((), (), {})

    async def _in_thread(self, file: str, macros: str) -> tuple[Definition, ...]:
        # A thread of its own, and a daemon: those of asyncio.to_thread are few, shared with
        # everybody else, and the process could not end before a hanging disk answers.
        await self._slots.acquire()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Definition, ...]] = loop.create_future()

        def finish(definitions: tuple[Definition, ...], error: Exception | None) -> None:
            self._slots.release()
            if future.done():  # nobody waits any more
                return
            if error is None:
                future.set_result(definitions)
            else:
                future.set_exception(error)

        def read() -> None:
            definitions: tuple[Definition, ...] = ()
            error: Exception | None = None
            try:
                definitions = read_attributes(file, macros)
            except Exception as raised:  # noqa: BLE001 (whoever waits gets it)
                error = raised
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(finish, definitions, error)

        try:
            threading.Thread(target=read, name="attributes file", daemon=True).start()
        except BaseException:
            self._slots.release()
            raise
        return await future

    def _bind(self, definitions: Iterable[Definition]) -> None:
        """Find what the definitions ask for; AttributesError names what the port does not have."""
        readers: dict[str, _Reader] = {}
        faults: list[str] = []
        pvs: dict[str, FromPv] = {}
        for definition in definitions:
            if isinstance(definition, FromPv):
                pvs[definition.name] = definition
                readers[definition.name] = _nothing
            elif isinstance(definition, Constant):
                readers[definition.name] = functools.partial(_same, definition.value)
            else:
                try:
                    readers[definition.name] = self._parameter(definition)
                except ValueError as error:
                    faults.append(f"{definition.place}: {error}")
        if faults:
            raise AttributesError(AttributesStatus.SYNTAX, told(faults))
        handles = self._subscribe(pvs.values(), readers)
        self._use(tuple(readers.items()), handles, {name: found.pv for name, found in pvs.items()})

    def _subscribe(self, pvs: Iterable[FromPv], readers: dict[str, _Reader]) -> list[Handle]:
        handles: list[Handle] = []
        for definition in pvs if self._source else ():
            if self._source:
                handles.append(self._source.subscribe(definition.pv, definition.dbrtype))
                readers[definition.name] = functools.partial(_last, handles[-1])
        return handles

    def _use(
        self,
        readers: Sequence[tuple[str, _Reader]],
        handles: Sequence[Handle],
        pvs: Mapping[str, str],
    ) -> None:
        old = self._handles
        self._readers, self._handles, self._pvs = readers, handles, pvs
        for handle in old:  # after the new ones: a PV in both files stays connected
            handle.close()

    def _parameter(self, wanted: FromParameter) -> _Reader:
        found = self._params.get(_key(wanted.parameter))
        if found is None:
            raise ValueError(f"expected a parameter of this port, got {wanted.parameter}")
        convert = _conversion(found.field, wanted.datatype)

        def read() -> AttributeValue | None:
            try:
                return convert(found.read())
            except Exception:  # noqa: BLE001 (NaN has no integer; no attribute costs the frame)
                return None

        return read


def _nothing() -> None:
    return None


def _same(value: AttributeValue) -> AttributeValue:
    return value


def _last(handle: Handle) -> AttributeValue | None:
    return handle.value


def _conversion(field: Field, datatype: DataType | None) -> Callable[[Any], AttributeValue | None]:
    """How a parameter becomes an attribute; ValueError if it cannot be of that type."""
    if datatype is None:
        return _plain
    numeric = datatype is not DataType.STRING
    if field.kind is Kind.ARRAY or (field.kind is Kind.STR and numeric):
        own = "STRING" if field.kind is Kind.STR else "none for an array"
        raise ValueError(f"expected datatype {own}, got {datatype.value}")
    if not numeric:
        return str
    number: Callable[[Any], int | float] = float if datatype is DataType.DOUBLE else int
    if field.kind is Kind.ENUM:  # areaDetector gives a choice's number
        return lambda value: number(field.choices.index(value))
    return lambda value: _plain(number(value))


def _plain(value: Any) -> AttributeValue | None:
    """Return what an attribute can hold; None if it cannot hold this as it is."""
    kept, changed = value_of(value)
    return None if changed else kept
