"""One softioc IOC: the records of each part, then start.

Importing this module loads EPICS, which reads its environment then: the network's variables have to
be set before. Records can be made only before the IOC runs.
"""

import asyncio
import contextlib
import ctypes
import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from softioc import asyncio_dispatcher, builder, imports, softioc

from tosip.description import Description
from tosip.errors import TosipError
from tosip.events import call
from tosip.health import HEALTH
from tosip.housekeeping import HEALTH_ITEMS, Item, OwnerT
from tosip.pipeline.panel import PLUGIN_ITEMS
from tosip.pipeline.plugin import Plugin
from tosip.pipeline.pool import Pool
from tosip.pipeline.port_attributes import PortAttributes, parameters
from tosip.pipeline.port_panel import POOL_MASTER_ITEMS, HasPort
from tosip.pipeline.workers import MOST_WORKERS
from tosip.records.autosaving import TAKEN, keep_in
from tosip.records.database import load_plugin, load_port, load_text, record_names
from tosip.records.declared import DeclaredRecords
from tosip.records.demands import Demand
from tosip.records.housekeeping import HousekeepingRecords
from tosip.records.process_variables import ProcessVariables
from tosip.records.pvi import Entries, declared_entries, item_entries, part_entries, structure
from tosip.records.quick import remember_accepted_values
from tosip.records.refusals import WriteMessages
from tosip.records.security import use_access_security

# Each record that is posted is one EPICS callback; EPICS drops them when 2000 wait.
CALLBACK_QUEUE = 50_000
POLL = 1.0  # s

PortT = TypeVar("PortT", bound=HasPort)

log = logging.getLogger(__name__)


class _Polled:
    """Figures of one part, and what to call when they have changed."""

    def __init__(self, figures: Callable[[], object], changed: Callable[[], None]) -> None:
        self._figures, self._changed = figures, changed
        self._last: object = None

    def look(self) -> bool:
        figures = self._figures()
        if figures == self._last:
            return False
        self._last = figures
        call("records", self._changed)
        return True


