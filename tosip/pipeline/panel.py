"""What operators see of every port and every plugin, under areaDetector's names."""

from typing import Any

from tosip.algorithm import Status
from tosip.description import Severity
from tosip.housekeeping import Item, button, choice, integer, number, seconds, text
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.plugin import Plugin
from tosip.pipeline.protocol import PIXEL_TYPES
from tosip.pipeline.sorting import SortMode
from tosip.pipeline.states import WorkerState
from tosip.pipeline.workers import MOST_WORKERS

LONGEST_MESSAGE = 4000
NO_FRAME = "no frame yet"
STALE = "stale"
TOO_OLD = "stale: no good result for longer than MaxAge"
DATA_TYPES = tuple(name for name, _ in PIXEL_TYPES.values())
COLOR_MODES = ("Mono", "Bayer", "RGB1", "RGB2", "RGB3", "YUV444", "YUV422", "YUV421")


def _last(plugin: Plugin) -> NDArray | None:
    return plugin.last_outcome.array if plugin.last_outcome else None


def sizes(array: NDArray | None) -> tuple[int, int, int]:
    """Return ArraySizeX, Y and Z of an array; zeros if there is none."""
    return array.sizes if array else (0, 0, 0)


def _status(plugin: Plugin) -> str:
    last = plugin.last_outcome
    if plugin.freshness.stale and not (last and last.failed):  # which tells more
        return STALE
    return last.status.value if last else NO_FRAME


def _message(plugin: Plugin) -> str:
    said = plugin.last_outcome.message[-LONGEST_MESSAGE:] if plugin.last_outcome else ""
    if _status(plugin) == STALE:
        return f"{TOO_OLD}\n{said}".strip()[:LONGEST_MESSAGE]
    return said


def _enable(plugin: Plugin, value: str) -> None:
    plugin.enable(value == "Enable")


def _set(name: str) -> Any:
    def write(plugin: Plugin, value: Any) -> None:
        setattr(plugin, name, value)

    return write


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


MEBIBYTE = 1024**2  # areaDetector's MB

# Of every port, a driver's or a plugin's: the figures of the IOC's one pool.
POOL_ITEMS: tuple[Item[Any], ...] = (
    Item(
        "PoolMaxMem",
        number("Memory that frames may take", "MB", 1),
        lambda port: port.pool.budget / MEBIBYTE,
        group="Pool",
        bare=True,
    ),
    Item(
        "PoolUsedMem",
        number("Memory that frames take", "MB", 1),
        lambda port: port.pool.figures().memory / MEBIBYTE,
        group="Pool",
        bare=True,
    ),
    Item(
        "PoolAllocBuffers",
        integer("Buffers of frames"),
        lambda port: port.pool.figures().buffers,
        group="Pool",
        bare=True,
    ),
    Item(
        "PoolFreeBuffers",
        integer("Buffers that wait for a frame"),
        lambda port: port.pool.figures().free_buffers,
        group="Pool",
        bare=True,
    ),
    Item(
        "PoolUsedBuffers",
        integer("Buffers that somebody reads"),
        lambda port: port.pool.figures().used_buffers,
        group="Pool",
        bare=True,
    ),
    Item(
        "EmptyFreeList",
        button("Give free buffers' memory back"),
        write=lambda port, _: port.pool.shrink(),
        group="Pool",
    ),
)

