"""What operators see of a driver that obeys areaDetector's acquisition controls (ADBase)."""

from typing import Any

from tosip.drivers.detector_panel import (
    LONGEST_STATUS,
    WAIT_FOR_PLUGINS,
    detector_state,
    sizes,
)
from tosip.drivers.series import IMAGE_MODES, SeriesDriver
from tosip.errors import ConfigurationError
from tosip.housekeeping import WRITE_MESSAGE, Item, choice, integer, seconds, text
from tosip.pipeline.port_panel import (
    ARRAY_RATE,
    ATTRIBUTE_ITEMS,
    CALLBACKS,
    POOL_ITEMS,
    VERSION_ITEMS,
    last_array_items,
)


def _set(name: str) -> Any:
    def write(driver: SeriesDriver, value: Any) -> None:
        setattr(driver, name, value)

    return write


def _ignore(_driver: SeriesDriver, _value: str) -> None:
    """Accept writes of areaDetector's busy record's clients; they change nothing here."""


def _set_images(driver: SeriesDriver, value: int) -> None:
    if value < 1:
        raise ConfigurationError(f"{driver.name}.NumImages: expected at least 1, got {value}")
    driver.num_images = value


def _done(value: bool) -> str:
    return "Acquiring" if value else "Done"


SERIES_ITEMS: tuple[Item[SeriesDriver], ...] = (
    Item(
        "Acquire",
        choice("Start or abort a series", "Done", "Acquire"),
        lambda d: "Acquire" if d.acquiring else "Done",
        lambda d, value: d.acquire(value == "Acquire"),
        group="Driver",
        echo=True,
    ),
    Item(
        "Acquire",
        choice("Whether a series runs", "Done", "Acquiring"),
        lambda d: _done(d.acquiring),
        group="Driver",
    ),
    Item(
        "AcquireBusy",
        choice("Whether a series or frames are in work", "Done", "Acquiring"),
        lambda d: _done(d.busy),
        _ignore,
        group="Driver",
        echo=True,
    ),
    WAIT_FOR_PLUGINS,
    Item(
        "ImageMode",
        choice("How many exposures a series has", *IMAGE_MODES),
        lambda d: d.image_mode,
        _set("image_mode"),
        group="Driver",
        saved=True,
    ),
    Item(
        "NumImages",
        integer("Exposures of a series (Multiple)", low=1),
        lambda d: d.num_images,
        _set_images,
        group="Driver",
        saved=True,
    ),
    Item(
        "NumImagesCounter",
        integer("Exposures of this series so far"),
        lambda d: d.num_images_counter,
        group="Driver",
    ),
    Item(
        "AcquireTime",
        seconds("Length of an exposure", low=0.0),
        lambda d: d.acquire_time,
        _set("acquire_time"),
        group="Driver",
        saved=True,
    ),
    Item(
        "AcquirePeriod",
        seconds("From one exposure's start to the next's", low=0.0),
        lambda d: d.acquire_period,
        _set("acquire_period"),
        group="Driver",
        saved=True,
    ),
    CALLBACKS,
    Item(
        "ArrayCounter",
        integer("Arrays produced since the reset"),
        lambda d: d.array_counter,
        _set("array_counter"),
        group="Arrays",
        resets=True,
    ),
    ARRAY_RATE,
    Item(
        "FailedArrays",
        integer("Exposures that gave no frame"),
        lambda d: d.failed_frames,
        group="Arrays",
    ),
    Item(
        "NumQueuedArrays",
        integer("Arrays that plugins still have"),
        lambda d: d.origin.queued,
        group="Arrays",
        bare=True,
    ),
    Item(
        "UniqueId",
        integer("Number of the last exposure"),
        lambda d: d.unique_id,
        group="Last array",
    ),
    *sizes(lambda d: d.exposures.shape),
    *last_array_items(lambda driver: driver.port.last, "Last array"),
    detector_state(lambda d: d.state),
    Item(
        "StatusMessage",
        text("Why the last exposure failed", LONGEST_STATUS),
        lambda d: d.message,
    ),
    WRITE_MESSAGE,
    *ATTRIBUTE_ITEMS,
    *POOL_ITEMS,
    *VERSION_ITEMS,
)
