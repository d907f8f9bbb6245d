"""The configuration of the NEOSTED IOC: typed, with defaults, unknown keys refused.

The defaults are those of `iocs/neosted/neosted.toml`. Relative paths in a file start at its folder.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    StrictInt,
    model_validator,
)

import tosip.plugins
from tosip.configuration import FilePath, Section, read_table, validated
from tosip.description import Alarm, Description, Kind
from tosip.drivers.fits_options import Checksum, FitsOptions, checked_hdu
from tosip.errors import ConfigurationError
from tosip.iocs.uploads import ArchivingConfig, UploadsConfig
from tosip.pipeline.limits import NICEST, Limits
from tosip.pipeline.workers import MOST_WORKERS
from tosip.reading import alarm_faults

PREFIX = r"[A-Za-z0-9_:\-]*:"  # what EPICS allows in a record name, with a colon at the end

_PLUGINS = Path(tosip.plugins.__file__).parent


class AlarmConfig(Section):
    """Alarm limits of one output; those that are left out stay as declared."""

    lolo: int | float | None = None
    low: int | float | None = None
    high: int | float | None = None
    hihi: int | float | None = None
    hysteresis: int | float | None = None


class LimitsConfig(Section):
    """What each worker process of a plugin may take; `memory_mib` 0 is no limit."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    memory_mib: int = Field(2048, ge=0)
    nice: int = Field(0, ge=0, le=NICEST)
    cpus: tuple[NonNegativeInt, ...] = ()
    folder: FilePath | None = None
    environment: dict[str, str] = Field(default_factory=dict)

    def limits(self) -> Limits:
        """Return them as the pipeline knows them."""
        return Limits(
            memory_mib=self.memory_mib or None,
            nice=self.nice,
            cpus=self.cpus,
            environment=self.environment,
            folder=self.folder,
        )


class PluginConfig(Section):
    """One algorithm: its file, the interpreter that runs it, its first values and alarm limits.

    `watch` adds data files to those that the class names. `keep_state` false keeps no state on the
    disk, whatever the class says.
    """

    file: FilePath
    class_name: str | None = None
    interpreter: FilePath = Path(sys.executable)
    queue_size: int = Field(20, ge=1)
    process_timeout: float = Field(10.0, gt=0)
    threads: int = Field(1, ge=1, le=MOST_WORKERS)
    standby: bool = False
    max_age: float = Field(0.0, ge=0)
    watch: tuple[FilePath, ...] = ()
    keep_state: bool = True
    limits: LimitsConfig = LimitsConfig()
    params: dict[str, Any] = Field(default_factory=dict)
    alarms: dict[str, AlarmConfig] = Field(default_factory=dict)


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


class BundlesConfig(Section):
    """How much is kept of each plugin's failed frames: bundles, MiB, bundles of one fault."""

    number: int = Field(20, ge=0)
    mib: int = Field(1024, ge=1)
    alike: int = Field(3, ge=1)


class FitsConfig(Section):
    """How FITS files are read; see `FitsOptions`."""

    hdu: Annotated[str | StrictInt, AfterValidator(checked_hdu)] = FitsOptions.hdu
    checksum: Checksum = FitsOptions.checksum
    earliest_year: int = Field(FitsOptions.earliest_year, ge=1990, le=2100)

    def options(self) -> FitsOptions:
        """Return them as the reader knows them."""
        return FitsOptions(**self.model_dump())


class SimulationConfig(Section):
    """What `--simulate` exposes: square frames of `size` pixels every `period` seconds."""

    size: int = Field(1024, ge=64, le=8192)
    period: float = Field(10.0, gt=0)
    seed: int = 1


class NeostedConfig(Section):
    """The whole file."""

    prefix: str = Field("NEOSTED:", pattern=rf"^{PREFIX}$")
    pool_mib: int = Field(2048, ge=64)
    cameras: tuple[CameraConfig, ...] = tuple(
        CameraConfig(number=n, user=f"cam{n:02d}") for n in range(1, 17)
    )
    gateway: UploadsConfig = UploadsConfig()
    archive: ArchivingConfig = ArchivingConfig()
    fits: FitsConfig = FitsConfig()
    focus: PluginConfig = PluginConfig(file=_PLUGINS / "focus.py")
    field: PluginConfig = PluginConfig(file=_PLUGINS / "field.py", queue_size=100)
    environment: PluginConfig = PluginConfig(file=_PLUGINS / "environment.py", queue_size=100)
    bundles: BundlesConfig = BundlesConfig()
    simulation: SimulationConfig = SimulationConfig()

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


def load_config(path: Path | None) -> NeostedConfig:
    """Read a configuration file, or take the defaults; ConfigurationError names key and place."""
    if path is None:
        return NeostedConfig()
    table = read_table(path)
    for name in ("focus", "field", "environment"):
        if isinstance(table.get(name), dict):
            default = NeostedConfig.model_fields[name].default.model_dump(exclude_unset=True)
            table[name] = {**default, **table[name]}
    return validated(NeostedConfig, table, path)


def with_alarms(description: Description, alarms: dict[str, AlarmConfig]) -> Description:
    """Return the description with the configured alarm limits in place of the declared ones."""
    changed = {}
    for name, limits in alarms.items():
        try:
            field = description.output(name)
        except KeyError as error:
            raise ConfigurationError(f"alarms.{name}: {error.args[0]}") from None
        given = limits.model_dump(exclude_none=True)
        alarm = replace(field.alarm or Alarm(), **given)
        faults = alarm_faults(alarm)
        if field.kind not in (Kind.INT, Kind.FLOAT):
            faults = [f"expected a number's limits, got those of {field.kind.value}"]
        if faults:
            raise ConfigurationError(f"alarms.{name}: {'; '.join(faults)}")
        changed[name] = replace(field, alarm=alarm)
    outputs = tuple(changed.get(field.name, field) for field in description.outputs)
    return replace(description, outputs=outputs)
