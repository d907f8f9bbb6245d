"""What operators see of a part of the system beside what an algorithm declares.

A port, a plugin or the gateway has a table of `Item`s. Records, screens and the list of PVs all
loop over the same table; each item knows how to read its value and, if it can be changed, how to
write it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tosip.description import Alarm, Field, Kind, Severity
from tosip.health import Health

OwnerT = TypeVar("OwnerT")


@dataclass(frozen=True)
class Item(Generic[OwnerT]):
    """One value: `pv` is its name behind the prefix, without `_RBV`.

    With `read` there is a record that shows it, `pv_RBV` unless areaDetector names it `pv` alone
    (`bare`). With `write`, which may return something to wait for, there is a record `pv` that
    operators write. It shows the value in force: itself, without a `pv_RBV`, if it is its own
    `echo`; not if it `resets` a count. What is `saved` is as it was after a restart. `derived` says
    that something else makes the records, most often a database template from others: `r` the one
    that shows, `w` the one that is written. Two choices are a binary record, unless areaDetector
    has a `multi` one. `group` heads the item on screens.
    """

    pv: str
    field: Field
    read: Callable[[OwnerT], Any] | None = None
    write: Callable[[OwnerT, Any], Any] | None = None
    group: str = "Status"
    bare: bool = False
    echo: bool = False
    resets: bool = False
    saved: bool = False
    derived: str = ""
    multi: bool = False

    @property
    def readback(self) -> str:
        """Name of the record that shows the value; empty if none does."""
        if self.echo or (self.read is None and "r" not in self.derived):
            return ""
        return self.pv if self.bare else f"{self.pv}_RBV"

    @property
    def demand(self) -> str:
        """Name of the record that operators write; empty if there is none."""
        return self.pv if self.write or "w" in self.derived else ""


def integer(
    doc: str,
    units: str = "",
    alarm: Alarm | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Field:
    """Describe a whole number."""
    return Field("", Kind.INT, doc, units=units, alarm=alarm, low=low, high=high)


def number(doc: str, units: str, precision: int = 3, low: float | None = None) -> Field:
    """Describe a number with its units."""
    return Field("", Kind.FLOAT, doc, units=units, precision=precision, low=low)


def seconds(doc: str, precision: int = 3, low: float | None = None) -> Field:
    """Describe a time in seconds."""
    return number(doc, "s", precision, low)


def text(doc: str, length: int = 39) -> Field:
    """Describe a text; up to 39 bytes it is an EPICS string, above a long string."""
    return Field("", Kind.STR, doc, length=length)


def choice(doc: str, *choices: str, **severities: Severity) -> Field:
    """Describe a choice; `severities` name choices, spaces as underscores."""
    return Field(
        "",
        Kind.ENUM,
        doc,
        choices=choices,
        severities=tuple(severities.get(c.replace(" ", "_"), Severity.NO_ALARM) for c in choices),
    )


def button(doc: str) -> Field:
    """Describe a command."""
    return Field("", Kind.COMMAND, doc)


# What every part has whose records are written.
WRITE_MESSAGE: Item[Any] = Item(
    "WriteMessage", text("Why the last write was refused", 512), derived="r"
)

HEALTH_ITEMS: tuple[Item[Health], ...] = (
    Item(
        "Status",
        choice("Whether all background tasks run", "ok", "task failed", task_failed=Severity.MAJOR),
        lambda health: "task failed" if health.failing else "ok",
    ),
    Item(
        "Message",
        text("Tasks that do not run, with their errors", 4000),
        lambda health: "\n".join(health.failing.values())[:4000],
    ),
    Item(
        "TaskFaults",
        integer("Background tasks that ended by an error"),
        lambda health: health.task_faults,
    ),
    Item(
        "ListenerFaults",
        integer("Callbacks that raised an error"),
        lambda health: health.listener_faults,
    ),
)
