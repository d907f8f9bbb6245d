"""What operators see of every port and every plugin, under areaDetector's names."""

from typing import Any

from tosip.algorithm import Status
from tosip.description import Alarm, Severity
from tosip.errors import ConfigurationError
from tosip.housekeeping import WRITE_MESSAGE, Item, button, choice, integer, number, seconds, text
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.plugin import Plugin
from tosip.pipeline.port_panel import (
    ARRAY_RATE,
    ATTRIBUTE_ITEMS,
    CALLBACKS,
    POOL_ITEMS,
    VERSION_ITEMS,
    last_array_items,
)
from tosip.pipeline.sorting import SortMode
from tosip.pipeline.states import WorkerState

LONGEST_MESSAGE = 4000
NO_FRAME = "no frame yet"
STALE = "stale"
TOO_OLD = "stale: no good result for longer than MaxAge"


def _last(plugin: Plugin) -> NDArray | None:
    return plugin.last_outcome.array if plugin.last_outcome else None


def _status(plugin: Plugin) -> str:
    if plugin.fault:
        return Status.ERROR.value
    last = plugin.last_outcome
    if plugin.freshness.stale and not (last and last.failed):  # which tells more
        return STALE
    return last.status.value if last else NO_FRAME


def _message(plugin: Plugin) -> str:
    if plugin.fault:
        return plugin.fault
    said = plugin.last_outcome.message if plugin.last_outcome else ""
    if _status(plugin) == STALE:
        said = f"{TOO_OLD}\n{said}".strip()
    return said  # records keep the beginning, and show what a terminal can


def _enable(plugin: Plugin, value: str) -> None:
    plugin.enable(value == "Enable")


def _set(name: str) -> Any:
    def write(plugin: Plugin, value: Any) -> None:
        setattr(plugin, name, value)

    return write


def _set_blocking(plugin: Plugin, value: str) -> None:
    plugin.blocking = value == "Yes"


def _set_address(plugin: Plugin, value: int) -> None:
    if value:
        raise ConfigurationError(
            f"{plugin.name}.NDArrayAddress: expected 0, as ports have one address, got {value}"
        )


def _queue_size(plugin: Plugin, value: int) -> None:
    plugin.queue.size = value


def _set_staging(plugin: Plugin, value: str) -> None:
    plugin.stage_changes(value == "Yes")


def _set_auto_reload(plugin: Plugin, value: str) -> None:
    plugin.reloader.automatic = value == "Yes"


def _set_disordered(plugin: Plugin, value: int) -> None:
    plugin.sorter.disordered = value


def _set_byte_rate(plugin: Plugin, value: float) -> None:
    plugin.throttle.limit = value


# MAJOR when nothing is free; a template sets the limit of MINOR to a quarter of the places.
_RUNS_FULL = Alarm(lolo=0, low=0)

