"""What operators see of a FITS driver, under areaDetector's names where it has one."""

from tosip.description import Severity
from tosip.drivers.driver import FitsDriver
from tosip.housekeeping import Item, choice, integer, seconds, text
from tosip.pipeline.panel import (
    COLOR_MODES,
    DATA_TYPES,
    LONGEST_MESSAGE,
    POOL_ITEMS,
    sizes,
)


def _set_counter(driver: FitsDriver, value: int) -> None:
    driver.array_counter = value


def _set_wait(driver: FitsDriver, value: str) -> None:
    driver.wait_for_plugins = value == "Yes"


def _status(driver: FitsDriver) -> str:
    if driver.unique_id == 0:
        return "no file yet"
    return "unreadable file" if driver.message else "ok"


DRIVER_ITEMS: tuple[Item[FitsDriver], ...] = (
    Item("PortName", text("Name of this port"), lambda d: d.name, group="Driver"),
    Item(
        "ArrayCounter",
        integer("Arrays produced since the reset"),
        lambda d: d.array_counter,
        _set_counter,
        group="Arrays",
    ),
    Item(
        "FailedArrays",
        integer("Files that were no frame"),
        lambda d: d.failed_files,
        group="Arrays",
    ),
    Item(
        "WaitForPlugins",
        choice("Whether AcquireBusy waits for plugins", "No", "Yes"),
        lambda d: "Yes" if d.wait_for_plugins else "No",
        _set_wait,
        group="Arrays",
    ),
    Item(
        "AcquireBusy",
        choice("Whether files or frames are in work", "Done", "Acquiring"),
        lambda d: "Acquiring" if d.busy else "Done",
        group="Arrays",
        bare=True,
    ),
    Item(
        "NumQueuedArrays",
        integer("Arrays that plugins still have"),
        lambda d: d.origin.queued,
        group="Arrays",
        bare=True,
    ),
    Item("QueuedFiles", integer("Files waiting to be read"), lambda d: d.queued, group="Arrays"),
    Item("UniqueId", integer("Number of the last file"), lambda d: d.unique_id, group="Last file"),
    Item(
        "FullFileName",
        text("Name of the last file", 1024),
        lambda d: d.last_name[-1024:],
        group="Last file",
    ),
    Item(
        "TimeStamp",
        seconds("When the last array was taken (Unix)"),
        lambda d: d.port.last.timestamp if d.port.last else 0.0,
        group="Last file",
    ),
    Item(
        "ArraySizeX", integer("Columns", "px"), lambda d: sizes(d.port.last)[0], group="Last file"
    ),
    Item("ArraySizeY", integer("Rows", "px"), lambda d: sizes(d.port.last)[1], group="Last file"),
    Item("ArraySizeZ", integer("Colours"), lambda d: sizes(d.port.last)[2], group="Last file"),
    Item(
        "DataType",
        choice("Type of the pixels", *DATA_TYPES),
        lambda d: d.port.last.data_type if d.port.last else "UInt8",
        group="Last file",
    ),
    Item(
        "ColorMode",
        choice("Colour mode", *COLOR_MODES),
        lambda d: d.port.last.color_mode if d.port.last else "Mono",
        group="Last file",
    ),
    Item(
        "Status",
        choice(
            "Outcome of the last file",
            "no file yet",
            "ok",
            "unreadable file",
            unreadable_file=Severity.MAJOR,
        ),
        _status,
    ),
    Item(
        "Message",
        text("What is wrong with the last file", LONGEST_MESSAGE),
        lambda d: d.message[:LONGEST_MESSAGE],
    ),
    *POOL_ITEMS,
)
