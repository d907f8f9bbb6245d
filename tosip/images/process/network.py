"""Where the PVAccess server of images listens: where that of the records does, on another port."""

import re
from collections.abc import Mapping

_LOOPBACK = {
    "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
    "EPICS_PVAS_BEACON_ADDR_LIST": "127.0.0.1",
}
_PORT = re.compile(r"^([^:]+|\[.*\]):\d+")


def server_settings(environment: Mapping[str, str], port: int) -> dict[str, str]:
    """Return p4p's settings of a server on TCP port `port` (0: any that is free).

    Interfaces, beacons and the UDP port of searches are those of the environment, as for the
    records; without EPICS_PVAS_INTF_ADDR_LIST the server stays on loopback. A TCP port that is
    named there together with an interface is the records'.
    """
    found = {name: value for name, value in environment.items() if name.startswith("EPICS_PVA")}
    if "EPICS_PVAS_INTF_ADDR_LIST" not in found:
        found.update(_LOOPBACK)
    interfaces = found["EPICS_PVAS_INTF_ADDR_LIST"].split()
    found["EPICS_PVAS_INTF_ADDR_LIST"] = " ".join(_PORT.sub(r"\1", one) for one in interfaces)
    found["EPICS_PVAS_SERVER_PORT"] = str(port)
    return found
