"""What operators see of every port, a driver's or a plugin's: areaDetector's NDArrayBase."""

import math
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np

from tosip.description import Field, Kind, Severity
from tosip.housekeeping import Item, button, choice, integer, number, seconds, text
from tosip.pipeline.attributes_file import AttributesStatus
from tosip.pipeline.epics_time import EPICS_EPOCH, within_epics
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool
from tosip.pipeline.port_attributes import MOST_NAMED, PortAttributes
from tosip.pipeline.ports import Port
from tosip.pipeline.protocol import PIXEL_TYPES

MEBIBYTE = 1024**2  # areaDetector's MB
MOST_DIMENSIONS = 10  # of areaDetector's arrays
DATA_TYPES = tuple(name for name, _ in PIXEL_TYPES.values())
COLOR_MODES = ("Mono", "Bayer", "RGB1", "RGB2", "RGB3", "YUV444", "YUV422", "YUV421")
BAYER_PATTERNS = ("RGGB", "GBRG", "GRBG", "BGGR")
_LARGEST = 2**31 - 1  # of an EPICS long


class HasPort(Protocol):
    """A driver or a plugin."""

    pool: Pool
    port: Port
    preallocate: int


OwnerT = TypeVar("OwnerT", bound=HasPort)
Last = Callable[[OwnerT], NDArray | None]


def last_array_items(last: Last[OwnerT], group: str) -> tuple[Item[OwnerT], ...]:
    """Make the items that tell of the array that `last` finds."""

    def of(read: Callable[[NDArray], Any], without: Any) -> Callable[[OwnerT], Any]:
        def value(owner: OwnerT) -> Any:
            array = last(owner)
            return without if array is None else read(array)

        return value

    def item(pv: str, field: Field, read: Callable[[NDArray], Any], without: Any) -> Item[OwnerT]:
        return Item(pv, field, of(read, without), group=group)

    size = Field("", Kind.ARRAY, "Size of each dimension, fastest first", length=10, dtype="int32")
    return (
        item("TimeStamp", seconds("When it was taken (Unix)"), lambda a: a.timestamp, 0.0),
        item("EpicsTSSec", integer("When it was taken (since 1990)", "s"), _epics_seconds, 0),
        item("EpicsTSNsec", integer("Nanoseconds of that second", "ns"), _nanoseconds, 0),
        item("ArraySizeX", integer("Columns", "px"), lambda a: a.sizes[0], 0),
        item("ArraySizeY", integer("Rows", "px"), lambda a: a.sizes[1], 0),
        item("ArraySizeZ", integer("Colours"), lambda a: a.sizes[2], 0),
        item("ArraySize", integer("Bytes of the pixels", "B"), lambda a: min(a.size, _LARGEST), 0),
        *(
            Item(f"ArraySize{n}", integer(f"Size of dimension {n}", "px"), group=group, derived="r")
            for n in range(3)
        ),
        item("NDimensions", integer("Number of dimensions"), lambda a: len(a.shape), 0),
        item("Dimensions", size, _dimensions, np.zeros(0, np.int32)),
        item(
            "DataType",
            choice("Type of the pixels", *DATA_TYPES),
            lambda a: a.data_type,
            "UInt8",
        ),
        item("ColorMode", choice("Colour mode", *COLOR_MODES), lambda a: a.color_mode, "Mono"),
        item(
            "BayerPattern",
            choice("Colours of the first two rows", *BAYER_PATTERNS),
            lambda a: BAYER_PATTERNS[a.bayer_pattern],
            BAYER_PATTERNS[0],
        ),
    )


def _epics_seconds(array: NDArray) -> int:
    return min(math.floor(within_epics(array.timestamp)) - EPICS_EPOCH, _LARGEST)


def _nanoseconds(array: NDArray) -> int:
    return int(within_epics(array.timestamp) % 1 * 1_000_000_000)


def _dimensions(array: NDArray) -> "np.ndarray[Any, Any]":
    sizes = np.zeros(MOST_DIMENSIONS, np.int32)
    sizes[: len(array.shape)] = array.shape[::-1]
    return sizes


def _set_callbacks(owner: HasPort, value: str) -> None:
    owner.port.callbacks = value == "Enable"


def _set_preallocate(owner: HasPort, value: int) -> None:
    owner.preallocate = value


async def _preallocate(owner: HasPort, _: bool) -> None:
    size = owner.port.last.size if owner.port.last else 0
    await owner.pool.preallocate(owner.preallocate, size)


async def _set_file(owner: HasPort, value: str) -> None:
    if owner.port.attributes:
        owner.port.attributes.set_file(value)
        await owner.port.attributes.in_force()


async def _set_macros(owner: HasPort, value: str) -> None:
    if owner.port.attributes:
        owner.port.attributes.set_macros(value)
        await owner.port.attributes.in_force()


