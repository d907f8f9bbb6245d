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

MOST_LOGGED = 10_000  # kinds of faults whose traceback need not be logged again
_logged: set[tuple[str, str, str]] = set()

log = logging.getLogger(__name__)


class Event(Generic[P]):
    """Functions that are called, in the order of `connect`, each time the event is called.

    `faults` counts the calls that raised.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.faults = 0
        self._listeners: list[Callable[P, object]] = []

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
                self.faults += 1
                _contain(self.name, listener, error)


def call(owner: str, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
    """Call one function; log and count what it raises. Returns whether it raised nothing."""
    try:
        function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 (it is logged there)
        _contain(owner, function, error)
        return False
    return True


def _contain(owner: str, function: Callable[..., object], error: Exception) -> None:
    HEALTH.listener_faults += 1
    fault = (owner, _name(function), type(error).__name__)
    # The traceback once: a listener that fails at every frame would fill the log.
    log.error("%s: %s raised %r", owner, fault[1], error, exc_info=fault not in _logged)
    if len(_logged) < MOST_LOGGED:
        _logged.add(fault)


def _name(function: Callable[..., object]) -> str:
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"{getattr(function, '__module__', None) or ''}.{name}".lstrip(".")[:200]
