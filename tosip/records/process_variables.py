"""EPICS PVs that attributes come from: this IOC's own, and those of others, over Channel Access.

Each PV is monitored once, however many ports ask for it, and only its last value is kept. It is
None while the PV is not connected, and while it is INVALID: a record that was never set says 0.

As in areaDetector a waveform gives its first element, unless it holds characters and is asked for
as DBR_STRING; an enum gives its number, or its label as DBR_STRING. Channel Access has no integers
of more than 32 bits: larger ones come as float.

Channel Access reads its environment (`EPICS_CA_ADDR_LIST` ...) at `start`.
"""

import asyncio
import functools
import logging
from collections.abc import Mapping
from typing import Any

import aioca
import numpy as np
from aioca import _catools

from tosip.pipeline.attributes_file import DbrType
from tosip.pipeline.ndarray import AttributeValue

_INVALID = 3  # EPICS severity
_NO_ACCESS = 7  # EPICS: the type of a PV that is not connected

_TYPES: Mapping[DbrType, int | None] = {
    DbrType.NATIVE: None,
    DbrType.STRING: aioca.DBR_STRING,
    DbrType.CHAR: aioca.DBR_CHAR,
    DbrType.SHORT: aioca.DBR_SHORT,
    DbrType.INT: aioca.DBR_SHORT,  # that is what Channel Access calls an int
    DbrType.ENUM: aioca.DBR_ENUM,
    DbrType.LONG: aioca.DBR_LONG,
    DbrType.FLOAT: aioca.DBR_FLOAT,
    DbrType.DOUBLE: aioca.DBR_DOUBLE,
}

log = logging.getLogger(__name__)


class ProcessVariables:
    """All PVs that one IOC's attributes come from.

    Usage::

        source = ProcessVariables()
        attributes = PortAttributes(params, source)  # any number, at any time
        ioc.run()
        source.start()
        ...
        source.close()

    `start` after the IOC runs: then its own PVs are reached without the network.
    """

    def __init__(self) -> None:
        self._monitors: dict[tuple[str, DbrType], _Monitor] = {}
        self._running = False

    def start(self) -> None:
        """Connect what was asked for, and what will be, on the running event loop."""
        if self._running:
            return
        self._running = True
        for monitor in self._monitors.values():
            monitor.start()

    def subscribe(self, pv: str, dbrtype: DbrType) -> "PvHandle":
        """Follow a PV; returns at once, whether there is such a PV or not."""
        monitor = self._monitors.get((pv, dbrtype))
        if monitor is None:
            monitor = self._monitors[pv, dbrtype] = _Monitor(pv, dbrtype)
            if self._running:
                monitor.start()
        monitor.users += 1
        return PvHandle(monitor, functools.partial(self._let_go, monitor))

    def close(self) -> None:
        """Disconnect all; call it on the event loop, before that ends."""
        self._running = False
        for monitor in tuple(self._monitors.values()):
            self._end(monitor)

    def _let_go(self, monitor: "_Monitor") -> None:
        monitor.users -= 1
        if monitor.users == 0 and self._monitors.get(monitor.key) is monitor:
            self._end(monitor)

    def _end(self, monitor: "_Monitor") -> None:
        del self._monitors[monitor.key]
        monitor.stop()
        if monitor.started and not any(pv == monitor.pv for pv, _ in self._monitors):
            _close_channel(monitor.pv)


class PvHandle:
    """One PV that a port follows."""

    def __init__(self, monitor: "_Monitor", let_go: Any) -> None:
        self._monitor = monitor
        self._let_go = let_go

    @property
    def value(self) -> AttributeValue | None:
        """The last value; None while there is none to believe."""
        return self._monitor.value

    def close(self) -> None:
        """Follow it no more."""
        let_go, self._let_go = self._let_go, None
        if let_go:
            let_go()


class _Monitor:
    """The monitor of one PV in one type."""

    def __init__(self, pv: str, dbrtype: DbrType) -> None:
        self.pv = pv
        self.key = pv, dbrtype
        self.users = 0
        self._value: AttributeValue | None = None
        self._dbrtype = dbrtype
        self._task: asyncio.Task[None] | None = None
        self._subscription: Any = None

    @property
    def value(self) -> AttributeValue | None:
        following = self._subscription
        if following is None or following.state == following.CLOSED:  # the server may refuse us
            return None
        return self._value

    @property
    def started(self) -> bool:
        return self._task is not None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._follow())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._subscription is not None:
            self._subscription.close()

    async def _follow(self) -> None:
        try:
            kind = _NO_ACCESS
            while kind == _NO_ACCESS:  # or it was gone again at once
                kind = (await aioca.cainfo(self.pv, timeout=None)).datatype
            self._subscription = aioca.camonitor(
                self.pv,
                self._changed,
                format=aioca.FORMAT_TIME,
                notify_disconnect=True,
                **self._request(kind),
            )
        except Exception:  # such as a name that Channel Access does not take
            log.exception("%s: cannot be an attribute", self.pv)

    def _request(self, kind: int) -> dict[str, Any]:
        text = self._dbrtype is DbrType.STRING or (
            self._dbrtype is DbrType.NATIVE and self.pv.endswith("$")  # EPICS: as a long string
        )
        if text and kind == aioca.DBR_CHAR:
            return {"datatype": aioca.DBR_CHAR_STR, "count": 0}
        return {"datatype": _TYPES[self._dbrtype], "count": 1}

    def _changed(self, value: Any) -> None:
        believed = value.ok and value.severity != _INVALID
        self._value = _plain(value) if believed else None


def _plain(value: Any) -> AttributeValue | None:
    """Take away what aioca adds to a value, and all elements but the first."""
    if isinstance(value, np.ndarray):
        if not value.size:
            return None
        value = value.flat[0]
    if isinstance(value, np.generic):
        value = value.item()
    for plain in (str, int, float):
        if isinstance(value, plain):
            return plain(value)
    return None


def _close_channel(pv: str) -> None:
    """Close a channel; aioca itself keeps each one for ever, and looks for it for ever.

    The cache of channels has no public way to close one (aioca 2.1): this is the only place that
    uses what is private to aioca.
    """
    cache = _catools._Context.get_channel_cache()
    channel = cache._ChannelCache__channels.pop(pv, None)
    if channel is not None:
        channel._purge()