def _of_attributes(
    read: Callable[[PortAttributes], str], without: str = ""
) -> Callable[[HasPort], str]:
    def value(owner: HasPort) -> str:
        return read(owner.port.attributes) if owner.port.attributes else without

    return value


def _attributes_message(owner: HasPort) -> str:
    """What is wrong with the file, and what the last array could not carry as it was."""
    said = [owner.port.attributes.message] if owner.port.attributes else []
    changed = owner.port.last.changed_attributes if owner.port.last else {}
    said += [f"{name}: {words}" for name, words in islice(changed.items(), MOST_NAMED)]
    return "; ".join(filter(None, said))[:1000]


CALLBACKS: Item[Any] = Item(
    "ArrayCallbacks",
    choice("Whether arrays go to the plugins", "Disable", "Enable"),
    lambda owner: "Enable" if owner.port.callbacks else "Disable",
    _set_callbacks,
    group="Arrays",
    saved=True,
)

ARRAY_RATE: Item[Any] = Item(
    "ArrayRate", number("Arrays per second", "Hz", 2), group="Arrays", derived="r"
)

ATTRIBUTE_ITEMS: tuple[Item[Any], ...] = (
    Item(
        "NDAttributesMacros",
        text("Macros of that file: A=B,C=D", 256),
        _of_attributes(lambda a: a.macros),
        _set_macros,
        group="Attributes",
        echo=True,
        saved=True,
    ),
    Item(
        "NDAttributesFile",
        text("XML file of more attributes, or XML", 4096),
        _of_attributes(lambda a: a.file),
        _set_file,
        group="Attributes",
        echo=True,
        saved=True,
    ),
    Item(
        "NDAttributesStatus",
        choice(
            "What came of the attributes file",
            *(status.value for status in AttributesStatus),
            File_not_found=Severity.MINOR,
            XML_syntax_error=Severity.MAJOR,
            Macro_substitution_error=Severity.MAJOR,
        ),
        _of_attributes(lambda a: a.status.value, AttributesStatus.OK.value),
        group="Attributes",
        bare=True,
    ),
    Item(
        "NDAttributesMessage",
        text("What is wrong with attributes", 1000),
        _attributes_message,
        group="Attributes",
    ),
)

POOL_ITEMS: tuple[Item[Any], ...] = (
    Item(
        "PoolMaxMem",
        number("Memory that frames may take", "MB", 1),
        group="Pool",
        bare=True,
        derived="r",
    ),
    Item(
        "PoolUsedMem",
        number("Memory that frames take", "MB", 1),
        group="Pool",
        bare=True,
        derived="r",
    ),
    Item("PoolAllocBuffers", integer("Buffers of frames"), group="Pool", bare=True, derived="r"),
    Item(
        "PoolFreeBuffers",
        integer("Buffers that wait for a frame"),
        group="Pool",
        bare=True,
        derived="r",
    ),
    Item(
        "PoolUsedBuffers",
        integer("Buffers that somebody reads"),
        group="Pool",
        bare=True,
        derived="r",
    ),
    Item(
        "PoolPollStats",
        button("Read the pool's figures now"),
        write=lambda owner, _: owner.pool.changed(),
        group="Pool",
    ),
    Item(
        "EmptyFreeList",
        button("Give free buffers' memory back"),
        write=lambda owner, _: owner.pool.shrink(),
        group="Pool",
    ),
    Item(
        "NumPreAllocBuffers",
        integer("Buffers to make ahead", low=0, high=1000),
        lambda owner: owner.preallocate,
        _set_preallocate,
        group="Pool",
    ),
    Item(
        "PreAllocBuffers",
        button("Make buffers like the last array's"),
        write=_preallocate,
        group="Pool",
    ),
)

# The pool itself, once for the IOC: every port's records follow these.
POOL_MASTER_ITEMS: tuple[Item[Pool], ...] = (
    Item(
        "PoolMaxMem",
        number("Memory that frames may take", "MB", 1),
        lambda pool: pool.budget / MEBIBYTE,
        bare=True,
    ),
    Item(
        "PoolUsedMem",
        number("Memory that frames take", "MB", 1),
        lambda pool: pool.figures().memory / MEBIBYTE,
        bare=True,
    ),
    Item(
        "PoolAllocBuffers",
        integer("Buffers of frames"),
        lambda pool: pool.figures().buffers,
        bare=True,
    ),
    Item(
        "PoolFreeBuffers",
        integer("Buffers that wait for a frame"),
        lambda pool: pool.figures().free_buffers,
        bare=True,
    ),
)

VERSION_ITEMS: tuple[Item[Any], ...] = (
    Item("PortName", text("Name of this port"), group="Version", derived="r"),
    Item("Model", text("Driver, or class of the algorithm"), group="Version", derived="r"),
    Item("DriverVersion", text("Version of TOSIP"), group="Version", derived="r"),
    Item("ADCoreVersion", text("ADCore whose records these are"), group="Version", derived="r"),
)
