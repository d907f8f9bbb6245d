"""What a port adds to its arrays, while files, macros, parameters and PVs change."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from tests.pipeline.rig import frame
from tosip.description import Field, Kind
from tosip.housekeeping import Item, choice, integer, number, text
from tosip.pipeline import port_attributes
from tosip.pipeline.attributes_file import AttributesStatus, DbrType, read_attributes
from tosip.pipeline.ndarray import AttributeValue
from tosip.pipeline.pool import Pool
from tosip.pipeline.port_attributes import PortAttributes, parameters
from tosip.pipeline.ports import Port


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30.0))


def xml(*attributes: str) -> str:
    return "<Attributes>" + "".join(f"<Attribute {a}/>" for a in attributes) + "</Attributes>"


def constant(name: str, value: str) -> str:
    return f'name="{name}" type="CONST" source="{value}"'


def param(source: str, datatype: str = "") -> str:
    return f'name="A" type="PARAM" source="{source}" ' + (
        f'datatype="{datatype}"' if datatype else ""
    )


class Camera:
    """A port's owner."""

    array_counter = 7
    mode = "Sorted"
    rate: Any = 2.5
    title = "M 31"
    sizes: Any = (3, 4)


ITEMS: tuple[Item[Any], ...] = (
    Item("ArrayCounter", integer("Count"), lambda c: c.array_counter),
    Item("SortMode", choice("Mode", "Unsorted", "Sorted"), lambda c: c.mode),
    Item("ArrayRate", number("Rate", "Hz"), lambda c: c.rate),
    Item("PortName", text("Title"), lambda c: c.title),
    Item("Dimensions", Field("", Kind.ARRAY, "", dtype="int32", length=10), lambda c: c.sizes),
    Item("Reset", integer("A button"), write=lambda c, _: None),
)


class Pvs:
    """A source of PVs whose values the test sets."""

    def __init__(self) -> None:
        self.values: dict[str, AttributeValue | None] = {}
        self.open: list[tuple[str, DbrType]] = []
        self.most = 0

    def subscribe(self, pv: str, dbrtype: DbrType) -> "Followed":
        self.open.append((pv, dbrtype))
        self.most = max(self.most, len(self.open))
        return Followed(self, pv, dbrtype)


class Followed:
    def __init__(self, pvs: Pvs, pv: str, dbrtype: DbrType) -> None:
        self.pvs, self.key = pvs, (pv, dbrtype)

    @property
    def value(self) -> AttributeValue | None:
        return self.pvs.values.get(self.key[0])

    def close(self) -> None:
        self.pvs.open.remove(self.key)


def attributes_of(camera: Camera, source: Pvs | None = None) -> PortAttributes:
    return PortAttributes(parameters(camera, ITEMS), source)


