"""Plays a night that a scenario file describes, and says what would have been advised, and when.

The file has time lines, lists of [hour, value] with straight lines between, and events:

    hours = 9.0
    seeing = [[0.0, 1.8], [3.0, 2.4]]      # arcsec, at the zenith
    defocus = [[0.0, 0.0], [9.0, 90.0]]    # steps, common to all cameras

    [[events]]
    at = 4.0
    until = 5.0
    kind = "cloud"                         # cloud, stop, defocus or refocus
    cameras = [1, 2, 3]                    # default: all
    value = 1.5                            # mag of cloud, steps of defocus

Widths follow from the telescope's model, without pixels: a night takes about a second.
"""

import itertools
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from rich.table import Table

from tosip.advice.adviser import Advised, Adviser
from tosip.advice.exposure import Advice, CameraExposure, Environment, FieldExposure
from tosip.advice.settings import Settings
from tosip.advice.texts import clock
from tosip.configuration import Section, validated
from tosip.toml_files import read_toml

OPTICS = 2.65  # arcsec: the half-flux diameter without seeing and defocus
CLEAR_STARS = 400
EVENING = 1_800_000_000.0 - 1_800_000_000.0 % 86400 + 20 * 3600  # 20:00 UTC of some day
SHIPPED = Path(__file__).parents[1] / "scenarios"

TimeLine = Annotated[tuple[tuple[float, float], ...], Field(min_length=1)]


class Event(Section):
    """What happens from hour `at` until hour `until`; a focus run happens once."""

    kind: Literal["cloud", "stop", "defocus", "refocus"]
    at: float = Field(ge=0)
    until: float = math.inf
    cameras: tuple[int, ...] = ()
    value: float = 0.0

    def concerns(self, camera: int, hours: float) -> bool:
        """Return whether it is on now in this camera."""
        return self.at <= hours < self.until and (not self.cameras or camera in self.cameras)


class Scenario(Section):
    """One night."""

    hours: float = Field(9.0, gt=0, le=24)
    interval: float = Field(45.0, ge=1, le=3600)
    cameras: int = Field(16, ge=1, le=16)
    seed: int = 1
    seeing: TimeLine = ((0.0, 1.8),)
    temperature: TimeLine = ((0.0, 10.0),)
    defocus: TimeLine = ((0.0, 0.0),)
    offsets: float = Field(0.0, ge=0, description="spread of the cameras' best focus in steps")
    noise: float = Field(0.004, ge=0, description="of a width, relative")
    monitor_scale: float = Field(1.0, ge=0, description="0: there is no monitor")
    monitor_noise: float = Field(0.05, ge=0)
    slope: float = Field(0.108, gt=0, description="arcsec per step")
    run_cost: float = Field(10.0, ge=0, description="minutes")
    quality_limit: float = Field(0.3, gt=0)
    follow: bool = False
    events: tuple[Event, ...] = ()


def read_scenario(path: Path) -> Scenario:
    """Read a file, or one that ships by its name. Raises ConfigurationError with all faults."""
    shipped = SHIPPED / f"{path}.toml"
    path = shipped if not path.exists() and shipped.exists() else path
    return validated(Scenario, read_toml(path), path)


def play(scenario: Scenario) -> Iterator[tuple[float, Advised]]:
    """Yield the hour and the advice of each exposure. With `follow`, focus is run when advised."""
    rng = random.Random(scenario.seed)  # noqa: S311 - a simulation
    offsets = [rng.gauss(0, scenario.offsets) for _ in range(scenario.cameras)]
    adviser, hours, moved = Adviser(), 0.0, 0.0
    settings = Settings(
        cost=60 * scenario.run_cost, quality=scenario.quality_limit, slope=scenario.slope
    )
    adviser.focus_done()
    runs = sorted(event.at for event in scenario.events if event.kind == "refocus")
    while hours < scenario.hours:
        if runs and hours >= runs[0]:
            runs.pop(0)
            moved = value_at(scenario.defocus, hours)
            adviser.focus_done()
        exposure = _exposure(scenario, hours, moved, offsets, rng)
        if exposure.cameras:
            advised = adviser.observe(exposure, settings)
        else:
            advised = adviser.silent(exposure.time, settings) or Advised()
        yield hours, advised
        hours += scenario.interval / 3600
        if scenario.follow and advised.advice is Advice.REFOCUS:
            hours += scenario.run_cost / 60
            moved = value_at(scenario.defocus, hours)
            adviser.focus_done()


def _exposure(
    scenario: Scenario, hours: float, moved: float, offsets: list[float], rng: random.Random
) -> FieldExposure:
    seeing = value_at(scenario.seeing, hours)
    common = value_at(scenario.defocus, hours) - moved
    seen = {}
    for camera, offset in enumerate(offsets, 1):
        happening = [event for event in scenario.events if event.concerns(camera, hours)]
        if any(event.kind == "stop" for event in happening):
            continue
        own = sum(event.value for event in happening if event.kind == "defocus")
        mags = sum(event.value for event in happening if event.kind == "cloud")
        width = math.hypot(OPTICS, seeing, scenario.slope * (common + own - offset))
        width *= 1 + rng.gauss(0, scenario.noise)
        stars = CLEAR_STARS * 10 ** (-0.28 * mags)
        few = stars < 20
        seen[camera] = CameraExposure(
            position=moved,
            hfd=math.nan if few else width,
            error=scenario.noise * width,
            stars=stars,
            outcome="few stars" if few else "good",
        )
    reading = seeing * scenario.monitor_scale * (1 + rng.gauss(0, scenario.monitor_noise))
    air = Environment(
        value_at(scenario.temperature, hours), reading if scenario.monitor_scale else math.nan, 1.0
    )
    return FieldExposure(EVENING + 3600 * hours, seen, air)


def value_at(line: TimeLine, hours: float) -> float:
    """Return the value of a time line at an hour; before and after its ends, that of the end."""
    for (begin, first), (end, second) in itertools.pairwise(line):
        if begin <= hours < end:
            return first + (second - first) * (hours - begin) / (end - begin)
    return line[0][1] if hours < line[0][0] else line[-1][1]


def changes(scenario: Scenario) -> Table:
    """Return a table with a line for each change of the advice."""
    table = Table("UTC", "hour", "HFD ratio", "advice")
    before: Advice | None = None
    for hours, advised in play(scenario):
        if advised.advice is not before:
            ratio = f"{advised.ratio:.2f}" if math.isfinite(advised.ratio) else "-"
            time = EVENING + 3600 * hours
            table.add_row(clock(time), f"{hours:.2f}", ratio, advised.text)
            before = advised.advice
    return table
