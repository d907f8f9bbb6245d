"""What the gateway is told: where to listen, whom to let in, what to take, where to forward.

Times are in seconds, sizes in bytes, rates in bytes a second. The defaults suit cameras on a
network of their own; tests make the times short. `config` reads these from a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tosip.gateway.users import Users


@dataclass(frozen=True, kw_only=True)
class ArchiveSettings:
    """The FTP server that keeps the files, and how patiently it is tried.

    `folder` comes before each name; empty means the folder that the login leads to. `timeout` is
    for each step of the conversation. `check_interval` is how often an idle gateway looks whether
    the archive still answers. A file that was refused `refusals` times is a dead letter.

    `tls` `explicit` is AUTH TLS, `implicit` TLS from the first byte; both protect data too and
    check the certificate against `authorities` (a PEM file; the system's when None). `verify` tells
    how a delivered file is compared beyond its size: by the hash that the archive offers, if it
    offers one, or by reading it back.
    """

    host: str
    port: int = 21
    user: str
    password: str = field(repr=False)
    folder: str = ""
    workers: int = 3
    timeout: float = 30.0
    first_delay: float = 1.0
    longest_delay: float = 60.0
    check_interval: float = 60.0
    refusals: int = 8
    tls: Literal["none", "explicit", "implicit"] = "none"
    authorities: Path | None = None
    check_host: bool = True
    verify: Literal["hash", "read-back"] = "hash"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much and how long a client may keep the gateway waiting.

    `connections` bounds those that have logged in, `strangers` those that have not (the oldest of
    these makes room for a new one); `per_address` and `per_user` bound each. `free_space` is the
    watermark: below it uploads are refused with 452 before they begin. `stall_timeout` ends an
    upload that sends nothing, `least_rate` one that sends less than this over such a time (0: no
    bound); `idle_timeout` ends a session that asks nothing, never one that is uploading.
    `connect_timeout` is how long STOR waits for the data connection. After `bad_passwords` wrong
    ones, each answered late, a connection is closed. `line` bounds a command.
    """

    connections: int = 64
    strangers: int = 64
    per_address: int = 64
    per_user: int = 16
    free_space: int = 1 << 30
    login_timeout: float = 30.0
    idle_timeout: float = 300.0
    stall_timeout: float = 30.0
    least_rate: int = 1024
    connect_timeout: float = 10.0
    bad_password_delay: float = 1.0
    bad_passwords: int = 3
    line: int = 4096


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is taken, and when it is forwarded.

    `other_files` tells what to do with a file that does not begin as FITS: `accept` marks it as not
    proven whole. `unpadded` accepts FITS files that lack zeros after their last data; a cut within
    these cannot be told from a camera that does not write them, so it is refused unless wanted.
    Names that match `temporary` (shell patterns, on the last component) are stored and acknowledged
    but held until they are renamed, or for `hold` seconds.
    """

    other_files: Literal["accept", "refuse"] = "accept"
    unpadded: bool = False
    temporary: tuple[str, ...] = ("*.tmp", "*.part", "*.partial", "*.filepart")
    hold: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """How long and how much the spool keeps of what it need not keep.

    Delivered files: none when `delivered_age` is 0. Short files (`quarantine`) and interrupted
    uploads (`partial`, for resuming): the oldest go first. `history` is how long names, sizes and
    hashes of delivered files are remembered, for SIZE, lists, and to know duplicates.
    """

    delivered_age: float = 0.0
    delivered_bytes: int = 10 << 30
    quarantine_age: float = 30 * 86400.0
    quarantine_bytes: int = 2 << 30
    partial_age: float = 86400.0
    partial_bytes: int = 4 << 30
    history: float = 7 * 86400.0


@dataclass(frozen=True, kw_only=True)
class TlsSettings:
    """The gateway's certificate (PEM), for AUTH TLS and, on `implicit_port`, TLS from the start.

    With `required` nobody logs in or sends data in the clear.
    """

    certificate: Path
    key: Path | None = None
    required: bool = False
    implicit_port: int | None = None


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """Which camera a file belongs to: its `user`, its first `folder`, its `name`, or a `header`.

    `pattern` is a regular expression for `name`: its first group is the camera, or the whole match.
    `keyword` is the FITS keyword for `header`. `names` translates what was found; what is not in it
    stays as it is.
    """

    by: Literal["user", "folder", "name", "header"] = "user"
    pattern: str = ""
    keyword: str = ""
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """All that a `Gateway` needs; port 0 takes a free one, which `Gateway.port` then tells.

    `passive_ports` (first, last) and `passive_address` are for a firewall between cameras and
    gateway. `memory` bounds what is kept of received files until the pipeline has decoded them.
    """

    users: Users
    spool: Path
    archive: ArchiveSettings
    hosts: tuple[str, ...] = ("127.0.0.1",)
    port: int = 2121
    passive_ports: tuple[int, int] | None = None
    passive_address: str | None = None
    tls: TlsSettings | None = None
    memory: int = 512 << 20
    limits: Limits = field(default_factory=Limits)
    policy: Policy = field(default_factory=Policy)
    keeping: Keeping = field(default_factory=Keeping)
    camera: CameraSettings = field(default_factory=CameraSettings)
