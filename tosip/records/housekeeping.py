"""The records of a table of housekeeping items, posted when their values change."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic

from tosip.description import same_value
from tosip.events import call
from tosip.housekeeping import Item, OwnerT
from tosip.records.demands import Demand
from tosip.records.refusals import WriteMessages
from tosip.records.values import Readback

SHORTEST_INTERVAL = 0.1  # s between two postings: operators read, they do not count


class HousekeepingRecords(Generic[OwnerT]):
    """The records of one part of the system; `changed` may be called as often as you like.

    `messages` say why a write was refused.
    """

    def __init__(
        self, prefix: str, owner: OwnerT, items: Sequence[Item[OwnerT]], messages: WriteMessages
    ) -> None:
        self._prefix = prefix
        self._owner = owner
        self._messages = messages
        self._readbacks = [
            (item.read, _readback(prefix, item, item.read(owner)))
            for item in items
            if item.read and item.readback
        ]
        self._demands = [(item, self._demand(item)) for item in items if item.write]
        self._waiting: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Post what has changed, at once the first time and soon after that."""
        if self._waiting is None:
            self._post()
            loop = asyncio.get_running_loop()
            self._waiting = loop.call_later(SHORTEST_INTERVAL, self._post_last)

    def _post_last(self) -> None:
        self._waiting = None
        self._post()

    def _post(self) -> None:
        # One by one: a value that cannot be read or shown must not keep others from being shown.
        for read, record in self._readbacks:
            if not call(record.name, self._show, read, record):
                call(record.name, record.invalidate)
        for item, demand in self._demands:
            if item.read and not item.resets:
                call(demand.name, self._show_demand, item.read, demand)

    def _show(self, read: Callable[[OwnerT], Any], record: Readback) -> None:
        value = read(self._owner)
        if not same_value(record.shown, value):
            record.set(value)

    def _show_demand(self, read: Callable[[OwnerT], Any], demand: Demand) -> None:
        demand.show(read(self._owner))

    def demands(self) -> list[Demand]:
        """List the records that operators write."""
        return [demand for _, demand in self._demands]

    def _demand(self, item: Item[OwnerT]) -> Demand:
        async def write(value: Any) -> None:
            try:
                if item.write:
                    written = item.write(self._owner, item.field.within_limits(value))
                    if isinstance(written, Awaitable):
                        await written
            finally:
                self._post()  # now: the put ends with this

        def in_force() -> Any:
            return item.read(self._owner) if item.read else None

        return Demand(
            self._prefix + item.demand,
            item.field,
            write,
            in_force,
            self._messages[self._prefix],
            saved=item.saved,
            multi=item.multi,
        )


def _readback(prefix: str, item: Item[Any], value: Any) -> Readback:
    return Readback(prefix + item.readback, item.field, value, multi=item.multi)