class Ioc:
    """The records of one process; `prefix` is the part of their names that all have.

    What is written to their settings is kept in the folder `saved`. `security` is a file with
    EPICS's access security rules. ConfigurationError if that is none.
    """

    def __init__(self, prefix: str, saved: Path, security: Path | None = None) -> None:
        self.prefix = prefix
        self._changed: list[Callable[[], None]] = []
        self._polled: list[_Polled] = []
        self._demands: list[Demand] = []
        self._messages = WriteMessages()
        self._parts: list[str] = []
        self._templates: list[Callable[[], None]] = []  # they follow the records that they need
        self._structures: list[str] = []
        self._variables = ProcessVariables()
        self._attributes: list[PortAttributes] = []
        use_access_security(security)
        keep_in(saved)
        remember_accepted_values()

    def add_pool(self, pool: Pool) -> None:
        """Make the records that the pool figures of all ports follow."""
        pool.on_change.connect(self._add_items("POOL:", pool, POOL_MASTER_ITEMS))

    def add_health(self, name: str) -> None:
        """Make the records of what TOSIP itself has contained in this process."""
        changed = self.add_part(name, HEALTH, HEALTH_ITEMS, "Faults of TOSIP")
        self._polled.append(_Polled(HEALTH.figures, changed))

    def add_driver(
        self, name: str, driver: PortT, items: Sequence[Item[PortT]], model: str
    ) -> Callable[[], None]:
        """Make the records of a driver; call what is returned when something has changed."""
        self._templates.append(lambda: load_port(self.prefix, name, model))
        self._add_structure(name, model, item_entries(self._prefix(name), items))
        return self._add_port(name, driver, items)

    def add_plugin(self, name: str, plugin: Plugin, description: Description) -> None:
        """Make the records of a plugin that has started, with the alarm limits of `description`."""
        prefix, model = self._prefix(name), description.name
        most = 1 if description.stateful else MOST_WORKERS
        self._templates.append(lambda: load_port(self.prefix, name, model))
        self._templates.append(lambda: load_plugin(self.prefix, name, model, most))
        entries = declared_entries(prefix, description) | item_entries(prefix, PLUGIN_ITEMS)
        self._add_structure(name, description.doc, entries)
        self._demands += DeclaredRecords(prefix, plugin, description, self._messages).demands()
        changed = self._add_port(name, plugin, PLUGIN_ITEMS)
        plugin.on_change.connect(changed)
        self._polled.append(_Polled(plugin.workers.household.figures, changed))

    def add_part(
        self, name: str, owner: OwnerT, items: Sequence[Item[OwnerT]], doc: str
    ) -> Callable[[], None]:
        """Make the records of what is no port; call what is returned when something has changed."""
        self._add_structure(name, doc, item_entries(self._prefix(name), items))
        return self._add_items(f"{name}:", owner, items)

    def _add_port(
        self, name: str, owner: PortT, items: Sequence[Item[PortT]]
    ) -> Callable[[], None]:
        attributes = PortAttributes(parameters(owner, items), self._variables)
        owner.port.attributes = attributes
        self._attributes.append(attributes)
        changed = self._add_items(f"{name}:", owner, items)
        attributes.on_change.connect(changed)
        self._polled.append(_Polled(lambda: attributes.message, changed))
        return changed

    def _prefix(self, name: str) -> str:
        return f"{self.prefix}{name}:"

    def _add_items(
        self, name: str, owner: OwnerT, items: Sequence[Item[OwnerT]]
    ) -> Callable[[], None]:
        records = HousekeepingRecords(f"{self.prefix}{name}", owner, items, self._messages)
        self._demands += records.demands()
        self._changed.append(records.changed)
        return records.changed

    def _add_structure(self, name: str, doc: str, entries: Entries) -> None:
        self._parts.append(name)
        prefix = self._prefix(name)
        self._structures.append(structure(f"{prefix}PVI", doc, entries))

    async def run(self) -> None:
        """Serve the records; call it on the running event loop."""
        softioc.devIocStats(f"{self.prefix}IOC")
        builder.LoadDatabase()
        for load_template in self._templates:
            load_template()
        parts = part_entries(self.prefix, self._parts)
        load_text("".join([*self._structures, structure(f"{self.prefix}PVI", "TOSIP", parts)]))
        await self._restore()
        imports.callbackSetQueueSize(CALLBACK_QUEUE)
        # EPICS would lock the stacks of all threads into memory where it may: 8 MiB each.
        ctypes.c_int.in_dll(imports.dbCore, "dbThreadRealtimeLock").value = 0
        softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher(asyncio.get_running_loop()))
        self._variables.start()
        for changed in self._changed:
            call("records", changed)

    async def _restore(self) -> None:
        """Put in force what autosave has kept: all of it is known before the first is written."""
        kept = [(demand, demand.kept()) for demand in self._demands]
        for demand, value in kept:
            if value is not None:
                await _put_in_force(demand, value)

    def stop(self) -> None:
        """Follow no PVs of others any more; the records stay until the process ends."""
        for attributes in self._attributes:
            attributes.close()
        self._variables.close()

    def names(self) -> list[str]:
        """List all PVs."""
        structures = [f"{self.prefix}PVI", *(f"{self._prefix(part)}PVI" for part in self._parts)]
        return [*record_names(), *structures]

    async def follow(self, figures: Callable[[], object]) -> None:
        """Post what has changed when `figures` have: for those that change without a word.

        What workers use is posted for each plugin alone.
        """
        last = figures()
        while True:
            await asyncio.sleep(POLL)
            if figures() != last:
                last = figures()
                for changed in self._changed:
                    call("records", changed)
                    await asyncio.sleep(0)  # frames first
            for polled in self._polled:
                if polled.look():
                    await asyncio.sleep(0)

    def start_shell(self, names: Mapping[str, object], left: Callable[[], object]) -> None:
        """Give softioc's interactive shell, with `names` known in it; call `left` at its end.

        It reads standard input in a thread that nothing can end: end the process by `leave`.
        """

        def shell() -> None:
            with contextlib.suppress(SystemExit):
                softioc.interactive_ioc(dict(names), call_exit=False)
            left()

        threading.Thread(target=shell, name="shell", daemon=True).start()


async def _put_in_force(demand: Demand, value: object) -> None:
    before = demand.initial
    try:
        await demand.write(value)
    except (TosipError, ValueError) as error:
        log.warning("%s: kept %r is refused, %r stays: %s", demand.name, value, before, error)
    else:
        log.info(TAKEN, demand.name, value, before)


def leave(status: int) -> None:
    """End the process, even while a shell's thread holds standard input; does not return."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    softioc.safeEpicsExit(status)
