"""The tables of the gateway's configuration; each turns itself into its part of `settings`.

The defaults are those of `settings`. Bare numbers are seconds or counts; other units end the key.
Passwords stand in files of their own.
"""

import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from tosip.configuration import (
    FilePath,
    Section,
    expect_file,
    expect_secret,
    placed,
    read_password,
)
from tosip.gateway.settings import (
    ArchiveSettings,
    CameraSettings,
    GatewaySettings,
    Keeping,
    Limits,
    Policy,
    TlsSettings,
)
from tosip.gateway.users import Users

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
DAY = 86400.0

Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65535)]
Name = Annotated[str, Field(min_length=1)]


class TlsConfig(Section):
    """The gateway's certificate and key (PEM); see `settings.TlsSettings`."""

    certificate: FilePath
    key: FilePath | None = None
    required: bool = False
    implicit_port: Port | None = None

    def settings(self, place: str) -> TlsSettings:
        """Return them as the gateway knows them; ConfigurationError if a file is not there.

        `place` is the key that the user has for this table.
        """
        if self.key is None:  # then it is in the same file
            expect_secret(f"{place}.certificate", self.certificate)
        else:
            expect_file(f"{place}.certificate", self.certificate)
            expect_secret(f"{place}.key", self.key)
        return TlsSettings(**self.model_dump())


class ListenConfig(Section):
    """Where cameras find the gateway; `passive_address` is what PASV tells behind a firewall."""

    hosts: Annotated[tuple[Name, ...], Field(min_length=1)] = GatewaySettings.hosts
    port: Port = GatewaySettings.port
    passive_ports: tuple[Port, Port] | None = None
    passive_address: IPv4Address | None = None
    tls: TlsConfig | None = None

    @model_validator(mode="after")
    def _ports_are_a_range(self) -> "ListenConfig":
        if self.passive_ports and not 0 < self.passive_ports[0] <= self.passive_ports[1]:
            first, last = self.passive_ports
            raise ValueError(f"passive_ports: expected first <= last, got [{first}, {last}]")
        return self


class UsersConfig(Section):
    """Who may upload: a file that `tosip gateway passwd` writes."""

    file: FilePath

    def load(self) -> Users:
        """Read the file; ConfigurationError tells what is wrong with it."""
        return load_users("users.file", self.file)


def load_users(key: str, file: Path) -> Users:
    """Read the file of users that `key` names; ConfigurationError tells what is wrong with it."""
    expect_secret(key, file)
    with placed({"Users.load: ": f"{key}: ", "": f"{key}: "}):
        return Users.load(file)


class LimitsConfig(Section):
    """See `settings.Limits`; `memory_mib` is for received files on their way to the pipeline."""

    connections: int = Field(Limits.connections, ge=1)
    strangers: int = Field(Limits.strangers, ge=1)
    per_address: int = Field(Limits.per_address, ge=1)
    per_user: int = Field(Limits.per_user, ge=1)
    least_free_gib: Finite = Limits.free_space / GIB
    login_timeout: Seconds = Limits.login_timeout
    idle_timeout: Seconds = Limits.idle_timeout
    stall_timeout: Seconds = Limits.stall_timeout
    connect_timeout: Seconds = Limits.connect_timeout
    least_rate_kib: Finite = Limits.least_rate / KIB
    bad_passwords: int = Field(Limits.bad_passwords, ge=1)
    bad_password_delay: Finite = Limits.bad_password_delay
    line_kib: float = Field(Limits.line / KIB, ge=0.25, allow_inf_nan=False)
    memory_mib: Finite = GatewaySettings.memory / MIB

    def limits(self) -> Limits:
        """Return them as the gateway knows them."""
        other_units = {"least_free_gib", "least_rate_kib", "line_kib", "memory_mib"}
        return Limits(
            **self.model_dump(exclude=other_units),
            free_space=int(self.least_free_gib * GIB),
            least_rate=int(self.least_rate_kib * KIB),
            line=int(self.line_kib * KIB),
        )


