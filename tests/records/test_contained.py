"""A value that cannot be read or shown makes its own record invalid, and no other one old."""

import asyncio
from typing import Any

import pytest

from tosip.housekeeping import Item, integer
from tosip.records import housekeeping
from tosip.records.housekeeping import HousekeepingRecords
from tosip.records.refusals import WriteMessages


class Shown:
    """Stands for a softioc record, which needs a process of its own."""

    def __init__(self, name: str, _field: object, initial: Any, **_options: object) -> None:
        self.name, self.shown, self.invalid = name, initial, False

    def set(self, value: Any) -> None:
        self.shown, self.invalid = value, False

    def invalidate(self) -> None:
        self.invalid = True


class Owner:
    broken = False
    count = 0

    def first(self) -> int:
        if self.broken:
            raise KeyError("first")
        return self.count


def test_value_that_cannot_be_read_is_invalid_and_those_after_it_are_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(housekeeping, "Readback", Shown)
    items: tuple[Item[Owner], ...] = (
        Item("First", integer("May raise"), Owner.first),
        Item("Second", integer("A count"), lambda owner: owner.count),
    )

    async def work():
        owner = Owner()
        records = HousekeepingRecords("P:", owner, items, WriteMessages())
        first, second = (record for _, record in records._readbacks)
        owner.broken, owner.count = True, 5
        records.changed()
        assert (first.invalid, second.shown) == (True, 5)  # type: ignore[attr-defined]
        owner.broken = False
        await asyncio.sleep(1.5 * housekeeping.SHORTEST_INTERVAL)
        assert (first.invalid, first.shown) == (False, 5)  # type: ignore[attr-defined]

    asyncio.run(work())
    assert "P:First_RBV" in caplog.text
