"""What operators see of every port and every plugin, under areaDetector's names."""

from typing import Any

from tosip.algorithm import Status
from tosip.description import Severity
from tosip.housekeeping import Item, button, choice, integer, seconds, text
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.plugin import Plugin
from tosip.pipeline.protocol import PIXEL_TYPES
from tosip.pipeline.states import WorkerState

LONGEST_MESSAGE = 4000
NO_FRAME = "no frame yet"
DATA_TYPES = tuple(name for name, _ in PIXEL_TYPES.values())
COLOR_MODES = ("Mono", "Bayer", "RGB1", "RGB2", "RGB3", "YUV444", "YUV422", "YUV421")


def _last(plugin: Plugin) -> NDArray | None:
    return plugin.last_outcome.array if plugin.last_outcome else None


def dimension(array: NDArray | None, axis: int) -> int:
    """Return a dimension in areaDetector's order, columns first; 0 if there is none."""
    return array.shape[-1 - axis] if array and axis < len(array.shape) else 0


def _status(plugin: Plugin) -> str:
    return plugin.last_outcome.status.value if plugin.last_outcome else NO_FRAME


def _message(plugin: Plugin) -> str:
    return plugin.last_outcome.message[-LONGEST_MESSAGE:] if plugin.last_outcome else ""


def _enable(plugin: Plugin, value: str) -> None:
    plugin.enable(value == "Enable")


def _set(name: str) -> Any:
    def write(plugin: Plugin, value: Any) -> None:
        setattr(plugin, name, value)

    return write


def _queue_size(plugin: Plugin, value: int) -> None:
    plugin.queue.size = max(1, value)


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
        integer("Arrays that can wait"),
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
    Item(
        "ArraySizeX", integer("Columns", "px"), lambda p: dimension(_last(p), 0), group="Last array"
    ),
    Item("ArraySizeY", integer("Rows", "px"), lambda p: dimension(_last(p), 1), group="Last array"),
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
            warning=Severity.MINOR,
            error=Severity.MAJOR,
        ),
        _status,
    ),
    Item("Message", text("What the algorithm said last", LONGEST_MESSAGE), _message),
    Item(
        "Latency",
        seconds("Array in to results posted", 4),
        lambda p: p.last_outcome.latency if p.last_outcome else 0.0,
    ),
    Item(
        "ExecutionTime",
        integer("Time of the algorithm itself", "ms"),
        lambda p: round(1000 * p.last_outcome.seconds) if p.last_outcome else 0,
    ),
    Item(
        "WorkerState",
        choice(
            "What the worker process is doing",
            *(s.value for s in WorkerState),
            Backoff=Severity.MINOR,
            Quarantined=Severity.MAJOR,
        ),
        lambda p: p.supervisor.state.value,
        group="Worker",
    ),
    Item(
        "WorkerPid",
        integer("Process number of the worker"),
        lambda p: p.supervisor.pid,
        group="Worker",
    ),
    Item(
        "RestartCount",
        integer("Restarts of the worker"),
        lambda p: p.supervisor.restarts,
        group="Worker",
    ),
    Item(
        "LastExit",
        text("How the worker ended last", 256),
        lambda p: p.supervisor.last_exit[:256],
        group="Worker",
    ),
    Item(
        "CodeHash",
        text("SHA-256 of the algorithm's file"),
        lambda p: p.supervisor.code_hash,
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
        write=lambda p, _: p.supervisor.rearm(),
        group="Worker",
    ),
)
