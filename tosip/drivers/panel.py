"""What operators see of a FITS driver, under areaDetector's names where it has one."""

from tosip.description import Severity
from tosip.drivers.detector_panel import DETECTOR_ITEMS, WAIT_FOR_PLUGINS
from tosip.drivers.driver import FitsDriver
from tosip.drivers.fits_time import RECEPTION
from tosip.housekeeping import WRITE_MESSAGE, Item, choice, integer, text
from tosip.pipeline.panel import LONGEST_MESSAGE
from tosip.pipeline.port_panel import (
    ARRAY_RATE,
    ATTRIBUTE_ITEMS,
    CALLBACKS,
    POOL_ITEMS,
    VERSION_ITEMS,
    last_array_items,
)


def _acquire(driver: FitsDriver, value: str) -> None:
    driver.acquire(value == "Acquire")


def _ignore(_driver: FitsDriver, _value: str) -> None:
    """Take what clients of areaDetector's busy record write, which tells us nothing."""


def _set_counter(driver: FitsDriver, value: int) -> None:
    driver.array_counter = value


def _status(driver: FitsDriver) -> str:
    if driver.fault:
        return "not reading"
    if driver.unique_id == 0:
        return "no file yet"
    return "unreadable file" if driver.message else "ok"


def _time_source(driver: FitsDriver) -> str:
    if driver.time_source in ("", RECEPTION):
        return driver.time_source or "no frame yet"
    return "header"


DRIVER_ITEMS: tuple[Item[FitsDriver], ...] = (
    Item(
        "Acquire",
        choice("Whether files become arrays", "Done", "Acquire"),
        lambda d: "Acquire" if d.acquiring else "Done",
        _acquire,
        group="Driver",
        echo=True,
    ),
    Item(
        "Acquire",
        choice("Whether files become arrays", "Done", "Acquiring"),
        lambda d: "Acquiring" if d.acquiring else "Done",
        group="Driver",
    ),
    Item(
        "AcquireBusy",
        choice("Whether files or frames are in work", "Done", "Acquiring"),
        lambda d: "Acquiring" if d.busy else "Done",
        _ignore,
        group="Driver",
        echo=True,
    ),
    WAIT_FOR_PLUGINS,
    CALLBACKS,
    Item(
        "ArrayCounter",
        integer("Arrays produced since the reset"),
        lambda d: d.array_counter,
        _set_counter,
        group="Arrays",
        resets=True,
    ),
    ARRAY_RATE,
    Item(
        "FailedArrays",
        integer("Frames that could not be read"),
        lambda d: d.failed_files,
        group="Arrays",
    ),
    Item(
        "OtherFiles",
        integer("Files that are no FITS, archived only"),
        lambda d: d.other_files,
        group="Arrays",
    ),
    Item(
        "SkippedFiles",
        integer("Files that came while not acquiring"),
        lambda d: d.skipped_files,
        group="Arrays",
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
    *last_array_items(lambda driver: driver.port.last, "Last file"),
    Item(
        "TimeSource",
        choice(
            "Where the time stamp is from",
            "no frame yet",
            "header",
            RECEPTION,
            reception=Severity.MINOR,
        ),
        _time_source,
        group="Last file",
    ),
    Item(
        "TimeMessage",
        text("Keywords of the time, or why none", LONGEST_MESSAGE),
        lambda d: (d.time_fault or d.time_source)[:LONGEST_MESSAGE],
        group="Last file",
    ),
    Item(
        "Status",
        choice(
            "Outcome of the last file",
            "no file yet",
            "ok",
            "unreadable file",
            "not reading",
            unreadable_file=Severity.MAJOR,
            not_reading=Severity.MAJOR,
        ),
        _status,
    ),
    WRITE_MESSAGE,
    *DETECTOR_ITEMS,
    Item(
        "Message",
        text("What is wrong with the last file", LONGEST_MESSAGE),
        lambda d: (d.fault or d.message)[:LONGEST_MESSAGE],
    ),
    *ATTRIBUTE_ITEMS,
    *POOL_ITEMS,
    *VERSION_ITEMS,
)
