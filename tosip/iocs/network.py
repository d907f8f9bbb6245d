"""Where the EPICS servers listen, and where PVs of others are looked for.

Has to be settled before softioc is imported.
"""

import logging
import os
import socket
from pathlib import Path

from pydantic import Field

from tosip.configuration import Section

log = logging.getLogger(__name__)


class NetworkConfig(Section):
    """TCP and UDP ports of the EPICS servers; EPICS's own where nothing is given.

    The environment (`EPICS_CAS_SERVER_PORT` ...) wins.
    """

    ca_port: int | None = Field(None, ge=1, le=65535)
    pva_port: int | None = Field(None, ge=1, le=65535)
    pva_broadcast_port: int | None = Field(None, ge=1, le=65535)

    def export(self) -> None:
        """Put the ports into the environment, where EPICS looks for them."""
        for variable, port in (
            ("EPICS_CAS_SERVER_PORT", self.ca_port),
            ("EPICS_PVAS_SERVER_PORT", self.pva_port),
            ("EPICS_PVAS_BROADCAST_PORT", self.pva_broadcast_port),
        ):
            if port is not None:
                os.environ.setdefault(variable, str(port))


_LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp

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


def warn_of_taken_port() -> None:
    """Log a warning if another process has the Channel Access port, with its name if known.

    The server would take another port, and clients that search this machine would reach only one of
    the two.
    """
    variables = ("EPICS_CAS_SERVER_PORT", "EPICS_CA_SERVER_PORT")
    port = int(next((os.environ[name] for name in variables if os.environ.get(name)), "5064"))
    address = os.environ.get("EPICS_CAS_INTF_ADDR_LIST", "").split()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address[0] if address else "", port))
        except PermissionError:
            return
        except OSError:
            log.warning(
                "the Channel Access port %d is in use%s: clients on this machine will find the "
                "PVs of only one of the two IOCs; give this one a port of its own "
                "(network.ca_port, or EPICS_CAS_SERVER_PORT) and clients the address HOST:PORT "
                "in EPICS_CA_ADDR_LIST",
                port,
                _owner(port),
            )


def _owner(port: int) -> str:
    """Name the process that listens on a TCP port, as far as we may look."""
    inodes = {
        fields[9]
        for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
        if (fields := line.split())[3] == _LISTENING and int(fields[1].split(":")[1], 16) == port
    }
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(os.readlink(link) in wanted for link in folder.iterdir()):
                command = (folder.parent / "cmdline").read_bytes().split(b"\0")
                words = " ".join(os.fsdecode(word) for word in command[:4] if word)
                return f" by process {folder.parent.name} ({words[:80]})"
        except OSError:  # ended meanwhile, or another user's
            continue
    return ""