class PolicyConfig(Section):
    """What is taken, and when it is forwarded; see `settings.Policy`."""

    other_files: Literal["accept", "refuse"] = Policy.other_files
    unpadded: bool = Policy.unpadded
    temporary: tuple[Name, ...] = Policy.temporary
    hold: float = Field(Policy.hold, gt=0)

    def policy(self) -> Policy:
        """Return it as the gateway knows it."""
        return Policy(**self.model_dump())


class CameraConfig(Section):
    """Which camera a file belongs to; see `settings.CameraSettings`."""

    by: Literal["user", "folder", "name", "header"] = CameraSettings.by
    pattern: str = CameraSettings.pattern
    keyword: Annotated[str, StringConstraints(to_upper=True)] = CameraSettings.keyword
    names: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> "CameraConfig":
        needed = {"name": "pattern", "header": "keyword"}.get(self.by)
        if needed and not getattr(self, needed):
            raise ValueError(f"expected a {needed} beside by = {self.by!r}, got none")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(
                f"pattern: expected a regular expression, got {self.pattern!r} ({error})"
            ) from None
        return self

    def settings(self) -> CameraSettings:
        """Return it as the gateway knows it."""
        return CameraSettings(**self.model_dump())


class KeepingConfig(Section):
    """How much the spool keeps of what it need not keep; see `settings.Keeping`."""

    delivered_days: float = Field(Keeping.delivered_age / DAY, ge=0)
    delivered_gib: Finite = Keeping.delivered_bytes / GIB
    quarantine_days: float = Field(Keeping.quarantine_age / DAY, ge=0)
    quarantine_gib: Finite = Keeping.quarantine_bytes / GIB
    partial_days: float = Field(Keeping.partial_age / DAY, ge=0)
    partial_gib: Finite = Keeping.partial_bytes / GIB
    history_days: float = Field(Keeping.history / DAY, ge=0)

    def keeping(self) -> Keeping:
        """Return it as the gateway knows it."""
        return Keeping(
            delivered_age=self.delivered_days * DAY,
            delivered_bytes=int(self.delivered_gib * GIB),
            quarantine_age=self.quarantine_days * DAY,
            quarantine_bytes=int(self.quarantine_gib * GIB),
            partial_age=self.partial_days * DAY,
            partial_bytes=int(self.partial_gib * GIB),
            history=self.history_days * DAY,
        )


class SpoolConfig(KeepingConfig):
    """The folder that the gateway writes to, its own alone."""

    folder: FilePath


class ForwardingConfig(Section):
    """How files are forwarded, wherever to; see `settings.ArchiveSettings`."""

    folder: str = ArchiveSettings.folder
    workers: int = Field(ArchiveSettings.workers, ge=1, le=64)
    timeout: Seconds = ArchiveSettings.timeout
    first_delay: Seconds = ArchiveSettings.first_delay
    longest_delay: Seconds = ArchiveSettings.longest_delay
    check_interval: Seconds = ArchiveSettings.check_interval
    refusals: int = Field(ArchiveSettings.refusals, ge=1)
    tls: Literal["none", "explicit", "implicit"] = ArchiveSettings.tls
    authorities: FilePath | None = None
    check_host: bool = ArchiveSettings.check_host
    verify: Literal["hash", "read-back"] = ArchiveSettings.verify


class ArchiveConfig(ForwardingConfig):
    """The FTP server that files are forwarded to, and the login there."""

    host: Name
    port: int = Field(ArchiveSettings.port, ge=1, le=65535)
    user: Name
    password_file: FilePath

    def settings(self) -> ArchiveSettings:
        """Read the password; ConfigurationError tells what is wrong with a file."""
        if self.authorities is not None:
            expect_file("archive.authorities", self.authorities)
        return ArchiveSettings(
            **self.model_dump(exclude={"password_file"}),
            password=read_password("archive.password_file", self.password_file),
        )
