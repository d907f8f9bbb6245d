"""An IOC in a subprocess, on network ports and with a prefix of its own, seen over PVAccess."""

import queue
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tosip.testing.process import LinesProcess

_LOOPBACK = "127.0.0.1"
_PORTS = range(10_000, 32_000)


def free_port() -> int:
    """Return a port that nobody uses now, for TCP and UDP.

    It lies below those that the kernel gives to clients, of which one could take it meanwhile.
    """
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((_LOOPBACK, port))
                udp.bind((_LOOPBACK, port))
            except OSError:
                continue
        return port


class IocProcess:
    """A running IOC. Names of PVs are given without the prefix, which is its own unless given.

    Usage::

        ioc = IocProcess(["tosip.iocs.neosted", "--simulate", "--cameras", "1"], tmp_path)
        ioc.put("FOCUS01:Threshold", 7.0)
        assert ioc.wait("FOCUS01:Stars_RBV", lambda value: value > 0)
        ioc.stop()
    """

    def __init__(
        self,
        arguments: Sequence[str],
        var: Path,
        *,
        prefix: str = "",
        ready_timeout: float = 60.0,
    ) -> None:
        from p4p.client.thread import Context

        self.prefix = prefix or f"T{secrets.token_hex(3).upper()}:"
        self.arguments = tuple(arguments)
        self.var = var
        self.environment = own_network()
        command = [sys.executable, "-m", *arguments, "--prefix", self.prefix, "--var", str(var)]
        self.process = LinesProcess(command, self.environment)
        try:
            self.ready = self.process.wait_line("TOSIP ready", ready_timeout)
        except TimeoutError:
            self.process.stop()
            raise
        port = self.environment["EPICS_PVA_BROADCAST_PORT"]
        conf = {
            "EPICS_PVA_ADDR_LIST": _LOOPBACK,
            "EPICS_PVA_AUTO_ADDR_LIST": "NO",
            "EPICS_PVA_BROADCAST_PORT": port,
        }
        self._client = Context("pva", conf=conf, useenv=False)

    @property
    def gateway_port(self) -> int:
        """The FTP port of the gateway."""
        found = re.search(r"gateway \S+:(\d+)", self.ready)
        if found is None:
            raise LookupError(f"no gateway in: {self.ready}")
        return int(found[1])

    def get(self, name: str, timeout: float = 10.0) -> Any:
        """Read a PV; the value has `.severity` and `.timestamp` too."""
        return self._client.get(self.prefix + name, timeout=timeout)

    def get_all(self, names: Sequence[str], timeout: float = 30.0) -> dict[str, Any]:
        """Read many PVs at once; one that does not answer in time gives None."""
        full = [self.prefix + name for name in names]
        values = self._client.get(full, timeout=timeout, throw=False)
        return {
            name: None if isinstance(value, Exception) else value
            for name, value in zip(names, values, strict=True)
        }

    def put(self, name: str, value: Any, timeout: float = 10.0) -> None:
        """Write a PV and wait until the value is in force; RemoteError if it is refused."""
        self._client.put(self.prefix + name, value, timeout=timeout, wait=True)

    def monitor(self, name: str) -> "Monitor":
        """Collect all updates of a PV: `with ioc.monitor(name) as values: values.next()`."""
        return Monitor(self._client, self.prefix + name)

    def wait(self, name: str, accept: Callable[[Any], bool], timeout: float = 30.0) -> Any:
        """Wait until a PV's value is accepted and return it; TimeoutError tells the last one."""
        deadline = time.monotonic() + timeout
        with self.monitor(name) as values:
            value = None
            while (left := deadline - time.monotonic()) > 0:
                try:
                    value = values.next(left)
                except queue.Empty:
                    break
                if accept(value):
                    return value
        raise TimeoutError(f"{self.prefix}{name}: last value {value!r}")

    def stop(self) -> int:
        """End the IOC and return its exit status."""
        self._client.close()
        return self.process.stop()


class Monitor:
    """Updates of one PV, in order.

    Built on p4p's raw client: in the one with threads an update that comes before `monitor` has
    returned is lost, and no later one wakes it (p4p 4.3). A choice is known by its text in every
    update: p4p forgets the texts when its client handles a PV of another type in between.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._woken = threading.Event()
        self._client, self._name = client, name
        self._choices: Sequence[str] = ()

    def next(self, timeout: float = 10.0) -> Any:
        """Return the next update; queue.Empty if none comes."""
        deadline = time.monotonic() + timeout
        while True:
            self._woken.clear()
            update = self._subscription.pop()
            if update is not None and not isinstance(update, Exception):
                return self._with_choice(update)
            if update is None and not self._woken.wait(max(0.0, deadline - time.monotonic())):
                raise queue.Empty

    def _with_choice(self, update: Any) -> Any:
        from p4p.nt.enum import ntenum

        if isinstance(update, ntenum):
            self._choices = update.raw.value.choices or self._choices
            if update < len(self._choices):
                update.choice = self._choices[update]
        return update

    def __enter__(self) -> "Monitor":
        from p4p.client.raw import Context

        self._subscription = Context.monitor(self._client, self._name, self._woken.set)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._subscription.close()


def own_network() -> dict[str, str]:
    """Make the environment of an IOC that no other IOC or client can meet by chance."""
    channel_access, pv_access, broadcast = (str(free_port()) for _ in range(3))
    return {
        "EPICS_CAS_INTF_ADDR_LIST": _LOOPBACK,
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_BEACON_ADDR_LIST": _LOOPBACK,
        "EPICS_CA_ADDR_LIST": _LOOPBACK,
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": channel_access,
        "EPICS_CAS_SERVER_PORT": channel_access,
        "EPICS_CA_REPEATER_PORT": str(free_port()),
        "EPICS_PVAS_INTF_ADDR_LIST": _LOOPBACK,
        "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_PVAS_BEACON_ADDR_LIST": _LOOPBACK,
        "EPICS_PVAS_SERVER_PORT": pv_access,
        "EPICS_PVAS_BROADCAST_PORT": broadcast,
        "EPICS_PVA_BROADCAST_PORT": broadcast,
        "EPICS_PVA_ADDR_LIST": _LOOPBACK,
        "EPICS_PVA_AUTO_ADDR_LIST": "NO",
    }
