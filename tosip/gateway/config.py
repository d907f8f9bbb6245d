"""The gateway's part of a configuration file, and the whole file of a gateway that runs alone.

`GatewayFile` is what `python -m tosip.gateway` reads. An IOC's configuration embeds
`GatewayConfig`, says itself where the spool is and which archive there is, and uses
`KeepingConfig` and `ArchiveConfig` of `sections` for that.
"""

from pathlib import Path

from tosip.configuration import Section, validated
from tosip.gateway.sections import (
    MIB,
    ArchiveConfig,
    CameraConfig,
    LimitsConfig,
    ListenConfig,
    PolicyConfig,
    SpoolConfig,
    UsersConfig,
)
from tosip.gateway.settings import ArchiveSettings, GatewaySettings, Keeping
from tosip.gateway.users import Users
from tosip.toml_files import read_toml


class GatewayConfig(Section):
    """What every gateway is told; where the spool and the archive are, depends on who runs it."""

    listen: ListenConfig = ListenConfig()
    limits: LimitsConfig = LimitsConfig()
    policy: PolicyConfig = PolicyConfig()
    camera: CameraConfig = CameraConfig()

    def with_these(
        self,
        *,
        users: Users,
        spool: Path,
        keeping: Keeping,
        archive: ArchiveSettings,
        place: str = "listen",
    ) -> GatewaySettings:
        """Complete it to what a `Gateway` needs; ConfigurationError if a file is not there.

        `place` is the key that the user has for `listen`.
        """
        listen = self.listen
        return GatewaySettings(
            users=users,
            spool=spool,
            archive=archive,
            hosts=listen.hosts,
            port=listen.port,
            passive_ports=listen.passive_ports,
            passive_address=str(listen.passive_address) if listen.passive_address else None,
            tls=listen.tls.settings(f"{place}.tls") if listen.tls else None,
            memory=int(self.limits.memory_mib * MIB),
            limits=self.limits.limits(),
            policy=self.policy.policy(),
            keeping=keeping,
            camera=self.camera.settings(),
        )


class GatewayFile(GatewayConfig):
    """The whole file of a gateway that runs alone."""

    users: UsersConfig
    spool: SpoolConfig
    archive: ArchiveConfig

    def settings(self) -> GatewaySettings:
        """Read what it names; ConfigurationError tells what is wrong with a file."""
        return self.with_these(
            users=self.users.load(),
            spool=self.spool.folder,
            keeping=self.spool.keeping(),
            archive=self.archive.settings(),
        )


def load_config(path: Path) -> GatewayFile:
    """Read a file; ConfigurationError names file, key, what was expected and what there is."""
    return validated(GatewayFile, read_toml(path), path)