PLUGIN_ITEMS: tuple[Item[Plugin], ...] = (
    Item("PortName", text("Name of this port"), lambda p: p.name, group="Plugin"),
    Item(
        "NDArrayPort",
        text("Port that the arrays come from"),
        lambda p: p.source,
        lambda p, value: p.connect(value),
        group="Plugin",
    ),
    Item(
        "EnableCallbacks",
        choice("Whether arrays are processed", "Disable", "Enable"),
        lambda p: "Enable" if p.enabled else "Disable",
        _enable,
        group="Plugin",
    ),
    Item(
        "MinCallbackTime",
        seconds("Least time between arrays", low=0.0),
        lambda p: p.min_callback_time,
        _set("min_callback_time"),
        group="Plugin",
    ),
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
    ),
    Item(
        "DroppedArrays",
        integer("Arrays dropped since the reset"),
        lambda p: p.dropped_arrays,
        _set("dropped_arrays"),
        group="Arrays",
    ),
    Item(
        "QueueSize",
        integer("Arrays that can wait", low=1),
        lambda p: p.queue.size,
        _queue_size,
        group="Arrays",
    ),
    Item(
        "QueueFree",
        integer("Free places in the queue"),
        lambda p: max(0, p.queue.size - len(p.queue)),
        group="Arrays",
        bare=True,
    ),
    Item(
        "MaxByteRate",
        number("Most bytes out (0: no limit)", "byte/s", 0, low=0.0),
        lambda p: p.throttle.limit,
        _set_byte_rate,
        group="Arrays",
    ),
    Item(
        "DroppedOutputArrays",
        integer("Arrays not given out since reset"),
        lambda p: p.dropped_output_arrays,
        _set("dropped_output_arrays"),
        group="Arrays",
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
    Item(
        "TimeStamp",
        seconds("When the last array was taken (Unix)"),
        lambda p: a.timestamp if (a := _last(p)) else 0.0,
        group="Last array",
    ),
    Item("ArraySizeX", integer("Columns", "px"), lambda p: sizes(_last(p))[0], group="Last array"),
    Item("ArraySizeY", integer("Rows", "px"), lambda p: sizes(_last(p))[1], group="Last array"),
    Item("ArraySizeZ", integer("Colours"), lambda p: sizes(_last(p))[2], group="Last array"),
    Item(
        "DataType",
        choice("Type of the pixels", *DATA_TYPES),
        lambda p: a.data_type if (a := _last(p)) else "UInt8",
        group="Last array",
    ),
    Item(
        "ColorMode",
        choice("Colour mode", *COLOR_MODES),
        lambda p: a.color_mode if (a := _last(p)) else "Mono",
        group="Last array",
    ),
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
    Item("Message", text("What the algorithm said last", LONGEST_MESSAGE), _message),
    Item(
        "MaxAge",
        seconds("Age that makes results invalid (0: none)", 1, low=0.0),
        lambda p: p.max_age,
        _set("max_age"),
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
    ),
    Item(
        "MaxThreads",
        integer("Most worker processes"),
        lambda p: 1 if p.description.stateful else MOST_WORKERS,
        group="Threads",
    ),
    Item(
        "SortMode",
        choice("Whether arrays go out in order", *(mode.value for mode in SortMode)),
        lambda p: p.sorter.mode.value,
        lambda p, value: p.set_sorting(mode=SortMode(value)),
        group="Threads",
    ),
    Item(
        "SortTime",
        seconds("Longest wait for the array before", low=0.0),
        lambda p: p.sorter.time,
        lambda p, value: p.set_sorting(time=value),
        group="Threads",
    ),
    Item(
        "SortSize",
        integer("Arrays that can wait for order", low=1),
        lambda p: p.sorter.size,
        lambda p, value: p.set_sorting(size=value),
        group="Threads",
    ),
    Item(
        "SortFree",
        integer("Free places for arrays out of order"),
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
        lambda p: p.workers.last_exit[:256],
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
        group="Worker",
    ),
    Item(
        "AutoReload",
        choice("Whether saving the file reloads it", "No", "Yes"),
        lambda p: "Yes" if p.reloader.automatic else "No",
        _set_auto_reload,
        group="Worker",
    ),
    Item(
        "ReloadStatus",
        text("What came of the last reload", LONGEST_MESSAGE),
        lambda p: p.reloader.status[-LONGEST_MESSAGE:],
        group="Worker",
    ),
    Item(
        "RestartRequired",
        text("Declarations that need a restart", LONGEST_MESSAGE),
        lambda p: p.reloader.restart_required[:LONGEST_MESSAGE],
        group="Worker",
    ),
    Item(
        "ProcessTimeout",
        seconds("Longest time for one frame", 1, low=0.1),
        lambda p: p.process_timeout,
        _set("process_timeout"),
        group="Worker",
    ),
    Item(
        "Rearm",
        button("Start a quarantined worker again"),
        write=lambda p, _: p.workers.rearm(),
        group="Worker",
    ),
    *POOL_ITEMS,
)
