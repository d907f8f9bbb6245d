"""The FTP store-and-forward gateway: cameras upload, the archive gets the same bytes.

A file's way: `server` receives it under a temporary name, `spool` makes it durable, only then does
the camera read 226; `gateway` announces it to the pipeline, `forwarder` delivers it to the archive.
"""

from tosip.gateway.gateway import Gateway, GatewayCounters
from tosip.gateway.settings import ArchiveSettings, GatewaySettings, Limits
from tosip.gateway.stored import StoredFile
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
