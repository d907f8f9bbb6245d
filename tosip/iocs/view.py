"""What a terminal shows of a running system: a live table, or one line for each exposure."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from tosip import streams
from tosip.iocs.system import ENVIRONMENT, FIELD, System
from tosip.pipeline.epics_time import within_epics
from tosip.pipeline.plugin import Outcome, Plugin
from tosip.texts import printable

EXPOSURE_TIMEOUT = 20.0  # s after an exposure's first figures, when a camera is missing
REFRESHES = 2  # per second
_COLORS = {"ok": "green", "warning": "yellow", "error": "red"}


@contextmanager
def shown(system: System) -> Iterator[None]:
    """Show the system while the `with` runs."""
    console = Console()
    if console.is_terminal:
        # rich draws in a thread of its own: the event loop never waits for a terminal.
        live = Live(
            console=console, get_renderable=lambda: _table(system), refresh_per_second=REFRESHES
        )
        live.start()
        try:
            yield
        finally:
            with suppress(OSError):  # the terminal may have been closed
                live.stop()
    else:
        lines = ExposureLines(system)
        try:
            yield
        finally:
            lines.flush()


def _table(system: System) -> Table:
    gateway = system.gateway.counters
    table = Table(
        title=f"{system.config.prefix}  {_summary(system)}",
        caption=f"gateway: {gateway.acknowledged} files stored, {gateway.delivered} on the "
        f"archive, {gateway.pending} waiting" + ("" if gateway.archive_ok else ", no archive"),
    )
    for heading in ("camera", "HFD arcsec", "FWHM arcsec", "stars", "outcome", "state", "age"):
        table.add_column(heading, justify="left" if heading in ("camera", "outcome") else "right")
    for camera in system.config.cameras:
        table.add_row(camera.port, *_row(system.plugins[camera.focus_port]))
    return table


def _row(plugin: Plugin) -> list[str]:
    outcome = plugin.last_outcome
    state = plugin.workers.state.value
    if outcome is None:
        return ["-", "-", "-", "-", state, "-"]
    found = outcome.outputs or {}
    color = _COLORS.get(outcome.status.value, "white")
    said = str(found.get("outcome", outcome.message.strip().partition("\n")[0][:40]))
    age = time.time() - within_epics(outcome.array.timestamp)
    return [
        _figure(found, "hfd"),
        _figure(found, "fwhm"),
        str(found.get("stars", "-")),
        f"[{color}]{escape(printable(said))}[/]",
        state,
        f"{age:.0f} s",
    ]


def _figure(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return f"{value:.2f}" if isinstance(value, float) and math.isfinite(value) else "-"


def _summary(system: System) -> str:
    """Tell the field-wide figures beside temperature and seeing."""
    parts = []
    for port, figures in (
        (FIELD, (("field", "hfd", "arcsec"), ("worst ratio", "worst_ratio", ""))),
        (ENVIRONMENT, (("", "temperature", "degC"), ("seeing", "seeing", "arcsec"))),
    ):
        outcome = system.plugins[port].last_outcome
        found = (outcome.outputs if outcome else None) or {}
        for label, name, unit in figures:
            parts.append(f"{label} {_figure(found, name)} {unit}".strip())
    return ", ".join(parts)


class ExposureLines:
    """Prints a line when all cameras have given the figures of an exposure."""

    def __init__(self, system: System) -> None:
        self._system = system
        # By time and camera whether it was good: an outcome would keep its frame's memory.
        self._exposures: dict[float, dict[str, bool]] = {}
        self._printed: deque[float] = deque(maxlen=100)
        for camera in system.config.cameras:
            plugin = system.plugins[camera.focus_port]
            plugin.on_outcome.connect(self._listener(camera.port))

    def flush(self) -> None:
        """Print what is not complete."""
        for timestamp in sorted(self._exposures):
            self._print(timestamp)

    def _listener(self, camera: str) -> Callable[[Outcome], None]:
        def done(outcome: Outcome) -> None:
            timestamp = round(within_epics(outcome.array.timestamp), 3)
            if timestamp in self._printed:
                return  # too late for its line
            if timestamp not in self._exposures:
                loop = asyncio.get_running_loop()
                loop.call_later(EXPOSURE_TIMEOUT, self._print, timestamp)
            exposure = self._exposures.setdefault(timestamp, {})
            exposure[camera] = (outcome.outputs or {}).get("outcome") == "good"
            if len(exposure) == len(self._system.config.cameras):
                # After the loop's next round the field's figures know of this one too.
                asyncio.get_running_loop().call_later(0.2, self._print, timestamp)

        return done

    def _print(self, timestamp: float) -> None:
        exposure = self._exposures.pop(timestamp, None)
        if exposure is None:
            return
        self._printed.append(timestamp)
        taken = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(timestamp))
        good = sum(exposure.values())
        cameras = len(self._system.config.cameras)
        streams.say(
            f"{taken} cameras {len(exposure)}/{cameras}, good {good}, {_summary(self._system)}"
        )
