"""Where the EPICS servers listen. Has to be settled before softioc is imported."""

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


def stay_on_loopback() -> None:
    """Keep both servers on loopback, unless the environment says where they shall listen."""
    for protocol in ("EPICS_CAS_", "EPICS_PVAS_"):
        if f"{protocol}INTF_ADDR_LIST" not in os.environ:
            os.environ.update({k: v for k, v in LOOPBACK.items() if k.startswith(protocol)})
