"""Where the EPICS servers listen, and where PVs of others are looked for.

Has to be settled before softioc is imported.
"""

import os

# EPICS listens on all interfaces unless it is told otherwise; we do not.
LOOPBACK = {
    "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
    "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
    "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
    "EPICS_PVAS_BEACON_ADDR_LIST": "127.0.0.1",
}


# For attributes that come from the PVs of other IOCs.
CLIENT = {"EPICS_CA_ADDR_LIST": "127.0.0.1", "EPICS_CA_AUTO_ADDR_LIST": "NO"}


def stay_on_loopback() -> None:
    """Keep servers and client on loopback, unless the environment says where they shall go."""
    if "EPICS_CA_ADDR_LIST" not in os.environ:
        # The server's beacons follow the client's addresses where nothing else is said.
        if "EPICS_CAS_INTF_ADDR_LIST" in os.environ:
            os.environ.setdefault("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "YES")
        os.environ.update(CLIENT)
    for protocol in ("EPICS_CAS_", "EPICS_PVAS_"):
        if f"{protocol}INTF_ADDR_LIST" not in os.environ:
            os.environ.update({k: v for k, v in LOOPBACK.items() if k.startswith(protocol)})
