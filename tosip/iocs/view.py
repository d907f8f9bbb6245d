"""What a terminal shows of a running IOC: a live table of its plugins, or lines.

The table shows the first outputs that each algorithm declares, coloured by their alarm limits, the
age of the frame, and how many frames failed or were dropped.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from tosip import streams
from tosip.description import Alarm, Field, Kind
from tosip.iocs.system import System
from tosip.pipeline.epics_time import within_epics
from tosip.pipeline.plugin import Outcome, Plugin
from tosip.texts import printable

REFRESHES = 2  # per second
SHOWN_OUTPUTS = 4
SHORTEST_INTERVAL = 1.0  # s between two lines of one plugin
LONGEST_MESSAGE = 60
_COLORS = {"ok": "green", "warning": "yellow", "error": "red"}


class Lines(Protocol):
    """Prints lines about a system while it lives, where there is no terminal."""

    def flush(self) -> None:
        """Print what is still held back."""


def _no_summary(_system: System) -> str:
    return ""


@contextmanager
def shown(system: System, views: "Views") -> Iterator[None]:
    """Show the system during the `with`."""
    console = Console()
    if console.is_terminal:
        # rich draws in a thread of its own: the event loop never waits for a terminal.
        live = Live(
            console=console,
            get_renderable=lambda: table(system, views.summary(system)),
            refresh_per_second=REFRESHES,
        )
        live.start()
        try:
            yield
        finally:
            with suppress(OSError):  # the terminal may have been closed
                live.stop()
    else:
        lines = views.lines(system)
        try:
            yield
        finally:
            lines.flush()


def table(system: System, summary: str = "") -> Table:
    """Make the table of all plugins."""
    shown_table = Table(
        title=f"{system.config.prefix}  {summary}".strip(), caption=_gateway_line(system)
    )
    for heading in ("port", "source", "outputs", "status", "worker"):
        shown_table.add_column(heading)
    for heading in ("age", "failed", "dropped"):
        shown_table.add_column(heading, justify="right")
    for name, plugin in system.plugins.items():
        shown_table.add_row(name, *_row(plugin, system))
    return shown_table


def _gateway_line(system: System) -> str:
    if system.gateway is None:
        return ""
    counters = system.gateway.counters
    return (
        f"gateway: {counters.acknowledged} files stored, {counters.delivered} on the archive, "
        f"{counters.pending} waiting" + ("" if counters.archive_ok else ", no archive")
    )


def _row(plugin: Plugin, system: System) -> list[str]:
    outcome, counters = plugin.last_outcome, plugin.counters
    counts = [str(counters.failed), str(counters.dropped)]
    if outcome is None:
        return [plugin.source, "-", "-", plugin.workers.state.value, "-", *counts]
    return [
        plugin.source,
        _outputs(outcome, system.descriptions[plugin.name].outputs),
        _status(outcome, stale=plugin.freshness.stale),
        plugin.workers.state.value,
        f"{time.time() - within_epics(outcome.array.timestamp):.0f} s",
        *counts,
    ]


def _status(outcome: Outcome, *, stale: bool) -> str:
    said = "stale" if stale else outcome.status.value
    if outcome.message:
        said = f"{said}: {outcome.message.strip().splitlines()[0][:LONGEST_MESSAGE]}"
    color = "magenta" if stale else _COLORS.get(outcome.status.value, "white")
    return f"[{color}]{escape(printable(said))}[/]"


def _outputs(outcome: Outcome, declared: tuple[Field, ...]) -> str:
    if outcome.failed or outcome.outputs is None:
        return "-"
    fields = [field for field in declared if field.kind is not Kind.ARRAY][:SHOWN_OUTPUTS]
    return ", ".join(_output(field, outcome.outputs[field.name]) for field in fields)


def _output(field: Field, value: Any) -> str:
    text = escape(printable(f"{field.name} {formatted(field, value)}"))
    color = _alarm_color(field.alarm, value)
    return f"[{color}]{text}[/]" if color else text


def formatted(field: Field, value: Any) -> str:
    """Return an output's value as text, with its precision and units."""
    if isinstance(value, float):
        value = f"{value:.{field.precision}f}" if math.isfinite(value) else "-"
    return f"{value} {field.units}".strip()


def _alarm_color(alarm: Alarm | None, value: Any) -> str:
    if alarm is None or isinstance(value, (str, bool)) or not math.isfinite(value):
        return ""
    for low, high, color in ((alarm.lolo, alarm.hihi, "red"), (alarm.low, alarm.high, "yellow")):
        if (low is not None and value <= low) or (high is not None and value >= high):
            return color
    return ""


class OutcomeLines:
    """Prints a line for the outcomes of each plugin, at most one a second."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._printed: dict[str, float] = {}
        for name, plugin in system.plugins.items():
            plugin.on_outcome.connect(self._listener(name, plugin))

    def flush(self) -> None:
        """Nothing is held back."""

    def _listener(self, name: str, plugin: Plugin) -> Callable[[Outcome], None]:
        def print_outcome(outcome: Outcome) -> None:
            now = time.monotonic()
            if now - self._printed.get(name, -math.inf) < SHORTEST_INTERVAL:
                return
            self._printed[name] = now
            streams.say(self._line(plugin, outcome))

        return print_outcome

    def _line(self, plugin: Plugin, outcome: Outcome) -> str:
        taken = time.strftime(
            "%Y-%m-%dT%H:%M:%S", time.gmtime(within_epics(outcome.array.timestamp))
        )
        words = [f"{taken} {plugin.name}: {outcome.status.value}"]
        if outcome.outputs is not None and not outcome.failed:
            words += [
                f"{field.name} {formatted(field, outcome.outputs[field.name])}"
                for field in self._system.descriptions[plugin.name].outputs
                if field.kind is not Kind.ARRAY
            ][:SHOWN_OUTPUTS]
        if outcome.message:
            words.append(outcome.message.strip().splitlines()[0][:LONGEST_MESSAGE])
        return printable(", ".join(words))


@dataclass(frozen=True)
class Views:
    """What an IOC shows above the table, and as lines where its output is no terminal."""

    summary: Callable[[System], str] = _no_summary
    lines: Callable[[System], Lines] = OutcomeLines