def parameter(source: str, datatype: str = "", **settings: Any) -> Any:
    """Return what PARAM gives for a camera with these settings, or the status and the fault."""
    found: list[Any] = []

    async def work():
        camera = Camera()
        vars(camera).update(settings)
        attributes = attributes_of(camera)
        await attributes.load(xml(param(source, datatype)))
        found.append(
            attributes.values().get("A")
            if attributes.status is AttributesStatus.OK
            else (attributes.status, attributes.message)
        )

    run(work())
    return found[0]


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let files whose name has `slow` in it be read only when the event is set."""
    answers = threading.Event()

    def read(file: str, macros: str = "") -> Any:
        if "slow" in file and not answers.wait(20.0):
            raise TimeoutError
        return read_attributes(file, macros)

    monkeypatch.setattr(port_attributes, "read_attributes", read)
    return answers


def test_constants_and_parameters_are_added_to_every_array(tmp_path):
    file = tmp_path / "cam.xml"
    file.write_text(xml(constant("Site", "$(SITE)"), param("ARRAY_COUNTER")))

    async def work():
        camera, port, pool = Camera(), Port("CAM"), Pool(10**7)
        attributes = attributes_of(camera)
        port.attributes = attributes
        await attributes.load(str(file), "SITE=Mufara")
        seen = []
        port.listen(lambda array: seen.append(dict(array.attributes)))
        for count in (8, 9):
            camera.array_counter = count
            port.publish(frame(pool))
        assert seen == [{"DO": "", "Site": "Mufara", "A": count} for count in (8, 9)]
        assert (attributes.status, attributes.message) == (AttributesStatus.OK, "")
        attributes.set_file("")
        await attributes.settled()
        port.publish(frame(pool))
        assert seen[-1] == {"DO": ""}
        port.last = None
        pool.close()

    run(work())


@pytest.mark.parametrize(
    ("source", "datatype", "value"),
    [
        ("ARRAY_COUNTER", "INT", 7),
        ("ArrayCounter", "", 7),
        ("arraycounter", "DOUBLE", 7.0),
        ("ARRAY_COUNTER", "STRING", "7"),
        ("SORT_MODE", "INT", 1),
        ("SORT_MODE", "STRING", "Sorted"),
        ("SORT_MODE", "", "Sorted"),
        ("ARRAY_RATE", "INT", 2),
        ("ARRAY_RATE", "", 2.5),
        ("PORT_NAME_SELF", "STRING", "M 31"),
    ],
)
def test_parameters_come_in_the_type_that_is_asked_for(source, datatype, value):
    found = parameter(source, datatype)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("source", "datatype", "told"),
    [
        ("MAX_SIZE_X", "INT", "attribute A: expected a parameter of this port, got MAX_SIZE_X"),
        ("RESET", "", "expected a parameter of this port, got RESET"),
        ("PORT_NAME_SELF", "INT", "expected datatype STRING, got INT"),
        ("ARRAY_DIMENSIONS", "INT", "expected datatype none for an array, got INT"),
    ],
)
def test_parameters_that_the_port_does_not_have_are_told(source, datatype, told):
    status, message = parameter(source, datatype)
    assert status is AttributesStatus.SYNTAX
    assert told in message


def test_arrays_are_read_only_and_numbers_that_do_not_fit_are_left_out():
    sizes = parameter("ARRAY_DIMENSIONS")
    assert list(sizes) == [3, 4]
    assert not sizes.flags.writeable
    assert parameter("ARRAY_DIMENSIONS", sizes=((1, 2), (3, 4))) is None
    assert parameter("ARRAY_RATE", rate=np.float32(0.5)) == 0.5
    assert parameter("ARRAY_RATE", "INT", rate=float("nan")) is None
    assert parameter("ARRAY_RATE", "INT", rate=1e300) is None
    assert parameter("ARRAY_RATE", rate=None) is None


def test_unusable_file_leaves_no_attributes_and_says_why(tmp_path):
    async def work():
        pvs = Pvs()
        attributes = attributes_of(Camera(), pvs)
        told = []
        attributes.on_change.connect(lambda: told.append(attributes.status))
        good = xml(constant("A", "1"), 'name="B" source="PV:B"')
        for file, macros, status in (
            (str(tmp_path / "missing.xml"), "", AttributesStatus.NOT_FOUND),
            (xml('name="A"'), "", AttributesStatus.SYNTAX),
            (xml(constant("A", "$(X)")), "", AttributesStatus.MACRO),
            (good, "X", AttributesStatus.MACRO),
        ):
            await attributes.load(good)
            assert attributes.values() == {"A": "1"}
            await attributes.load(file, macros)
            assert attributes.status is status
            assert attributes.message
            assert attributes.values() == {}
            assert pvs.open == []
            assert told[-2:] == [AttributesStatus.OK, status]

    run(work())


def test_macros_that_are_written_later_are_put_in():
    async def work():
        attributes = attributes_of(Camera())
        attributes.set_file(xml(constant("A", "$(X)")))
        await attributes.settled()
        assert attributes.status is AttributesStatus.MACRO
        attributes.set_macros("X=7")
        await attributes.settled()
        assert attributes.values() == {"A": "7"}

    run(work())


def test_pvs_are_followed_and_left_out_without_a_value():
    async def work():
        pvs = Pvs()
        attributes = attributes_of(Camera(), pvs)
        await attributes.load(
            xml('name="T" source="$(P)TEMP"', 'name="S" source="S" dbrtype="DBR_STRING"'), "P=X:"
        )
        assert pvs.open == [("X:TEMP", DbrType.NATIVE), ("S", DbrType.STRING)]
        assert attributes.values() == {}
        assert attributes.message == "no value: T (X:TEMP), S (S)"
        pvs.values = {"X:TEMP": 21.5, "S": "open"}
        assert attributes.values() == {"T": 21.5, "S": "open"}
        assert attributes.message == ""
        pvs.values["X:TEMP"] = None
        assert attributes.values() == {"S": "open"}

    run(work())


def test_pvs_of_the_file_before_are_let_go_after_the_new_ones_are_there():
    async def work():
        pvs = Pvs()
        attributes = attributes_of(Camera(), pvs)
        await attributes.load(xml('name="A" source="A"', 'name="B" source="B"'))
        await attributes.load(xml('name="A" source="A"', 'name="C" source="C"'))
        assert pvs.most == 4
        assert [pv for pv, _ in pvs.open] == ["A", "C"]
        attributes.close()
        assert pvs.open == []

    run(work())


def test_without_epics_the_other_attributes_are_there():
    async def work():
        attributes = attributes_of(Camera())
        await attributes.load(xml('name="T" source="TEMP"', constant("A", "1")))
        assert attributes.values() == {"A": "1"}
        assert attributes.status is AttributesStatus.OK
        assert attributes.message == "no value: T (TEMP)"

    run(work())


def test_latest_request_wins_whatever_the_disk_does(slow_disk):
    async def work():
        attributes = attributes_of(Camera())
        await attributes.load(xml(constant("A", "old")))
        before = threading.active_count()
        for n in range(20):
            attributes.set_file(f"slow{n}.xml")
            await asyncio.sleep(0)
            assert attributes.values() == {"A": "old"}
        assert attributes.message == "reading slow19.xml"
        assert threading.active_count() < before + 10
        slow_disk.set()
        attributes.set_file(xml(constant("A", "new")))
        await attributes.settled()
        assert attributes.values() == {"A": "new"}
        await asyncio.sleep(0.1)  # for answers to the others, which are nobody's any more
        assert attributes.status is AttributesStatus.OK
        assert attributes.values() == {"A": "new"}

    run(work())


def test_disk_without_an_answer_is_told_and_the_process_can_end(slow_disk, monkeypatch):
    monkeypatch.setattr(port_attributes, "READ_TIMEOUT", 0.1)

    async def work():
        attributes = attributes_of(Camera())
        await attributes.load("slow.xml")
        assert attributes.status is AttributesStatus.NOT_FOUND
        assert "expected an answer of the disk within 0.1 s, got none" in attributes.message
        await attributes.load(xml(constant("A", "1")))
        assert attributes.values() == {"A": "1"}

    run(work())  # ends while the disk still does not answer
    slow_disk.set()


def test_file_changes_while_frames_flow_without_one_that_is_neither(tmp_path):
    files = []
    for letter in "ab":
        files.append(tmp_path / f"{letter}.xml")
        files[-1].write_text(xml(*(constant(f"{letter}{n}", letter) for n in range(20))))

    async def work():
        attributes = attributes_of(Camera())
        await attributes.load(str(files[0]))
        seen = set()
        for n in range(300):
            if n % 10 == 0:
                attributes.set_file(str(files[n // 10 % 2]))
            found = attributes.values()
            assert len(found) == 20
            assert len(set(found.values())) == 1
            seen |= set(found.values())
            await asyncio.sleep(0.001)
        assert seen == {"a", "b"}

    run(work())


def test_file_that_was_edited_is_read_when_it_is_named_again(tmp_path):
    file = tmp_path / "cam.xml"

    async def work():
        attributes = attributes_of(Camera())
        for value in ("1", "2"):
            file.write_text(xml(constant("A", value)))
            attributes.set_file(str(file))
            await attributes.settled()
            assert attributes.values() == {"A": value}
        os.unlink(file)
        assert attributes.values() == {"A": "2"}

    run(work())


def test_values_take_microseconds():
    async def work():
        pvs = Pvs()
        pvs.values = {f"PV{n}": float(n) for n in range(10)}
        attributes = attributes_of(Camera(), pvs)
        await attributes.load(
            xml(
                *(f'name="P{n}" source="PV{n}"' for n in range(10)),
                *(constant(f"C{n}", "x") for n in range(10)),
                param("ARRAY_COUNTER", "INT"),
            )
        )
        best = min(_seconds(attributes.values) for _ in range(50))
        assert len(attributes.values()) == 21
        assert best < 200e-6

    run(work())


def _seconds(function: Callable[[], object]) -> float:
    began = time.thread_time()
    function()
    return time.thread_time() - began
