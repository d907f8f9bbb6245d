"""Named ports, and who listens to whom.

A port hands every array to each of its listeners in turn. A listener only puts it into its own
queue: no listener can delay the source or another listener. A source that must lose nothing looks
whether its port is `blocked` before it makes the next array.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from tosip.errors import ConfigurationError
from tosip.events import Event
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.port_attributes import PortAttributes

MOST_LOGGED = 1000  # names of attributes, of one port

Listener = Callable[[NDArray], None]

log = logging.getLogger(__name__)


class Room(Protocol):
    """What tells whether there is room behind a listener: a queue, or the next port."""

    on_room: Event[[]]

    @property
    def blocked(self) -> bool:
        """Whether whoever publishes has to wait."""


class Port:
    """Where arrays come out of a driver or a plugin.

    `on_room` is called when a blocked port may be blocked no more. `last` is the array that came
    out last. `callbacks` is areaDetector's ArrayCallbacks: without it nobody is
    handed anything. `attributes` are what every array gets beside its own.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.on_room: Event[[]] = Event(f"{name}.on_room")
        self.last: NDArray | None = None
        self.callbacks = True
        self.attributes: PortAttributes | None = None
        self._on_array: Event[[NDArray]] = Event(f"{name}.publish")
        self._rooms: dict[Listener, Room] = {}
        self._logged: set[str] = set()

    def publish(self, array: NDArray) -> None:
        """Hand `array` to everyone who listens."""
        self.last = array  # before: attributes may tell of it
        if self.attributes and (added := self.attributes.values()):
            self.last = array = array.with_attributes(added)
        if array.changed_attributes:
            self._log_changed(array.changed_attributes)
        if self.callbacks:
            self._on_array(array)

    def _log_changed(self, changed: Mapping[str, str]) -> None:
        """Log what was done to attributes that cannot be carried: once for each name."""
        for name in changed.keys() - self._logged:
            if len(self._logged) < MOST_LOGGED:
                self._logged.add(name)
                log.warning("%s: attribute %s: %s", self.name, name, changed[name])

    def listen(self, listener: Listener, room: Room | None = None) -> None:
        """Call `listener` with every array from now on; without `room` it always has some."""
        self._on_array.connect(listener)
        if room is not None:
            self._rooms[listener] = room
            room.on_room.connect(self.on_room)

    def unlisten(self, listener: Listener) -> None:
        """Undo `listen`."""
        self._on_array.disconnect(listener)
        room = self._rooms.pop(listener, None)
        if room is not None:
            room.on_room.disconnect(self.on_room)
        self.on_room()

    @property
    def blocked(self) -> bool:
        """Whether a listener that must not lose anything has no room."""
        return any(room.blocked for room in self._rooms.values())

    async def room(self) -> None:
        """Wait until the port is not blocked."""
        while self.blocked:
            changed = asyncio.Event()
            self.on_room.connect(changed.set)
            try:
                await changed.wait()
            finally:
                self.on_room.disconnect(changed.set)


class Ports:
    """All ports of one IOC by name, with their wiring."""

    def __init__(self) -> None:
        self._ports: dict[str, Port] = {}
        self._sources: dict[str, tuple[str, ...]] = {}

    def add(self, name: str) -> Port:
        """Make a port; ConfigurationError if the name is taken."""
        if name in self._ports:
            raise ConfigurationError(f"port {name}: expected a name of its own, got one in use")
        self._ports[name] = Port(name)
        return self._ports[name]

    def gather(self, name: str, sources: Iterable[str]) -> Port:
        """Make a port that passes on the arrays of `sources`, as areaDetector's NDPluginGather."""
        wanted = tuple(sources)
        for source in wanted:
            self._get(name, source)  # before there is a port of this name
        port = self.add(name)
        self.join(name, wanted)
        return port

    def join(self, name: str, sources: Iterable[str]) -> None:
        """Let the port `name` pass on the arrays of all `sources`."""
        found = {source: self._get(name, source) for source in sources}
        self._sources[name] = tuple(found)
        for source in found.values():
            source.listen(self._ports[name].publish, self._ports[name])

    def connect(self, name: str, source: str, listener: Listener, room: Room | None = None) -> None:
        """Let the plugin of port `name` listen to `source`, and to nothing else.

        ConfigurationError if there is no such port or if the arrays would run in a circle.
        """
        port = self._get(name, source)
        if name == source or name in self._upstream(source):
            raise ConfigurationError(
                f"{name}.NDArrayPort: expected a port that does not get its arrays from {name}, "
                f"got {source}"
            )
        for previous in self._sources.get(name, ()):
            self._ports[previous].unlisten(listener)
        self._sources[name] = (source,)
        port.listen(listener, room)

    def source(self, name: str) -> str:
        """Name the port that the plugin of port `name` listens to; empty if none."""
        return ",".join(self._sources.get(name, ()))

    def names(self) -> list[str]:
        """List the ports."""
        return list(self._ports)

    def _get(self, asker: str, name: str) -> Port:
        if name not in self._ports:
            known = ", ".join(self._ports) or "none"
            raise ConfigurationError(f"{asker}.NDArrayPort: expected a port of {known}, got {name}")
        return self._ports[name]

    def _upstream(self, name: str) -> set[str]:
        found: set[str] = set()
        todo = [name]
        while todo:
            sources = set(self._sources.get(todo.pop(), ())) - found
            found |= sources
            todo += sources
        return found
