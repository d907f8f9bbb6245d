"""areaDetector's ADBase records of a driver whose camera decides by itself: read-only, and honest.

The camera's exposures are not ours to control, so a write is refused; the readbacks say what is
known from the frames.
"""

from typing import Any

from tosip.description import Severity
from tosip.drivers.driver import FitsDriver
from tosip.drivers.series import ACQUIRING, CONTINUOUS, ERROR, IDLE, IMAGE_MODES, WAITING
from tosip.errors import ConfigurationError
from tosip.housekeeping import Item, choice, integer, seconds, text

# ADDriver.h: ADStatus_t
DETECTOR_STATES = (
    *("Idle", "Acquire", "Readout", "Correct", "Saving", "Aborting", "Error", "Waiting"),
    *("Initializing", "Disconnected", "Aborted"),
)
LONGEST_STATUS = 256
_EXPOSURE_TIMES = ("XPOSURE", "EXPTIME", "EXPOSURE")


def _set_wait(driver: Any, value: str) -> None:
    driver.wait_for_plugins = value == "Yes"


WAIT_FOR_PLUGINS: Item[Any] = Item(
    "WaitForPlugins",
    choice("Whether AcquireBusy waits for plugins", "No", "Yes"),
    lambda d: "Yes" if d.wait_for_plugins else "No",
    _set_wait,
    group="Driver",
    echo=True,
    saved=True,
)


def detector_state(state: Any) -> Item[Any]:
    """Make the item DetectorState; `state` reads one of DETECTOR_STATES from the driver."""
    field = choice("State of the acquisition", *DETECTOR_STATES, Error=Severity.MAJOR)
    return Item("DetectorState", field, state)


def sizes(shape: Any) -> tuple[Item[Any], ...]:
    """Make the items of the detector's and the image's size; `shape` reads (rows, columns)."""

    def item(pv: str, doc: str, axis: int) -> Item[Any]:
        return Item(pv, integer(doc, "px"), lambda d: shape(d)[axis], group="Last array")

    return (
        item("MaxSizeX", "Columns of the detector", 1),
        item("MaxSizeY", "Rows of the detector", 0),
        item("SizeX", "Columns of the image", 1),
        item("SizeY", "Rows of the image", 0),
    )


def _refuse(driver: FitsDriver, value: Any) -> None:
    raise ConfigurationError(f"{driver.name}: expected no write, as the camera decides this itself")


def _exposure_time(driver: FitsDriver) -> float:
    attributes = driver.port.last.attributes if driver.port.last else {}
    found = (attributes.get(name) for name in _EXPOSURE_TIMES)
    return next((float(t) for t in found if isinstance(t, (int, float))), 0.0)


def _state(driver: FitsDriver) -> str:
    if driver.fault:
        return ERROR
    if not driver.acquiring:
        return IDLE
    return ACQUIRING if driver.reading else WAITING


def _shape(driver: FitsDriver) -> tuple[int, int]:
    columns, rows, _ = driver.port.last.sizes if driver.port.last else (0, 0, 0)
    return rows, columns


DETECTOR_ITEMS: tuple[Item[FitsDriver], ...] = (
    Item(
        "ImageMode",
        choice("How many exposures a series has", *IMAGE_MODES),
        lambda _: CONTINUOUS,
        _refuse,
        group="Detector",
    ),
    Item(
        "NumImages",
        integer("Exposures of a series: not known here"),
        lambda _: 1,
        _refuse,
        group="Detector",
    ),
    Item(
        "NumImagesCounter",
        integer("Frames since the reset"),
        lambda d: d.array_counter,
        group="Detector",
    ),
    Item(
        "AcquireTime",
        seconds("Exposure time of the last frame"),
        _exposure_time,
        _refuse,
        group="Detector",
    ),
    Item(
        "AcquirePeriod",
        seconds("From one frame's time to the next's"),
        lambda d: d.period,
        _refuse,
        group="Detector",
    ),
    *sizes(_shape),
    detector_state(_state),
    Item(
        "StatusMessage",
        text("What is wrong with the last file", LONGEST_STATUS),
        lambda d: d.fault or d.message,
    ),
)
