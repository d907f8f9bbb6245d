"""The records that clients of areaDetector know, on every port, over PVAccess.

The names and types are those of ADCore's NDArrayBase.template and NDPluginBase.template.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from p4p.client.thread import RemoteError

from tests.records.conftest import CONFIG, PASSWORD, Uploads
from tosip.drivers.sky import fits_bytes
from tosip.gateway.users import hash_password
from tosip.testing.ioc import IocProcess

MAJOR, MINOR, NONE = 2, 1, 0
PORTS = ("CAM01", "CAM02", "FOCUS01", "FOCUS02", "FIELD", "ENV")
TEN = range(10)

NDARRAY_BASE = {
    "stringin": "ADCoreVersion_RBV DriverVersion_RBV PortName_RBV Manufacturer_RBV Model_RBV "
    "SerialNumber_RBV SDKVersion_RBV FirmwareVersion_RBV Codec_RBV",
    "bo": "Acquire WaitForPlugins ArrayCallbacks PoolPollStats EmptyFreeList",
    "bi": "Acquire_RBV AcquireBusyCB ArrayCallbacks_RBV",
    "calcout": "SetAcquireBusy ClearAcquireBusy",
    "busy": "AcquireBusy PreAllocBuffers",
    "longout": "NDimensions ArrayCounter NumPreAllocBuffers",
    "longin": "NDimensions_RBV ArraySizeX_RBV ArraySizeY_RBV ArraySizeZ_RBV ArraySize_RBV "
    "CompressedSize_RBV UniqueId_RBV EpicsTSSec_RBV EpicsTSNsec_RBV ArrayCounter_RBV "
    "PoolAllocBuffers PoolFreeBuffers NumPreAllocBuffers_RBV NumQueuedArrays "
    + " ".join(f"ArraySize{n} ArraySize{n}_RBV" for n in TEN),
    "subArray": " ".join(f"Dim{n}SA Dim{n}SA_RBV" for n in TEN),
    "waveform": "Dimensions Dimensions_RBV NDAttributesMacros NDAttributesFile",
    "mbbo": "DataType ColorMode",
    "mbbi": "BayerPattern_RBV DataType_RBV ColorMode_RBV NDAttributesStatus",
    "ai": "TimeStamp_RBV PoolMaxMem PoolUsedMem",
    "calc": "ArrayRate_RBV PoolUsedBuffers",
}
# Without AsynIO: its type belongs to asyn, which is not here.
NDPLUGIN_BASE = {
    "stringin": "PluginType_RBV NDArrayPort_RBV",
    "stringout": "NDArrayPort",
    "longout": "NDArrayAddress DroppedArrays QueueSize NumThreads SortSize DroppedOutputArrays "
    "DisorderedArrays",
    "longin": "NDArrayAddress_RBV DroppedArrays_RBV QueueSize_RBV QueueFree NumThreads_RBV "
    "MaxThreads_RBV SortSize_RBV SortFree DroppedOutputArrays_RBV DisorderedArrays_RBV",
    "bo": "EnableCallbacks ProcessPlugin BlockingCallbacks",
    "bi": "EnableCallbacks_RBV BlockingCallbacks_RBV",
    "ao": "MinCallbackTime MaxArrayRate MaxByteRate SortTime",
    "ai": "MinCallbackTime_RBV MaxByteRate_RBV ExecutionTime_RBV SortTime_RBV",
    "calcout": "MaxArrayRate_COUT QueueFreeLow QueueUseHIGH QueueUseHIHI SortFreeLow",
    "calc": "MaxArrayRate_RBV QueueUse",
    "mbbo": "SortMode",
    "mbbi": "SortMode_RBV",
}
READ_ONLY_TYPES = frozenset(
    ("stringin", "bi", "mbbi", "ai", "longin", "calc", "calcout", "subArray")
)
# Arrays have the type and the shape of the file; these only show them.
READ_ONLY_HERE = frozenset(("NDimensions", "Dimensions", "Dimensions_RBV", "DataType", "ColorMode"))


def by_name(types: dict[str, str]) -> dict[str, str]:
    return {name: kind for kind, names in types.items() for name in names.split()}


DRIVER = by_name(NDARRAY_BASE)
PLUGIN = DRIVER | by_name(NDPLUGIN_BASE)
EACH = pytest.mark.parametrize(
    ("port", "records"), [("CAM01", DRIVER), ("FOCUS01", PLUGIN)], ids=["driver", "plugin"]
)

ENABLE, YES = ("Disable", "Enable"), ("No", "Yes")
DATA_TYPES = (
    *("Int8", "UInt8", "Int16", "UInt16", "Int32"),
    *("UInt32", "Int64", "UInt64", "Float32", "Float64"),
)
COLOR_MODES = ("Mono", "Bayer", "RGB1", "RGB2", "RGB3", "YUV444", "YUV422", "YUV421")
STATUSES = (
    *("Attributes file OK", "File not found"),
    *("XML syntax error", "Macro substitution error"),
)
CHOICES = {
    "Acquire": ("Done", "Acquire"),
    "Acquire_RBV": ("Done", "Acquiring"),
    "WaitForPlugins": YES,
    "ArrayCallbacks": ENABLE,
    "ArrayCallbacks_RBV": ENABLE,
    "DataType": DATA_TYPES,
    "DataType_RBV": DATA_TYPES,
    "ColorMode": COLOR_MODES,
    "ColorMode_RBV": COLOR_MODES,
    "NDAttributesStatus": STATUSES,
}
PLUGIN_CHOICES = CHOICES | {
    "EnableCallbacks": ENABLE,
    "EnableCallbacks_RBV": ENABLE,
    "BlockingCallbacks": YES,
    "BlockingCallbacks_RBV": YES,
    "SortMode": ("Unsorted", "Sorted"),
    "SortMode_RBV": ("Unsorted", "Sorted"),
}
UNITS = {"ArrayRate_RBV": "Hz", "PoolMaxMem": "MB", "PoolUsedMem": "MB"}
PLUGIN_UNITS = UNITS | {
    "MinCallbackTime": "s",
    "MinCallbackTime_RBV": "s",
    "MaxArrayRate": "Hz",
    "MaxArrayRate_RBV": "Hz",
    "ExecutionTime_RBV": "ms",
}

ALGORITHM = '''
import json
from tosip import Algorithm, Inputs, Outputs, output

class Figures(Outputs):
    seen: str = output("Attributes of the frame as JSON", length=4000)

class Attributes(Algorithm[Inputs, Figures]):
    """Shows the attributes of frames."""

    def process(self, image, params, attributes, metadata):
        return Figures(seen=json.dumps(dict(attributes), default=str))
'''


@pytest.fixture(scope="module")
def ioc(
    start_ioc: Callable[..., IocProcess], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[IocProcess]:
    folder = tmp_path_factory.mktemp("config")
    algorithm = folder / "attributes.py"
    algorithm.write_text(ALGORITHM)
    users = "".join(f"cam{n:02d}:{hash_password(PASSWORD)}\n" for n in (1, 2))
    (folder / "users").write_text(users)
    config = folder / "neosted.toml"
    config.write_text(
        CONFIG.format(file=algorithm).replace("[focus.alarms.mean]\nhigh = 900.0", "")
    )
    ioc = start_ioc(["tosip.iocs.neosted", "--config", str(config)])
    yield ioc
    ioc.stop()


@pytest.fixture(scope="module")
def plugin(ioc: IocProcess, uploads: Uploads) -> Callable[..., Any]:
    """Read a record of FOCUS01, which has seen a frame."""
    settled(ioc, uploads)

    def read(name: str) -> Any:
        return ioc.get(f"FOCUS01:{name}")

    return read


def of_port(ioc: IocProcess, port: str, names: Any, field: str = "") -> dict[str, Any]:
    found = ioc.get_all([f"{port}:{name}{field}" for name in names])
    return {name: found[f"{port}:{name}{field}"] for name in names}


def settled(ioc: IocProcess, uploads: Uploads, frames: int = 1) -> float:
    """Upload frames and wait until FOCUS01 and those behind have the last; return its time."""
    ioc.put("CAM01:PoolPollStats", 1)  # which posts what may wait to be posted
    number = int(ioc.get("CAM01:UniqueId_RBV")) + frames
    for _ in range(frames):
        stamp = uploads.frame()
    ports = ("CAM01", "FOCUS01", "FIELD", "ENV")
    for port in ports:
        ioc.wait(f"{port}:UniqueId_RBV", lambda last: last == number)
    for port in ports:  # the other records of that frame come behind; a put ends after them
        ioc.put(f"{port}:PoolPollStats", 1)
    return stamp


@contextlib.contextmanager
def set_to(ioc: IocProcess, **values: Any) -> Iterator[None]:
    """Set records of FOCUS01 and set them back afterwards."""
    before = {name: ioc.get(f"FOCUS01:{name}") for name in values}
    for name, value in values.items():
        ioc.put(f"FOCUS01:{name}", value)
    try:
        yield
    finally:
        for name, value in before.items():
            ioc.put(f"FOCUS01:{name}", value)


@contextlib.contextmanager
def held(ioc: IocProcess) -> Iterator[None]:
    """Stop the worker of FOCUS01: frames that it is given stay there."""
    pid = int(ioc.get("FOCUS01:WorkerPid_RBV"))
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def wait(ioc: IocProcess, name: str, wanted: Any, timeout: float = 15.0) -> Any:
    return ioc.wait(name, lambda value: value == wanted, timeout=timeout)


def wait_severity(ioc: IocProcess, name: str, wanted: int) -> None:
    ioc.wait(name, lambda value: value.severity == wanted, timeout=5.0)


def fill(ioc: IocProcess, uploads: Uploads, waiting: int) -> None:
    """Upload frames until so many wait in the queue of FOCUS01, whose worker is held."""
    for _ in range(waiting + 5):
        ioc.put("FOCUS01:PoolPollStats", 1)  # which posts what may wait to be posted
        received = ioc.get("FOCUS01:ReceivedArrays_RBV")
        if ioc.get("FOCUS01:QueueSize_RBV") - ioc.get("FOCUS01:QueueFree") == waiting:
            return
        uploads.frame()
        # It is shown after QueueFree.
        wait(ioc, "FOCUS01:ReceivedArrays_RBV", received + 1)
    raise AssertionError(f"{waiting} arrays do not wait")


# What is there


@EACH
def test_every_record_of_areadetector_is_there_with_its_type(ioc, port, records):
    found = of_port(ioc, port, records, ".RTYP")

    # The busy record is of a module that is not here.
    assert found == {name: "bo" if kind == "busy" else kind for name, kind in records.items()}


@EACH
def test_every_record_says_what_it_is(ioc, port, records):
    found = of_port(ioc, port, records, ".DESC")

    assert [name for name, words in found.items() if not words] == []


@EACH
def test_no_record_is_in_alarm_while_all_is_well(ioc, plugin, port, records):
    found = of_port(ioc, port, records)

    assert {name: value.severity for name, value in found.items() if value.severity} == {}


@pytest.mark.parametrize(
    ("port", "choices"), [("CAM01", CHOICES), ("FOCUS01", PLUGIN_CHOICES)], ids=["driver", "plugin"]
)
def test_choices_are_areadetectors_in_order(ioc, port, choices):
    found = of_port(ioc, port, choices)

    assert {name: tuple(v.raw.value.choices) for name, v in found.items()} == choices


@pytest.mark.parametrize(
    ("port", "units"), [("CAM01", UNITS), ("FOCUS01", PLUGIN_UNITS)], ids=["driver", "plugin"]
)
def test_units_are_areadetectors(ioc, port, units):
    found = of_port(ioc, port, units)

    assert {name: value.raw.display.units for name, value in found.items()} == units


@EACH
def test_what_only_shows_refuses_writes(ioc, port, records):
    accepted = []
    names = [n for n, kind in records.items() if kind in READ_ONLY_TYPES or n in READ_ONLY_HERE]
    for name, value in of_port(ioc, port, names).items():
        try:
            ioc.put(f"{port}:{name}", value)
        except RemoteError as error:
            assert "Field Disabled" in str(error)  # noqa: PT017
        else:
            accepted.append(name)

    assert accepted == []


def test_a_port_says_what_it_is(ioc, plugin):
    assert plugin("PortName_RBV") == "FOCUS01"
    assert plugin("PluginType_RBV") == plugin("Model_RBV") == "Attributes"
    assert plugin("ADCoreVersion_RBV").startswith("3.")
    assert ioc.get("CAM01:PortName_RBV") == "CAM01"


# The last array


def test_sizes_are_listed_fastest_first(ioc, plugin):
    sizes = [32, 16, *(0 for _ in range(8))]
    assert list(plugin("Dimensions_RBV")) == list(plugin("Dimensions")) == sizes
    for port in ("CAM01", "FOCUS01"):
        for suffix in ("", "_RBV"):
            for n, size in enumerate(sizes):
                wait(ioc, f"{port}:ArraySize{n}{suffix}", size)
    assert plugin("NDimensions_RBV") == plugin("NDimensions") == 2
    assert plugin("ArraySize_RBV") == plugin("CompressedSize_RBV") == 2 * 32 * 16
    assert str(plugin("DataType")) == str(plugin("DataType_RBV")) == "UInt16"
    assert str(plugin("ColorMode")) == str(plugin("ColorMode_RBV")) == "Mono"


@pytest.mark.parametrize("port", ["CAM01", "FOCUS01"])
def test_times_are_the_frames_own(ioc, uploads, port):
    stamp = settled(ioc, uploads)

    assert wait(ioc, f"{port}:TimeStamp_RBV", stamp)
    seconds_1990 = int(stamp) - 631_152_000
    assert wait(ioc, f"{port}:EpicsTSSec_RBV", seconds_1990)
    assert ioc.get(f"{port}:EpicsTSNsec_RBV") == 500_000_000


def test_the_rate_is_that_of_the_last_second_and_0_afterwards(ioc, uploads):
    names = ("CAM01:ArrayRate_RBV", "FOCUS01:ArrayRate_RBV")
    deadline = time.monotonic() + 15.0
    seen: set[str] = set()
    while seen != set(names):
        assert time.monotonic() < deadline
        settled(ioc, uploads)
        seen |= {name for name, rate in ioc.get_all(names).items() if rate > 0}

    for name in names:
        wait(ioc, name, 0.0)


# Settings


@pytest.mark.parametrize(
    "counter", ["ArrayCounter", "DroppedArrays", "DroppedOutputArrays", "DisorderedArrays"]
)
def test_a_counter_is_reset_by_writing_0(ioc, plugin, counter):
    ioc.put(f"FOCUS01:{counter}", 5)
    assert plugin(f"{counter}_RBV") == 5

    ioc.put(f"FOCUS01:{counter}", 0)

    assert plugin(f"{counter}_RBV") == 0


def test_the_counter_of_arrays_goes_on_from_what_was_written(ioc, uploads):
    for port in ("CAM01", "FOCUS01"):
        ioc.put(f"{port}:ArrayCounter", 0)

    settled(ioc, uploads)

    for port in ("CAM01", "FOCUS01"):
        wait(ioc, f"{port}:ArrayCounter_RBV", 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NDArrayPort", "CAM02"),
        ("EnableCallbacks", "Disable"),
        ("MinCallbackTime", 0.25),
        ("MaxByteRate", 1e9),
        ("BlockingCallbacks", "Yes"),
        ("QueueSize", 21),
        ("NumThreads", 2),
        ("SortMode", "Sorted"),
        ("SortTime", 0.75),
        ("SortSize", 33),
        ("ArrayCallbacks", "Disable"),
        ("NumPreAllocBuffers", 2),
    ],
)
def test_a_setting_is_in_force_when_the_put_completes(ioc, plugin, name, value):
    with set_to(ioc, **{name: value}):
        assert [_plain(plugin(name)), _plain(plugin(f"{name}_RBV"))] == [value, value]


def _plain(value: Any) -> Any:
    return str(value) if hasattr(value, "choice") else value


@pytest.mark.parametrize(
    ("name", "refused", "accepted"),
    [
        ("NDArrayPort", "NOWHERE", "CAM02"),
        ("NDArrayAddress", 3, None),
        ("QueueSize", 0, 7),
        ("NumThreads", 99, 2),
        ("SortSize", 0, 3),
        ("MinCallbackTime", float("nan"), 0.5),
    ],
)
def test_monitors_of_a_setting_never_show_a_refused_value(ioc, name, refused, accepted):
    shown = []
    with ioc.monitor(f"FOCUS01:{name}") as updates:
        before = updates.next()
        with set_to(ioc, **{name: before}):
            with pytest.raises(RemoteError):
                ioc.put(f"FOCUS01:{name}", refused)
            assert ioc.get(f"FOCUS01:{name}") == ioc.get(f"FOCUS01:{name}_RBV") == before
            if accepted is not None:
                ioc.put(f"FOCUS01:{name}", accepted)
        with contextlib.suppress(queue.Empty):
            while True:
                shown.append(updates.next(0.3))

    assert set(shown) <= {before, accepted}
    assert accepted is None or accepted in shown


def test_no_write_is_lost_while_frames_come(ioc, uploads, frames_all_the_time):
    settings = {"QueueSize": (50, 20), "SortTime": (0.5, 0.1), "SortSize": (33, 10)}
    lost = []
    for _ in range(30):
        for name, values in settings.items():
            for value in values:
                ioc.put(f"FOCUS01:{name}", value)
                shown = (ioc.get(f"FOCUS01:{name}"), ioc.get(f"FOCUS01:{name}_RBV"))
                if shown != (value, value):
                    lost.append((name, value, shown))

    assert lost == []


@pytest.fixture
def frames_all_the_time(ioc: IocProcess, uploads: Uploads) -> Iterator[None]:
    """Upload the same frame to the second camera again and again, and let FOCUS01 have it."""
    frame = fits_bytes(np.full((16, 32), 7, np.uint16), {"DATE-OBS": "2026-01-01T00:00:00"})
    ended = threading.Event()

    def upload() -> None:
        while not ended.is_set():
            uploads.file("same.fits", frame, "cam02")

    with set_to(ioc, NDArrayPort="CAM02"):
        thread = threading.Thread(target=upload)
        thread.start()
        yield
        ended.set()
        thread.join()
        wait(ioc, "CAM02:QueuedFiles_RBV", 0)


def test_a_rate_is_the_other_face_of_the_least_time(ioc, plugin):
    with set_to(ioc, MinCallbackTime=0.0):
        ioc.put("FOCUS01:MaxArrayRate", 4.0)
        assert plugin("MinCallbackTime") == plugin("MinCallbackTime_RBV") == 0.25
        wait(ioc, "FOCUS01:MaxArrayRate_RBV", 4.0)

        ioc.put("FOCUS01:MinCallbackTime", 0.5)
        wait(ioc, "FOCUS01:MaxArrayRate_RBV", 2.0)

        ioc.put("FOCUS01:MaxArrayRate", 0.0)
        assert plugin("MinCallbackTime_RBV") == 0.0
        wait(ioc, "FOCUS01:MaxArrayRate_RBV", 0.0)


# Queues


def test_a_queue_warns_at_three_quarters_and_alarms_when_it_is_full(ioc, uploads, plugin):
    def alarmed(severity):
        wait_severity(ioc, "FOCUS01:QueueFree", severity)
        wait_severity(ioc, "FOCUS01:QueueUse", severity)

    with set_to(ioc, QueueSize=8):
        with held(ioc):
            fill(ioc, uploads, 5)
            alarmed(NONE)
            fill(ioc, uploads, 6)
            alarmed(MINOR)
            fill(ioc, uploads, 8)
            alarmed(MAJOR)
            dropped = plugin("DroppedArrays_RBV")
            uploads.frame()
            wait(ioc, "FOCUS01:DroppedArrays_RBV", dropped + 1)

            for size, severity in ((20, NONE), (10, MINOR), (11, NONE), (8, MAJOR), (6, MAJOR)):
                ioc.put("FOCUS01:QueueSize", size)
                alarmed(severity)

        wait(ioc, "FOCUS01:QueueUse", 0)
        alarmed(NONE)
    alarmed(NONE)


@pytest.mark.parametrize(("size", "free"), [("QueueSize", "QueueFree"), ("SortSize", "SortFree")])
def test_a_smaller_size_does_not_leave_an_empty_queue_in_alarm(ioc, plugin, size, free):
    with set_to(ioc, **{size: 100}):
        wait(ioc, f"FOCUS01:{free}.LOW", 25)
        ioc.put(f"FOCUS01:{size}", 4)

        wait(ioc, f"FOCUS01:{free}.LOW", 1)
        wait_severity(ioc, f"FOCUS01:{free}", NONE)


def test_a_source_waits_for_a_plugin_that_blocks_and_nothing_is_dropped(ioc, uploads, plugin):
    settled(ioc, uploads)
    number, dropped = int(plugin("UniqueId_RBV")), plugin("DroppedArrays_RBV")
    with set_to(ioc, BlockingCallbacks="Yes", QueueSize=1):
        with held(ioc):
            for _ in range(8):
                uploads.frame()
            ioc.wait("CAM01:QueuedFiles_RBV", lambda files: files > 1)

        wait(ioc, "FOCUS01:UniqueId_RBV", number + 8)
        assert plugin("DroppedArrays_RBV") == dropped


# The port's switches


def test_without_array_callbacks_plugins_get_nothing(ioc, uploads, plugin):
    settled(ioc, uploads)
    received, counter = plugin("ReceivedArrays_RBV"), ioc.get("CAM01:ArrayCounter_RBV")
    ioc.put("CAM01:ArrayCallbacks", "Disable")
    try:
        uploads.frame()
        wait(ioc, "CAM01:ArrayCounter_RBV", counter + 1)
    finally:
        ioc.put("CAM01:ArrayCallbacks", "Enable")

    settled(ioc, uploads)
    wait(ioc, "FOCUS01:ReceivedArrays_RBV", received + 1)


def test_a_driver_that_does_not_acquire_lets_files_go_by(ioc, uploads):
    skipped, last = (ioc.get(f"CAM01:{name}_RBV") for name in ("SkippedFiles", "UniqueId"))
    ioc.put("CAM01:Acquire", "Done")
    try:
        assert str(ioc.get("CAM01:Acquire_RBV")) == "Done"
        uploads.frame()
        wait(ioc, "CAM01:SkippedFiles_RBV", skipped + 1)
    finally:
        ioc.put("CAM01:Acquire", "Acquire")

    assert str(ioc.get("CAM01:Acquire_RBV")) == "Acquiring"
    assert ioc.get("CAM01:UniqueId_RBV") == last
    settled(ioc, uploads)


# The pool


def test_the_pools_figures_are_the_same_on_every_port(ioc, uploads):
    names = ("MaxMem", "UsedMem", "AllocBuffers", "FreeBuffers", "UsedBuffers")
    for name in names:
        master = "POOL:Pool" if name != "UsedBuffers" else "CAM01:Pool"
        wanted = ioc.get(f"{master}{name}")
        for port in PORTS:
            wait(ioc, f"{port}:Pool{name}", wanted)


def test_buffers_are_made_ahead_and_given_back(ioc, uploads, plugin):
    settled(ioc, uploads)
    with set_to(ioc, NumPreAllocBuffers=7):
        ioc.put("FOCUS01:PreAllocBuffers", 1)
        assert str(plugin("PreAllocBuffers")) == "Done"
        ioc.wait("CAM02:PoolFreeBuffers", lambda free: free >= 7)

    ioc.put("CAM02:PoolPollStats", 1)
    ioc.put("CAM02:EmptyFreeList", 1)

    for port in PORTS:
        wait(ioc, f"{port}:PoolFreeBuffers", 0)


# Attributes


@pytest.fixture
def attributes_file(ioc: IocProcess) -> Iterator[Callable[[str], None]]:
    """Write the attributes file of CAM01; afterwards it has none."""
    yield lambda file: ioc.put("CAM01:NDAttributesFile", file)
    ioc.put("CAM01:NDAttributesFile", "")
    ioc.put("CAM01:NDAttributesMacros", "")


def test_attributes_of_a_file_come_with_every_frame(
    ioc, uploads, plugin, attributes_file, tmp_path
):
    file = tmp_path / "attributes.xml"
    file.write_text(
        """<Attributes>
        <Attribute name="Site" type="CONST" source="Mount Mufara" datatype="STRING"/>
        <Attribute name="Number" type="CONST" source="7" datatype="INT"/>
        <Attribute name="Count" type="PARAM" source="ARRAY_COUNTER" datatype="INT"/>
        <Attribute name="Places" type="EPICS_PV" source="$(P)FOCUS01:QueueSize_RBV"/>
        </Attributes>"""
    )
    ioc.put("CAM01:NDAttributesMacros", f"P={ioc.prefix}")
    attributes_file(str(file))
    assert str(ioc.get("CAM01:NDAttributesStatus")) == "Attributes file OK"
    assert ioc.get("CAM01:NDAttributesFile") == str(file)
    wait(ioc, "CAM01:NDAttributesMessage_RBV", "")  # every attribute has a value

    stamp = settled(ioc, uploads)

    seen = json.loads(ioc.wait("FOCUS01:Seen_RBV", lambda words: words.timestamp == stamp))
    wanted = {"Site": "Mount Mufara", "Number": 7, "Places": plugin("QueueSize_RBV")}
    assert wanted.items() <= seen.items()
    wait(ioc, "CAM01:ArrayCounter_RBV", seen["Count"])
    assert seen["EXPTIME"] == 1.0  # the frame's own


@pytest.mark.parametrize(
    ("file", "status", "severity"),
    [
        ("/nowhere/attributes.xml", "File not found", MINOR),
        ("<Attributes><Attribute", "XML syntax error", MAJOR),
        (
            '<Attributes><Attribute name="A" type="EPICS_PV" source="$(WHAT)"/></Attributes>',
            "Macro substitution error",
            MAJOR,
        ),
        ('<Attributes><Attribute name="A" type="CONST" source="1"/></Attributes>', STATUSES[0], 0),
        ("", STATUSES[0], 0),
    ],
)
def test_what_is_wrong_with_an_attributes_file_is_its_status(
    ioc, attributes_file, file, status, severity
):
    with contextlib.nullcontext() if severity == NONE else pytest.raises(RemoteError):
        attributes_file(file)

    shown = ioc.get("CAM01:NDAttributesStatus")
    assert (str(shown), shown.severity) == (status, severity)
    assert (ioc.get("CAM01:NDAttributesMessage_RBV") != "") == (severity != NONE)


def test_arrays_are_numbered_alike_through_the_chain(ioc, uploads):
    settled(ioc, uploads)

    numbers = ioc.get_all([f"{port}:UniqueId_RBV" for port in ("CAM01", "FOCUS01", "FIELD", "ENV")])

    assert len(np.unique(list(numbers.values()))) == 1
