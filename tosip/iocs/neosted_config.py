"""NEOSTED's short configuration, and the whole IOC that grows from it.

Cameras upload to the gateway; each has a driver CAMnn and a focus plugin FOCUSnn behind it. FIELD
and ENV take the figures of all cameras from the gather FOCUS.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from tosip.configuration import Section, validated
from tosip.drivers.fits_config import FitsConfig
from tosip.drivers.ftp import FtpConfig
from tosip.iocs.config import (
    PREFIX,
    AlgorithmConfig,
    BundlesConfig,
    GatherConfig,
    IocConfig,
    PluginConfig,
    SimulationConfig,
    shipped_algorithms,
)
from tosip.iocs.gateway_config import ArchivingConfig, UploadsConfig
from tosip.iocs.network import NetworkConfig
from tosip.toml_files import read_toml

ALL_FOCUS, FIELD, ENVIRONMENT = "FOCUS", "FIELD", "ENV"
LABEL = "NEOSTED"

_SHIPPED = shipped_algorithms()


class CameraConfig(Section):
    """One camera: its number, and the FTP user that it logs in as.

    `identity` tells its files if the user does not: a folder, a part of their names, or a header's
    value, as `gateway.camera` says.
    """

    number: int = Field(ge=1, le=99)
    user: str = Field(min_length=1)
    identity: str = ""

    @property
    def told_by(self) -> str:
        """What tells that a file is of this camera."""
        return self.identity or self.user

    @property
    def port(self) -> str:
        """Name of the port that gives its frames."""
        return f"CAM{self.number:02d}"

    @property
    def focus_port(self) -> str:
        """Name of its focus plugin's port."""
        return f"FOCUS{self.number:02d}"


class NeostedConfig(Section):
    """NEOSTED's file."""

    ioc: Literal["neosted"] = "neosted"
    prefix: str = Field("NEOSTED:", pattern=rf"^{PREFIX}$")
    pool_mib: int = Field(2048, ge=64)
    cameras: tuple[CameraConfig, ...] = tuple(
        CameraConfig(number=n, user=f"cam{n:02d}") for n in range(1, 17)
    )
    gateway: UploadsConfig = UploadsConfig()
    archive: ArchivingConfig = ArchivingConfig()
    fits: FitsConfig = FitsConfig()
    focus: AlgorithmConfig = AlgorithmConfig(file=_SHIPPED["focus"])
    field: AlgorithmConfig = AlgorithmConfig(file=_SHIPPED["field"], queue_size=100)
    environment: AlgorithmConfig = AlgorithmConfig(file=_SHIPPED["environment"], queue_size=100)
    bundles: BundlesConfig = BundlesConfig()
    simulation: SimulationConfig = SimulationConfig()
    network: NetworkConfig = NetworkConfig()

    @model_validator(mode="after")
    def _cameras_differ(self) -> "NeostedConfig":
        for what, values in (
            ("number", [camera.number for camera in self.cameras]),
            ("user (or identity)", [camera.told_by for camera in self.cameras]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"cameras: expected a {what} of its own for each")
        if not self.cameras:
            raise ValueError("cameras: expected at least one")
        return self

    @model_validator(mode="after")
    def _files_have_cameras(self) -> "NeostedConfig":
        rule = self.gateway.camera
        if rule.by == "user" and any(camera.identity for camera in self.cameras):
            raise ValueError(
                "cameras: expected an identity only where gateway.camera.by is not 'user'"
            )
        ports = {camera.port for camera in self.cameras}
        for name, port in rule.names.items():
            if port not in ports:
                place, example = f"gateway.camera.names.{name}", min(ports)
                raise ValueError(f"{place}: expected a camera such as {example}, got {port}")
        return self


def load_neosted(path: Path | None) -> NeostedConfig:
    """Read a configuration file, or return the defaults; ConfigurationError names file and key."""
    if path is None:
        return NeostedConfig()
    table = read_toml(path)
    for name in ("focus", "field", "environment"):
        if isinstance(given := table.values.get(name), dict):
            default: AlgorithmConfig = NeostedConfig.model_fields[name].default
            kept = {"file"} if "module" in given else set()
            values = default.model_dump(exclude_unset=True, exclude=kept)
            table.values[name] = {**values, **given}
    return validated(NeostedConfig, table, path)


def neosted_places(config: NeostedConfig) -> dict[str, str]:
    """Return the section in NEOSTED's file that each plugin comes from."""
    places = {camera.focus_port: "focus" for camera in config.cameras}
    return places | {FIELD: "field", ENVIRONMENT: "environment"}


def neosted_ioc(config: NeostedConfig) -> IocConfig:
    """Return the IOC of the configured cameras."""
    cameras = config.cameras
    plugins = {camera.focus_port: _plugin(config.focus, camera.port) for camera in cameras}
    plugins[FIELD] = _plugin(config.field, ALL_FOCUS, cameras=len(cameras))
    plugins[ENVIRONMENT] = _plugin(config.environment, ALL_FOCUS)
    return IocConfig(
        prefix=config.prefix,
        label=LABEL,
        pool_mib=config.pool_mib,
        drivers={
            camera.port: FtpConfig(
                kind="ftp", user=camera.user, identity=camera.identity, **dict(config.fits)
            )
            for camera in cameras
        },
        plugins=plugins,
        gather={ALL_FOCUS: GatherConfig(sources=tuple(c.focus_port for c in cameras))},
        gateway=config.gateway,
        archive=config.archive,
        bundles=config.bundles,
        simulation=config.simulation,
        network=config.network,
    )


def _plugin(config: AlgorithmConfig, source: str, **suggested: Any) -> PluginConfig:
    return PluginConfig(**dict(config), source=source, suggested=suggested)
