"""The operator's current values of a plugin's inputs: one consistent set for each frame."""

from collections.abc import Callable
from typing import Any

from tosip.description import Description, Kind
from tosip.errors import TosipError


class ParameterError(TosipError, ValueError):
    """A value that an input does not take; the old one stays."""


class Parameters:
    """Plain values by declared name, each checked against its declaration."""

    def __init__(self, owner: str, description: Description) -> None:
        self._owner = owner
        self._fields = {field.name: field for field in description.inputs}
        self._values = description.defaults()
        self._listeners: list[Callable[[str, Any], None]] = []

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def set(self, name: str, value: Any) -> Any:
        """Set one input and return the plain value that the next frame sees.

        ParameterError if there is no such input, or the value has the wrong type or is outside
        its limits.
        """
        if name not in self._fields:
            known = ", ".join(self._fields) or "none"
            raise ParameterError(f"{self._owner}.{name}: expected an input of {known}")
        try:
            plain = self._fields[name].within_limits(value)
        except ValueError as error:
            raise ParameterError(f"{self._owner}.{name}: {error}") from None
        self._values[name] = plain
        for listener in self._listeners:
            listener(name, plain)
        return plain

    def listen(self, listener: Callable[[str, Any], None]) -> None:
        """Call `listener(name, value)` after every change."""
        self._listeners.append(listener)

    def take(self) -> dict[str, Any]:
        """Return the set for one frame; commands are taken once."""
        taken = dict(self._values)
        for name, field in self._fields.items():
            if field.kind is Kind.COMMAND:
                self._values[name] = False
        return taken
