"""The operator's current values of a plugin's inputs: one consistent set for each frame.

A `ParameterSet` never changes: every change makes a new one. `take` returns the same object for as
long as nothing has changed, so that whoever has sent it to a worker sees by `is` that the worker
has it already. Changes can be staged, which shows them and does nothing, and then put in force
together.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tosip.description import Description, Kind, same_value
from tosip.errors import TosipError
from tosip.events import Event

ParameterSet = Mapping[str, Any]
"""Plain values by declared name, read-only."""


class ParameterError(TosipError, ValueError):
    """A value that an input does not take; the old one stays."""


class Parameters:
    """Plain values by declared name, each checked against its declaration."""

    def __init__(self, owner: str, description: Description) -> None:
        self._owner = owner
        self._fields = {field.name: field for field in description.inputs}
        self._commands = [f.name for f in description.inputs if f.kind is Kind.COMMAND]
        self._current: ParameterSet = MappingProxyType(description.defaults())
        self._staged: dict[str, Any] = {}
        self._on_change: Event[[str, Any]] = Event(f"{owner}.params")

    def __getitem__(self, name: str) -> Any:
        return self._current[name]

    @property
    def current(self) -> ParameterSet:
        """The set that `take` would return."""
        return self._current

    @property
    def staged(self) -> Mapping[str, Any]:
        """The checked changes that wait for `apply`."""
        return MappingProxyType(self._staged)

    def listen(self, listener: Callable[[str, Any], None]) -> None:
        """Call `listener(name, value)` after every change; all of one call are in force by then."""
        self._on_change.connect(listener)

    def set(self, name: str, value: Any) -> Any:
        """Set one input and return the plain value that the next frame sees.

        A staged value of the same name is given up. ParameterError if there is no such input, or
        the value has the wrong type or is outside its limits.
        """
        return self.update({name: value})[name]

    def update(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Set several inputs together and return their plain values.

        ParameterError names all that are refused; none is set then.
        """
        plain = self._checked(changes)
        for name in plain:
            self._staged.pop(name, None)
        self._put_in_force(plain)
        self._tell(plain)
        return plain

    def stage(self, name: str, value: Any) -> Any:
        """Keep a change for `apply` and return its plain value; ParameterError as for `set`."""
        plain = self._checked({name: value})
        self._staged |= plain
        return plain[name]

    def apply(self) -> None:
        """Put all staged changes in force together."""
        self.update(dict(self._staged))

    def discard(self) -> None:
        """Give up the staged changes; listeners are told the values that are in force."""
        names = list(self._staged)
        self._staged.clear()
        self._tell({name: self._current[name] for name in names})

    def take(self) -> ParameterSet:
        """Return the set for one frame; a command that was pressed is True in this one only."""
        taken = self._current
        self._put_in_force(dict.fromkeys(self._commands, False))
        return taken

    def _checked(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        plain, faults = {}, []
        for name, value in changes.items():
            try:
                plain[name] = self._check(name, value)
            except ValueError as error:
                faults.append(f"{self._owner}.{name}: {error}")
        if faults:
            raise ParameterError("; ".join(faults))
        return plain

    def _check(self, name: str, value: Any) -> Any:
        if name not in self._fields:
            raise ValueError(f"expected an input of {', '.join(self._fields) or 'none'}")
        return self._fields[name].within_limits(value)

    def _put_in_force(self, changes: Mapping[str, Any]) -> None:
        if not all(same_value(value, self._current[name]) for name, value in changes.items()):
            self._current = MappingProxyType({**self._current, **changes})

    def _tell(self, changes: Mapping[str, Any]) -> None:
        for name, value in changes.items():
            self._on_change(name, value)
