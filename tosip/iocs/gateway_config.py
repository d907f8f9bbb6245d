"""The gateway of an IOC: its part of the configuration, its users, and its archive.

The spool lies below the IOC's folder for data. Without an archive of its own to forward to, the IOC
runs an embedded one there, in a process of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from pydantic import Field, model_validator

from tosip.configuration import FilePath
from tosip.errors import ConfigurationError
from tosip.gateway.config import GatewayConfig
from tosip.gateway.sections import (
    ArchiveConfig,
    CameraConfig,
    ForwardingConfig,
    KeepingConfig,
    LimitsConfig,
    ListenConfig,
    Name,
    PolicyConfig,
    load_users,
)
from tosip.gateway.settings import ArchiveSettings, GatewaySettings
from tosip.gateway.users import Users, hash_password
from tosip.iocs.children import Child


class UploadsConfig(ListenConfig):
    """Where cameras upload, who may (a file of `tosip gateway passwd`), and all the limits.

    A camera that has sent no file for `max_age` seconds is in MAJOR alarm; never if that is 0.
    """

    users: FilePath | None = None
    max_age: float = Field(0.0, ge=0)
    limits: LimitsConfig = LimitsConfig()
    policy: PolicyConfig = PolicyConfig()
    camera: CameraConfig = CameraConfig()
    spool: KeepingConfig = KeepingConfig()

    def settings(
        self, users: Users, spool: Path, archive: ArchiveSettings, cameras: Mapping[str, str]
    ) -> GatewaySettings:
        """Complete it; `cameras` names the port of each camera by what tells it."""
        config = GatewayConfig(
            listen=self, limits=self.limits, policy=self.policy, camera=self.camera
        )
        settings = config.with_these(
            users=users,
            spool=spool,
            keeping=self.spool.keeping(),
            archive=archive,
            place="gateway",
        )
        names = {**cameras, **settings.camera.names}
        return replace(settings, camera=replace(settings.camera, names=names))


class ArchivingConfig(ForwardingConfig):
    """The archive's FTP server; without `host`, one of our own below `--var`."""

    host: Name | None = None
    port: int = Field(ArchiveSettings.port, ge=1, le=65535)
    user: Name = "tosip"
    password_file: FilePath | None = None
    keep_simulated: int = Field(320, ge=1)

    @model_validator(mode="after")
    def _complete(self) -> ArchivingConfig:
        if self.host is not None and self.password_file is None:
            raise ValueError("expected a password_file beside host")
        return self

    async def settings(
        self, root: Path, stack: AsyncExitStack, *, simulate: bool
    ) -> ArchiveSettings:
        """Tell where to forward to; start the embedded archive below `root` if nowhere else."""
        if self.host is not None and self.password_file is not None:
            given = self.model_dump(exclude={"keep_simulated"})
            return ArchiveConfig.model_validate(given).settings()
        password = secrets.token_urlsafe()
        keep = ["--keep", str(self.keep_simulated)] if simulate else []
        child = await Child.start(
            ["tosip.gateway.archive", "--root", str(root), *keep],
            {"user": self.user, "password": password},
        )
        stack.push_async_callback(child.stop)
        port = int((await child.line()).removeprefix("ready "))
        own = {"host", "port", "user", "password_file", "keep_simulated"}
        how = self.model_dump(exclude=own) | {"tls": "none"}
        return ArchiveSettings(
            host="127.0.0.1", port=port, user=self.user, password=password, **how
        )


def known_users(
    file: Path | None, names: Iterable[str], *, simulate: bool
) -> tuple[Users, dict[str, str]]:
    """Load who may upload; without a file, simulated cameras get passwords of the hour."""
    if file is not None:
        return load_users("gateway.users", file), {}
    if not simulate:
        raise ConfigurationError(
            "gateway.users: expected a file with the users that may upload, got none "
            "(--simulate needs none)"
        )
    passwords = {name: secrets.token_urlsafe() for name in names}
    return Users({user: hash_password(word, cost=2) for user, word in passwords.items()}), passwords
