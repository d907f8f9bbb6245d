"""Callbacks whose errors are contained: a listener that raises harms neither caller nor others.

    self.on_change: Event[[]] = Event(f"{name}.on_change")
    ...
    driver.on_change.connect(records.post)
    ...
    self.on_change()

Every list of callbacks in TOSIP is an `Event`; a single callback is called by `call`. An error is
logged with the listener's name and counted, and shown by the records of `tosip.health`.
"""

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec

from tosip.health import HEALTH

P = ParamSpec("P")

log = logging.getLogger(__name__)


class Event(Generic[P]):
    """Functions that are called, in the order of `connect`, each time the event is called.

    `faults` counts the calls that raised.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.faults = 0
        self._listeners: list[Callable[P, object]] = []
        self._logged: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self._listeners)

    def connect(self, listener: Callable[P, object]) -> None:
        """Call `listener` from now on."""
        self._listeners.append(listener)

    def disconnect(self, listener: Callable[P, object]) -> None:
        """Undo one `connect`; ValueError if there was none."""
        self._listeners.remove(listener)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call all listeners; what connects or disconnects meanwhile counts from the next call."""
        for listener in tuple(self._listeners):
            try:
                listener(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 (it is logged there)
                self._contain(_name(listener), error)

    def _contain(self, listener: str, error: Exception) -> None:
        self.faults += 1
        HEALTH.listener_faults += 1
        kind = (listener, type(error).__name__)
        # The traceback once: a listener that fails at every frame would fill the log.
        log.error("%s: %s raised %r", self.name, listener, error, exc_info=kind not in self._logged)
        self._logged.add(kind)


def call(owner: str, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
    """Call one function; log and count what it raises. Returns whether it raised nothing."""
    try:
        function(*args, **kwargs)
    except Exception as error:
        HEALTH.listener_faults += 1
        log.exception("%s: %s raised %r", owner, _name(function), error)
        return False
    return True


def _name(function: Callable[..., object]) -> str:
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"{getattr(function, '__module__', None) or ''}.{name}".lstrip(".")[:200]
