"""The configuration of an IOC: typed, with defaults, unknown keys refused.

An `IocConfig` is read once from a file and is frozen: records, screens, images, checks and the
terminal's view all loop over its ports. A port is a driver, a plugin or a gather; its name is its
key in the file. Relative paths in a file start at its folder.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeInt,
    SerializeAsAny,
    StringConstraints,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

import tosip.plugins
from tosip.configuration import FilePath, Section, validated
from tosip.description import Alarm, Description, Kind
from tosip.drivers.kinds import DriverConfig, find_kind
from tosip.errors import ConfigurationError
from tosip.iocs.gateway_config import ArchivingConfig, UploadsConfig
from tosip.iocs.network import NetworkConfig
from tosip.pipeline.limits import NICEST, Limits
from tosip.pipeline.queues import Policy
from tosip.pipeline.sorting import SortMode
from tosip.pipeline.workers import MOST_WORKERS
from tosip.reading import alarm_faults
from tosip.toml_files import read_toml

PREFIX = r"[A-Za-z0-9_:\-]*:"  # what EPICS allows in a record name, with a colon at the end
# Parts that are no ports.
GATEWAY, HEALTH, POOL, STATISTICS, STRUCTURE = "GATEWAY", "HEALTH", "POOL", "IOC", "PVI"

_PLUGINS = Path(tosip.plugins.__file__).parent

PortName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_\-]*$", max_length=20)]
"""A port's name: it stands in the names of its records, of which EPICS allows 60 characters."""


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


class AlgorithmConfig(Section):
    """One algorithm: its file, the interpreter that runs it, its first values and alarm limits.

    Instead of a `file`, `module` names a module that the interpreter has installed, with or without
    its class: "package.module:Class".

    `policy` is what happens to a frame that finds the queue full: "drop newest", "drop oldest", or
    "block", which makes the source wait and loses nothing. With `sorted` frames come out in the
    order in which they came in, those of several workers too. `standby` keeps another worker
    loaded. `watch` adds data files to those that the class names. `keep_state` false keeps no state
    on the disk, whatever the class says. `images` serves the port's frames over PVAccess.
    """

    file: FilePath | None = None
    module: str = Field("", pattern=r"^([A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?)?$")
    class_name: str | None = None
    interpreter: FilePath = Path(sys.executable)
    queue_size: int = Field(20, ge=1)
    policy: Literal["drop newest", "drop oldest", "block"] = Policy.DROP_NEWEST.value
    process_timeout: float = Field(10.0, gt=0)
    start_timeout: float = Field(60.0, gt=0)
    stop_timeout: float = Field(2.0, gt=0)
    min_callback_time: float = Field(0.0, ge=0)
    threads: int = Field(1, ge=1, le=MOST_WORKERS)
    sorted: bool = False
    sort_time: float = Field(0.1, ge=0)
    sort_size: int = Field(10, ge=1)
    max_byte_rate: float = Field(0.0, ge=0)
    standby: bool = False
    max_age: float = Field(0.0, ge=0)
    watch: tuple[FilePath, ...] = ()
    keep_state: bool = True
    enabled: bool = True
    auto_reload: bool = True
    images: bool = True
    limits: LimitsConfig = LimitsConfig()
    params: dict[str, Any] = Field(default_factory=dict)
    alarms: dict[str, AlarmConfig] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_algorithm(self) -> Self:
        if (self.file is None) == (not self.module):
            raise ValueError(
                "expected a file or a module, got " + ("both" if self.file else "none")
            )
        if self.class_name and ":" in self.module:
            raise ValueError("expected class_name or a module with its class, got both")
        return self

    @property
    def sort_mode(self) -> SortMode:
        """SortMode as the pipeline knows it."""
        return SortMode.SORTED if self.sorted else SortMode.UNSORTED


