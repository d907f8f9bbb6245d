"""The configuration of the NEOSTED IOC: typed, with defaults, unknown keys refused.

The defaults are those of `iocs/neosted/neosted.toml`. Relative paths in a file start at its folder.
"""

import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    ValidationError,
    model_validator,
)

import tosip.plugins
from tosip.description import Alarm, Description, Kind
from tosip.errors import ConfigurationError
from tosip.pipeline.limits import NICEST, Limits
from tosip.reading import alarm_faults

PREFIX = r"[A-Za-z0-9_:\-]*:"  # what EPICS allows in a record name, with a colon at the end

_PLUGINS = Path(tosip.plugins.__file__).parent


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AlarmConfig(_Section):
    """Alarm limits of one output; those that are left out stay as declared."""

    lolo: float | None = None
    low: float | None = None
    high: float | None = None
    hihi: float | None = None
    hysteresis: float | None = None


class LimitsConfig(_Section):
    """What each worker process of a plugin may take; `memory_mib` 0 is no limit."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    memory_mib: int = Field(2048, ge=0)
    nice: int = Field(0, ge=0, le=NICEST)
    cpus: tuple[NonNegativeInt, ...] = ()
    folder: Path | None = None
    environment: dict[str, str] = {}

    def limits(self) -> Limits:
        """Return them as the pipeline knows them."""
        return Limits(
            memory_mib=self.memory_mib or None,
            nice=self.nice,
            cpus=self.cpus,
            environment=self.environment,
            folder=self.folder,
        )


class PluginConfig(_Section):
    """One algorithm: its file, the interpreter that runs it, its first values and alarm limits."""

    file: Path
    class_name: str | None = None
    interpreter: Path = Path(sys.executable)
    queue_size: int = Field(20, ge=1)
    process_timeout: float = Field(10.0, gt=0)
    threads: int = Field(1, ge=1)
    standby: bool = False
    max_age: float = Field(0.0, ge=0)
    limits: LimitsConfig = LimitsConfig()
    params: dict[str, Any] = {}
    alarms: dict[str, AlarmConfig] = {}


class CameraConfig(_Section):
    """One camera: its number, and the FTP user that it logs in as."""

    number: int = Field(ge=1, le=99)
    user: str = Field(min_length=1)

    @property
    def port(self) -> str:
        """Name of the port that gives its frames."""
        return f"CAM{self.number:02d}"

    @property
    def focus_port(self) -> str:
        """Name of its focus plugin's port."""
        return f"FOCUS{self.number:02d}"


class GatewayConfig(_Section):
    """Where cameras upload, who may, and how much room must stay on the disk."""

    host: str = "127.0.0.1"
    port: int = Field(2121, ge=0, le=65535)
    users: Path | None = None
    least_free_gib: float = Field(1.0, ge=0)


class ArchiveConfig(_Section):
    """The archive's FTP server; without `host`, one of our own below `--var`."""

    host: str | None = None
    port: int = Field(21, ge=1, le=65535)
    user: str = "tosip"
    password_file: Path | None = None
    folder: str = ""
    keep_simulated: int = Field(320, ge=1)

    @model_validator(mode="after")
    def _complete(self) -> "ArchiveConfig":
        if self.host is not None and self.password_file is None:
            raise ValueError("expected a password_file beside host")
        return self


class BundlesConfig(_Section):
    """How much is kept of each plugin's failed frames: bundles, MiB, bundles of one fault."""

    number: int = Field(20, ge=0)
    mib: int = Field(1024, ge=1)
    alike: int = Field(3, ge=1)


class SimulationConfig(_Section):
    """What `--simulate` exposes: square frames of `size` pixels every `period` seconds."""

    size: int = Field(1024, ge=64, le=8192)
    period: float = Field(10.0, gt=0)
    seed: int = 1


class NeostedConfig(_Section):
    """The whole file."""

    prefix: str = Field("NEOSTED:", pattern=rf"^{PREFIX}$")
    pool_mib: int = Field(2048, ge=64)
    cameras: tuple[CameraConfig, ...] = tuple(
        CameraConfig(number=n, user=f"cam{n:02d}") for n in range(1, 17)
    )
    gateway: GatewayConfig = GatewayConfig()
    archive: ArchiveConfig = ArchiveConfig()
    focus: PluginConfig = PluginConfig(file=_PLUGINS / "focus.py")
    field: PluginConfig = PluginConfig(file=_PLUGINS / "field.py", queue_size=100)
    environment: PluginConfig = PluginConfig(file=_PLUGINS / "environment.py", queue_size=100)
    bundles: BundlesConfig = BundlesConfig()
    simulation: SimulationConfig = SimulationConfig()

    @model_validator(mode="after")
    def _cameras_differ(self) -> "NeostedConfig":
        for what in ("number", "user"):
            values = [getattr(camera, what) for camera in self.cameras]
            if len(set(values)) < len(values):
                raise ValueError(f"cameras: expected a {what} of its own for each")
        if not self.cameras:
            raise ValueError("cameras: expected at least one")
        return self


def load_config(path: Path | None) -> NeostedConfig:
    """Read a configuration file, or take the defaults; ConfigurationError names key and place."""
    if path is None:
        return NeostedConfig()
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    for name in ("focus", "field", "environment"):
        if isinstance(table.get(name), dict):
            default = NeostedConfig.model_fields[name].default.model_dump(exclude_unset=True)
            table[name] = {**default, **table[name]}
    _resolve(table, path.resolve().parent)
    try:
        return NeostedConfig.model_validate(table)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_faults(path, error))) from None


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


def _resolve(table: dict[str, Any], folder: Path) -> None:
    for section, keys in (
        ("gateway", ("users",)),
        ("archive", ("password_file",)),
        ("focus", ("file", "interpreter")),
        ("field", ("file", "interpreter")),
        ("environment", ("file", "interpreter")),
    ):
        for key in keys:
            values = table.get(section)
            if isinstance(values, dict) and isinstance(values.get(key), str):
                values[key] = folder / values[key]
    for section in ("focus", "field", "environment"):
        values = table.get(section)
        limits = values.get("limits") if isinstance(values, dict) else None
        if isinstance(limits, dict) and isinstance(limits.get("folder"), str):
            limits["folder"] = folder / limits["folder"]


def _faults(path: Path, error: ValidationError) -> list[str]:
    faults = []
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"]) or "the file"
        if fault["type"] == "extra_forbidden":
            faults.append(f"{path}: {place}: unknown key")
        else:
            faults.append(f"{path}: {place}: {fault['msg']}, got {fault['input']!r}"[:300])
    return faults
