"""What the gateway is told: where to listen, whom to let in, where to store and to forward.

Times are in seconds, sizes in bytes. The defaults suit cameras on a network of their own; tests
make the times short.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tosip.gateway.users import Users


@dataclass(frozen=True, kw_only=True)
class ArchiveSettings:
    """The FTP server that keeps the files, and how patiently it is tried.

    `folder` comes before each name; empty means the folder that the login leads to. `timeout` is
    for each step of the conversation. `check_interval` is how often an idle gateway looks whether
    the archive still answers.
    """

    host: str
    port: int = 21
    user: str
    password: str = field(repr=False)
    folder: str = ""
    workers: int = 2
    timeout: float = 30.0
    first_delay: float = 1.0
    longest_delay: float = 60.0
    check_interval: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much and how long a client may keep the gateway waiting.

    `free_space` is the watermark: below it uploads are refused with 452 before they begin.
    `stall_timeout` ends an upload that sends nothing; `idle_timeout` ends a session that asks
    nothing, never one that is uploading. `connect_timeout` is how long STOR waits for the data
    connection.
    """

    connections: int = 64
    free_space: int = 1 << 30
    login_timeout: float = 30.0
    idle_timeout: float = 300.0
    stall_timeout: float = 30.0
    connect_timeout: float = 10.0
    bad_password_delay: float = 1.0


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """All that a `Gateway` needs; port 0 takes a free one, which `Gateway.port` then tells."""

    users: Users
    spool: Path
    archive: ArchiveSettings
    host: str = "127.0.0.1"
    port: int = 2121
    limits: Limits = field(default_factory=Limits)