class PluginConfig(AlgorithmConfig):
    """A plugin, `[plugins.NAME]`: an algorithm and the port `source` that its frames come from.

    The algorithm is one that ships (`algorithm = "stats"`), a `file` or a `module`. `suggested` are
    first values of inputs that the algorithm need not have.
    """

    source: PortName
    suggested: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _shipped(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "algorithm" not in values:
            return values
        given = dict(values)
        name = given.pop("algorithm")
        for other in ("file", "module"):
            if other in given:
                raise ValueError(f"expected algorithm or {other}, got both")
        shipped = shipped_algorithms()
        if name not in shipped:
            raise ValueError(f"algorithm: expected {', '.join(sorted(shipped))}, got {name!r}")
        return {**given, "file": shipped[name]}


class GatherConfig(Section):
    """A port that passes on the frames of several others, `[gather.NAME]`."""

    sources: tuple[PortName, ...] = Field(min_length=1)


class BundlesConfig(Section):
    """How much is kept of each plugin's failed frames: bundles, MiB, bundles of one fault."""

    number: int = Field(20, ge=0)
    mib: int = Field(1024, ge=1)
    alike: int = Field(3, ge=1)


class SimulationConfig(Section):
    """What `--simulate` exposes: square frames of `size` pixels every `period` seconds."""

    size: int = Field(1024, ge=64, le=8192)
    period: float = Field(10.0, gt=0)
    seed: int = 1


def _of_its_kind(
    value: Any, _handler: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> DriverConfig:
    """Validate a driver's section by the model of its kind."""
    if isinstance(value, DriverConfig):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise ValueError('expected a kind, as in kind = "folder"')
    try:
        kind = find_kind(value["kind"])
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return kind.config.model_validate(value, context=info.context)


AnyDriver = Annotated[SerializeAsAny[DriverConfig], WrapValidator(_of_its_kind)]


class IocConfig(Section):
    """A whole IOC.

    `label` heads its screens. A `gateway` receives the files of drivers of the kind `ftp` and
    forwards them to the `archive`. `simulation` is what simulated cameras upload with --simulate.
    `network` gives a second IOC on one machine ports of its own.
    """

    prefix: str = Field(pattern=rf"^{PREFIX}$")
    label: str = "TOSIP"
    pool_mib: int = Field(2048, ge=64)
    drivers: dict[PortName, AnyDriver] = Field(min_length=1)
    plugins: dict[PortName, PluginConfig] = Field(default_factory=dict)
    gather: dict[PortName, GatherConfig] = Field(default_factory=dict)
    gateway: UploadsConfig | None = None
    archive: ArchivingConfig | None = None
    bundles: BundlesConfig = BundlesConfig()
    simulation: SimulationConfig = SimulationConfig()
    network: NetworkConfig = NetworkConfig()

    @property
    def sources(self) -> dict[str, tuple[str, ...]]:
        """The ports that each plugin and gather takes its frames from."""
        gathers = {name: gather.sources for name, gather in self.gather.items()}
        return gathers | {name: (plugin.source,) for name, plugin in self.plugins.items()}

    def of_kind(self, kind: str) -> dict[str, Any]:
        """The sections of all drivers of one kind, by port."""
        return {name: driver for name, driver in self.drivers.items() if driver.kind == kind}

    @model_validator(mode="after")
    def _consistent(self) -> "IocConfig":
        faults = [*self._name_faults(), *self._source_faults(), *self._gateway_faults()]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _name_faults(self) -> Iterator[str]:
        taken = dict.fromkeys((HEALTH, POOL, STATISTICS, STRUCTURE), "every IOC")
        if self.gateway:
            taken[GATEWAY] = "the gateway"
        sections: tuple[tuple[str, Mapping[str, Any]], ...] = (
            ("drivers", self.drivers),
            ("plugins", self.plugins),
            ("gather", self.gather),
        )
        for section, ports in sections:
            for name in ports:
                if name in taken:
                    yield (
                        f"{section}.{name}: expected a name of its own, got that of {taken[name]}"
                    )
                taken.setdefault(name, f"{section}.{name}")

    def _source_faults(self) -> Iterator[str]:
        known = {*self.drivers, *self.plugins, *self.gather}
        for name, sources in self.sources.items():
            place = f"plugins.{name}.source" if name in self.plugins else f"gather.{name}.sources"
            for source in sources:
                if source not in known:
                    yield f"{place}: expected a port of {', '.join(sorted(known))}, got {source}"
            if name in self._upstream(name):
                yield f"{place}: expected a port whose frames do not come from {name}"

    def _upstream(self, name: str) -> set[str]:
        found: set[str] = set()
        todo = [name]
        while todo:
            sources = set(self.sources.get(todo.pop(), ())) - found
            found |= sources
            todo += sources
        return found

    def _gateway_faults(self) -> Iterator[str]:
        cameras = self.of_kind("ftp")
        if cameras and self.gateway is None:
            yield f"gateway: expected a section for the driver {min(cameras)} of the kind ftp"
        if self.gateway is None:
            if self.archive is not None:
                yield "archive: expected a section [gateway] beside it"
            return
        identities: dict[str, str] = {}
        for name, camera in cameras.items():
            other = identities.setdefault(camera.told_by, name)
            if other != name:
                yield (
                    f"drivers.{name}: expected a user (or identity) of its own, "
                    f"got {camera.told_by} of {other}"
                )
            if self.gateway.camera.by == "user" and camera.identity:
                yield (
                    f"drivers.{name}.identity: expected one only where gateway.camera.by "
                    "is not 'user'"
                )
        for text, port in self.gateway.camera.names.items():
            if port not in cameras:
                yield f"gateway.camera.names.{text}: expected a driver of the kind ftp, got {port}"


def shipped_algorithms() -> dict[str, Path]:
    """The files of the algorithms that ship with TOSIP, by name."""
    return {path.stem: path for path in _PLUGINS.glob("[!_]*.py")}


def load_config(path: Path) -> IocConfig:
    """Read a configuration file; ConfigurationError names each fault by file and key."""
    return validated(IocConfig, read_toml(path), path)


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
