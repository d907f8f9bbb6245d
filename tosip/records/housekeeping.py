"""The records of a table of housekeeping items, posted when their values change."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Generic

from tosip.errors import TosipError
from tosip.housekeeping import Item, OwnerT
from tosip.records.values import Demand, Readback

SHORTEST_INTERVAL = 0.1  # s between two postings: operators read, they do not count

log = logging.getLogger(__name__)


class HousekeepingRecords(Generic[OwnerT]):
    """The records of one part of the system; `changed` may be called as often as you like."""

    def __init__(self, prefix: str, owner: OwnerT, items: Sequence[Item[OwnerT]]) -> None:
        self._prefix = prefix
        self._owner = owner
        self._posted = {item.pv: item.read(owner) for item in items if item.read}
        self._readbacks = [
            (item, Readback(prefix + item.readback, item.field, self._posted[item.pv]))
            for item in items
            if item.read
        ]
        self._demands = [self._demand(item) for item in items if item.write]
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
        for item, record in self._readbacks:
            value = item.read(self._owner) if item.read else None
            if self._posted[item.pv] != value:
                self._posted[item.pv] = value
                record.set(value)
        for item, demand in self._demands:
            if item.read:
                demand.show(self._posted[item.pv])

    def _demand(self, item: Item[OwnerT]) -> tuple[Item[OwnerT], Demand]:
        def write(value: Any) -> Any:
            try:
                if item.write:
                    item.write(self._owner, item.field.within_limits(value))
            except (TosipError, ValueError) as error:
                log.warning("%s%s: refused %r: %s", self._prefix, item.demand, value, error)
            self._post()  # now: the put ends with this
            return item.read(self._owner) if item.read else None

        initial = item.read(self._owner) if item.read else None
        return item, Demand(self._prefix + item.demand, item.field, initial, write)
