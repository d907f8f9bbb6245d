"""One softioc IOC: the records of each part, then start.

Importing this module loads EPICS, which reads its environment then: the network's variables have to
be set before. Records can be made only before the IOC runs.
"""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

from softioc import asyncio_dispatcher, builder, imports, softioc

from tosip.description import Description
from tosip.housekeeping import Item, OwnerT
from tosip.pipeline.panel import PLUGIN_ITEMS
from tosip.pipeline.plugin import Plugin
from tosip.records.declared import DeclaredRecords
from tosip.records.housekeeping import HousekeepingRecords

# Each record that is posted is one EPICS callback; EPICS drops them when 2000 wait.
CALLBACK_QUEUE = 50_000
POLL = 1.0  # s


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
        self._changed()
        return True


class Ioc:
    """The records of one process; `prefix` is the part of their names that all have."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._changed: list[Callable[[], None]] = []
        self._polled: list[_Polled] = []

    def add_plugin(self, name: str, plugin: Plugin, description: Description) -> None:
        """Make the records of a plugin that has started, with the alarm limits of `description`."""
        DeclaredRecords(f"{self.prefix}{name}", plugin, description)
        changed = self.add(name, plugin, PLUGIN_ITEMS)
        plugin.on_change.append(changed)
        self._polled.append(_Polled(plugin.workers.household.figures, changed))

    def add(self, name: str, owner: OwnerT, items: Sequence[Item[OwnerT]]) -> Callable[[], None]:
        """Make the records of `items`; call what is returned whenever something has changed."""
        records = HousekeepingRecords(f"{self.prefix}{name}", owner, items)
        self._changed.append(records.changed)
        return records.changed

    def run(self) -> None:
        """Serve the records; call it on the running event loop."""
        builder.LoadDatabase()
        imports.callbackSetQueueSize(CALLBACK_QUEUE)
        softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher(asyncio.get_running_loop()))
        for changed in self._changed:
            changed()

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
                    changed()
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


def leave(status: int) -> None:
    """End the process, even while a shell's thread holds standard input; does not return."""
    sys.stdout.flush()
    softioc.safeEpicsExit(status)
