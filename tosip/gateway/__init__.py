"""The FTP store-and-forward gateway: cameras upload, the archive gets the same bytes.

A file's way: `server` talks to the camera, `receiving` takes the bytes in, `spool` makes them
durable, only then does the camera read 226; `announcer` hands the file to the pipeline,
`forwarding` delivers it to the archive. `gateway` puts these together.
"""

from tosip.gateway.counters import GatewayCounters
from tosip.gateway.gateway import Gateway
from tosip.gateway.settings import ArchiveSettings, GatewaySettings, Limits
from tosip.gateway.spool.stored import StoredFile
from tosip.gateway.users import Users, hash_password

__all__ = [
    "ArchiveSettings",
    "Gateway",
    "GatewayCounters",
    "GatewaySettings",
    "Limits",
    "StoredFile",
    "Users",
    "hash_password",
]