PLUGIN_ITEMS: tuple[Item[Plugin], ...] = (
    Item(
        "NDArrayPort",
        text("Port that the arrays come from"),
        lambda p: p.source,
        lambda p, value: p.connect(value),
        group="Plugin",
        saved=True,
    ),
    Item(
        "NDArrayAddress",
        integer("Address at that port: always 0"),
        lambda _: 0,
        _set_address,
        group="Plugin",
    ),
    Item(
        "EnableCallbacks",
        choice("Whether arrays are processed", "Disable", "Enable"),
        lambda p: "Enable" if p.enabled else "Disable",
        _enable,
        group="Plugin",
        saved=True,
    ),
    Item(
        "MinCallbackTime",
        seconds("Least time between arrays", low=0.0),
        lambda p: p.min_callback_time,
        _set("min_callback_time"),
        group="Plugin",
        saved=True,
    ),
    Item(
        "MaxArrayRate",
        number("Most arrays per second (0: no limit)", "Hz", low=0.0),
        group="Plugin",
        derived="rw",
    ),
    Item(
        "BlockingCallbacks",
        choice("Whether a full queue holds up the source", "No", "Yes"),
        lambda p: "Yes" if p.blocking else "No",
        _set_blocking,
        group="Plugin",
        saved=True,
    ),
    CALLBACKS,
    Item(
        "ProcessPlugin",
        button("Process the last array again"),
        write=lambda p, _: p.process_again(),
        group="Plugin",
    ),
    Item(
        "StageChanges",
        choice("Whether inputs wait for Apply", "No", "Yes"),
        lambda p: "Yes" if p.staging else "No",
        _set_staging,
        group="Plugin",
    ),
    Item(
        "StagedChanges",
        integer("Inputs that wait for Apply"),
        lambda p: len(p.params.staged),
        group="Plugin",
    ),
    Item(
        "Apply",
        button("Put staged inputs in force together"),
        write=lambda p, _: p.apply(),
        group="Plugin",
    ),
    Item(
        "ArrayCounter",
        integer("Arrays processed since the reset"),
        lambda p: p.array_counter,
        _set("array_counter"),
        group="Arrays",
        resets=True,
    ),
    ARRAY_RATE,
    Item(
        "DroppedArrays",
        integer("Arrays dropped since the reset"),
        lambda p: p.dropped_arrays,
        _set("dropped_arrays"),
        group="Arrays",
        resets=True,
    ),
    Item(
        "QueueSize",
        integer("Arrays that can wait", low=1),
        lambda p: p.queue.size,
        _queue_size,
        group="Arrays",
        saved=True,
    ),
    Item(
        "QueueFree",
        integer("Free places in the queue", alarm=_RUNS_FULL),
        lambda p: max(0, p.queue.size - len(p.queue)),
        group="Arrays",
        bare=True,
    ),
    Item(
        "QueueUse",
        integer("Arrays that wait"),
        group="Arrays",
        bare=True,
        derived="r",
    ),
    Item(
        "MaxByteRate",
        number("Most bytes out (0: no limit)", "byte/s", 0, low=0.0),
        lambda p: p.throttle.limit,
        _set_byte_rate,
        group="Arrays",
        saved=True,
    ),
    Item(
        "DroppedOutputArrays",
        integer("Arrays not given out since reset"),
        lambda p: p.dropped_output_arrays,
        _set("dropped_output_arrays"),
        group="Arrays",
        resets=True,
    ),
    Item(
        "ReceivedArrays",
        integer("Arrays that came in"),
        lambda p: p.counters.received,
        group="Arrays",
    ),
    Item(
        "ProcessedArrays",
        integer("Arrays processed"),
        lambda p: p.counters.processed,
        group="Arrays",
    ),
    Item(
        "FailedArrays",
        integer("Arrays without a result"),
        lambda p: p.counters.failed,
        group="Arrays",
    ),
    Item(
        "UniqueId",
        integer("Number of the last array"),
        lambda p: a.unique_id if (a := _last(p)) else 0,
        group="Last array",
    ),
    *last_array_items(_last, "Last array"),
    Item(
        "Status",
        choice(
            "Outcome of the last frame",
            NO_FRAME,
            *(s.value for s in Status),
            STALE,
            warning=Severity.MINOR,
            error=Severity.MAJOR,
            stale=Severity.INVALID,
        ),
        _status,
    ),
    WRITE_MESSAGE,
    Item("Message", text("What the algorithm said last", LONGEST_MESSAGE), _message),
    Item(
        "MaxAge",
        seconds("Age that makes results invalid (0: none)", 1, low=0.0),
        lambda p: p.max_age,
        _set("max_age"),
        saved=True,
    ),
    Item(
        "Latency",
        seconds("Array in to results posted", 4),
        lambda p: p.last_outcome.latency if p.last_outcome else 0.0,
    ),
    Item(
        "ExecutionTime",
        number("Time of the algorithm itself", "ms"),
        lambda p: 1000 * p.last_outcome.seconds if p.last_outcome else 0.0,
    ),
    Item(
        "NumThreads",
        integer("Worker processes", low=1),
        lambda p: p.workers.number,
        lambda p, value: p.workers.resize(value),
        group="Threads",
        saved=True,
    ),
    Item(
        "MaxThreads",
        integer("Most worker processes"),
        group="Threads",
        derived="r",
    ),
    Item(
        "SortMode",
        choice("Whether arrays go out in order", *(mode.value for mode in SortMode)),
        lambda p: p.sorter.mode.value,
        lambda p, value: p.set_sorting(mode=SortMode(value)),
        group="Threads",
        saved=True,
        multi=True,
    ),
    Item(
        "SortTime",
        seconds("Longest wait for the array before", low=0.0),
        lambda p: p.sorter.time,
        lambda p, value: p.set_sorting(time=value),
        group="Threads",
        saved=True,
    ),
    Item(
        "SortSize",
        integer("Arrays that can wait for order", low=1),
        lambda p: p.sorter.size,
        lambda p, value: p.set_sorting(size=value),
        group="Threads",
        saved=True,
    ),
    Item(
        "SortFree",
        integer("Free places for arrays out of order", alarm=_RUNS_FULL),
        lambda p: p.sorter.free,
        group="Threads",
        bare=True,
    ),
    Item(
        "DisorderedArrays",
        integer("Arrays out after a later one"),
        lambda p: p.sorter.disordered,
        _set_disordered,
        group="Threads",
        resets=True,
    ),
    Item(
        "WorkerState",
        choice(
            "What the worker process is doing",
            *(s.value for s in WorkerState),
            Backoff=Severity.MINOR,
            Quarantined=Severity.MAJOR,
        ),
        lambda p: p.workers.state.value,
        group="Worker",
    ),
    Item(
        "WorkerPid",
        integer("Process number of the worker"),
        lambda p: p.workers.pid,
        group="Worker",
    ),
    Item(
        "RestartCount",
        integer("Restarts of the worker"),
        lambda p: p.workers.restarts,
        group="Worker",
    ),
    Item(
        "LastExit",
        text("How the worker ended last", 256),
        lambda p: p.workers.last_exit,
        group="Worker",
    ),
    Item(
        "LastOutput",
        text("Last lines that the worker printed", LONGEST_MESSAGE),
        lambda p: p.workers.household.journal.text(LONGEST_MESSAGE),
        group="Worker",
    ),
    Item(
        "ResidentMemory",
        number("Own memory of the workers", "MB", 1),
        lambda p: p.workers.household.usage().memory,
        group="Worker",
    ),
    Item(
        "CpuShare",
        number("CPU time of the workers (100: one core)", "%", 1),
        lambda p: p.workers.household.usage().cpu,
        group="Worker",
    ),
    Item(
        "BusyTime",
        number("Time with a frame in the busiest worker", "%", 1),
        lambda p: p.workers.household.usage().busy,
        group="Worker",
    ),
    Item(
        "BundleCount",
        integer("Bundles kept of failed frames"),
        lambda p: p.bundle_count,
        group="Worker",
    ),
    Item(
        "LastBundle",
        text("Name of the last bundle kept", 64),
        lambda p: p.last_bundle,
        group="Worker",
    ),
    Item(
        "CodeHash",
        text("SHA-256 of the code that runs"),
        lambda p: p.workers.code_hash,
        group="Worker",
    ),
    Item(
        "Reload",
        button("Load the algorithm's file again"),
        write=lambda p, _: p.reloader.request(),
        group="Reload",
    ),
    Item(
        "AutoReload",
        choice("Whether saving the file reloads it", "No", "Yes"),
        lambda p: "Yes" if p.reloader.automatic else "No",
        _set_auto_reload,
        group="Reload",
        saved=True,
    ),
    Item(
        "ReloadStatus",
        text("What came of the last reload", LONGEST_MESSAGE),
        lambda p: p.reloader.fault or p.reloader.status,
        group="Reload",
    ),
    Item(
        "RestartRequired",
        text("Declarations that need a restart", LONGEST_MESSAGE),
        lambda p: p.reloader.restart_required,
        group="Reload",
    ),
    Item(
        "StateStatus",
        text("What became of the state that is kept", 256),
        lambda p: p.kept.status[:256] if p.kept else "",
        group="Worker",
    ),
    Item(
        "ProcessTimeout",
        seconds("Longest time for one frame", 1, low=0.1),
        lambda p: p.process_timeout,
        _set("process_timeout"),
        group="Worker",
        saved=True,
    ),
    Item(
        "Rearm",
        button("Start a quarantined worker again"),
        write=lambda p, _: p.workers.rearm(),
        group="Worker",
    ),
    *ATTRIBUTE_ITEMS,
    *POOL_ITEMS,
    *VERSION_ITEMS,
)
