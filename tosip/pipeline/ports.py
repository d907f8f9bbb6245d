"""Named ports, and who listens to whom.

A port hands every array to each of its listeners in turn. A listener only puts it into its own
queue: no listener can delay the source or another listener.
"""

from collections.abc import Callable, Iterable

from tosip.errors import ConfigurationError
from tosip.pipeline.ndarray import NDArray

Listener = Callable[[NDArray], None]


class Port:
    """Where arrays come out of a driver or a plugin."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._listeners: list[Listener] = []

    def publish(self, array: NDArray) -> None:
        """Hand `array` to everyone who listens."""
        for listener in tuple(self._listeners):
            listener(array)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every array from now on."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Undo `listen`."""
        self._listeners.remove(listener)


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
        """Make a port that gives the arrays of all `sources`, as areaDetector's NDPluginGather."""
        found = {source: self._get(name, source) for source in sources}
        port = self.add(name)
        self._sources[name] = tuple(found)
        for source in found.values():
            source.listen(port.publish)
        return port

    def connect(self, name: str, source: str, listener: Listener) -> None:
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
        port.listen(listener)

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
