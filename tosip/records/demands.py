"""The records that operators write, each with the value in force."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from tosip.description import Field, Kind, same_value
from tosip.errors import TosipError
from tosip.records.autosaving import Kept
from tosip.records.refusals import WriteMessage, fail_put
from tosip.records.security import LONGEST_LOGGED, puts, writer
from tosip.records.values import SETTINGS, checked, demand_record, from_record, to_record

_NOTHING = object()

log = logging.getLogger(__name__)


class Demand:
    """The record that operators write; `on_write` gets the plain value, on the event loop.

    `on_write` may return something to wait for; a TosipError or a ValueError refuses the value.
    Then the record shows what is `in_force`, and `message` why. Autosave keeps a `saved` value:
    whoever starts the IOC writes what is `kept`.
    """

    def __init__(
        self,
        name: str,
        field: Field,
        on_write: Callable[[Any], Any],
        in_force: Callable[[], Any],
        message: WriteMessage,
        *,
        saved: bool = False,
        multi: bool = False,
        group: str = SETTINGS,
    ) -> None:
        self.name = checked(name)
        self.field = field
        self.initial = in_force()
        self._on_write = on_write
        self._in_force = in_force
        self._message = message
        self._shown: Any = _NOTHING
        self._writing = False
        options: dict[str, Any] = {
            "DESC": field.short_doc,
            "ASG": group,
            "always_update": True,
            "on_update": self._updated,
            "blocking": True,  # a put with completion ends when the value is in force
            "initial_value": to_record(field, self.initial),
        }
        self._known: Any = options["initial_value"]  # by the record, as far as we have heard
        self._record = demand_record(name, field, options, multi=multi)
        self._kept = Kept(self.name, field, self._plain) if saved else None

    def show(self, plain: Any) -> None:
        """Show a value that was not written through this record."""
        if not self._writing:  # or what is in force is shown when it is known
            self._show(plain)

    def _show(self, plain: Any) -> None:
        # Not compared with the record itself: a client may have written what we hear of later.
        value = to_record(self.field, plain)
        if not same_value(value, self._known):
            self._known = value
            self._shown = plain
            self._record.set(value)  # processed, or clients would not hear of it

    def kept(self) -> Any:
        """Return the value that autosave has kept, None if there is none that differs.

        Ask between the loading of the database and the start, before anything is shown.
        """
        plain = self._kept.value if self._kept else None
        return None if plain is None or same_value(plain, self.initial) else plain

    async def write(self, plain: Any) -> None:
        """Do what a client's write does; TosipError or ValueError if the value is refused."""
        self._known = self._record.get()
        self._writing = True
        try:
            written = self._on_write(plain)
            if isinstance(written, Awaitable):
                await written
        finally:
            self._writing = False
            self._show(self._in_force())

    async def _updated(self, value: Any) -> None:
        plain = from_record(self.field, value)
        shown, self._shown = self._shown, _NOTHING
        if self.field.kind is Kind.COMMAND:
            if not plain:
                return
        elif shown is not _NOTHING and same_value(plain, shown):
            return  # it is what `show` has set
        try:
            await self.write(plain)
        except (TosipError, ValueError) as error:
            self._refuse(plain, str(error))
        except Exception as error:
            log.exception("%s: failed to write %r", self.name, plain)
            self._refuse(plain, repr(error))
        else:
            self._message.accepted()

    def _refuse(self, plain: Any, reason: str) -> None:
        value = repr(plain)[:LONGEST_LOGGED]
        puts.warning("%s %s: refused %s: %s", writer(self.name), self.name, value, reason)
        self._message.refused(f"{self.name.rsplit(':', 1)[-1]}: {reason}")
        fail_put(self.name)

    def _plain(self) -> Any:
        """Return what the record holds, in autosave's thread."""
        return from_record(self.field, self._record.get())
