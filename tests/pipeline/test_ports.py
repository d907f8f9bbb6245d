"""Who listens to whom, and what cannot be wired."""

import asyncio
from collections.abc import Mapping

import pytest

from tests.pipeline.rig import frame
from tosip.errors import ConfigurationError
from tosip.events import Event
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Ports


class Frame(str):
    """Stands for an array."""

    __slots__ = ()
    changed_attributes: Mapping[str, str] = {}


class Node:
    """A port and what came in."""

    def __init__(self, ports: Ports, name: str) -> None:
        self.ports, self.name = ports, name
        self.port = ports.add(name)
        self.received: list[object] = []

    def take(self, array: object) -> None:
        self.received.append(array)
        self.port.publish(array)  # type: ignore[arg-type]

    def connect(self, source: str) -> None:
        self.ports.connect(self.name, source, self.take)


def nodes(*names: str) -> tuple[Ports, list[Node]]:
    ports = Ports()
    return ports, [Node(ports, name) for name in names]


def test_array_reaches_all_who_listen_and_those_behind():
    _, (cam, first, second, behind) = nodes("CAM", "A", "B", "C")
    first.connect("CAM")
    second.connect("CAM")
    behind.connect("A")
    cam.take(Frame("frame"))
    assert first.received == second.received == behind.received == ["frame"]


def test_rewired_plugin_listens_to_the_new_port_only():
    ports, (cam1, cam2, plugin) = nodes("CAM1", "CAM2", "A")
    plugin.connect("CAM1")
    plugin.connect("CAM2")
    cam1.take(Frame("one"))
    cam2.take(Frame("two"))
    assert plugin.received == ["two"]
    assert ports.source("A") == "CAM2"


def test_wiring_to_the_same_port_twice_gives_each_array_once():
    _, (cam, plugin) = nodes("CAM", "A")
    plugin.connect("CAM")
    plugin.connect("CAM")
    cam.take(Frame("frame"))
    assert plugin.received == ["frame"]


def test_unknown_port_is_refused_by_name_and_the_old_wiring_stays():
    _, (cam, plugin) = nodes("CAM", "A")
    plugin.connect("CAM")
    with pytest.raises(ConfigurationError, match=r"A\.NDArrayPort: .*CAM, A, got CAM9"):
        plugin.connect("CAM9")
    cam.take(Frame("frame"))
    assert plugin.received == ["frame"]


def test_loops_are_refused_and_the_old_wiring_stays():
    ports, (_, a, b, c) = nodes("CAM", "A", "B", "C")
    a.connect("CAM")
    b.connect("A")
    c.connect("B")
    for node, source in ((a, "A"), (a, "C"), (a, "B"), (b, "C")):
        with pytest.raises(ConfigurationError, match=f"does not get its arrays from {node.name}"):
            node.connect(source)
    assert ports.source("A") == "CAM"


def test_loop_through_a_gathering_port_is_refused():
    ports, (_, a, _) = nodes("CAM", "A", "B")
    ports.gather("ALL", ["CAM", "A"])
    with pytest.raises(ConfigurationError, match="got ALL"):
        a.connect("ALL")


def test_gathering_port_gives_the_arrays_of_all():
    ports, (cam1, cam2, plugin) = nodes("CAM1", "CAM2", "A")
    ports.gather("ALL", ["CAM1", "CAM2", "CAM1"])
    plugin.connect("ALL")
    cam1.take(Frame("one"))
    cam2.take(Frame("two"))
    assert plugin.received == ["one", "two"]
    assert ports.source("ALL") == "CAM1,CAM2"


@pytest.mark.parametrize("sources", [["CAM", "NONE"], ["ALL"]])
def test_gathering_from_an_unknown_port_or_itself_makes_nothing(sources):
    ports, _ = nodes("CAM")
    with pytest.raises(ConfigurationError, match=r"ALL\.NDArrayPort"):
        ports.gather("ALL", sources)
    assert ports.names() == ["CAM"]


class Full:
    """A listener without room until it is told to have some."""

    def __init__(self) -> None:
        self.blocked = True
        self.on_room: Event[[]] = Event("Full.on_room")

    def open(self) -> None:
        self.blocked = False
        self.on_room()


def test_source_waits_until_all_listeners_have_room_even_behind_a_gathering_port():
    async def work():
        ports, (cam, *plugins) = nodes("CAM", "A", "B", "C")
        ports.gather("ALL", ["CAM"])
        full = [Full(), Full()]
        ports.connect("A", "CAM", plugins[0].take, full[0])
        ports.connect("B", "ALL", plugins[1].take, full[1])
        ports.connect("C", "CAM", plugins[2].take)
        waiting = asyncio.create_task(cam.port.room())
        for each in full:
            await asyncio.sleep(0)
            assert not waiting.done()
            each.open()
        await waiting

    asyncio.run(asyncio.wait_for(work(), 10))


def test_rewiring_a_full_plugin_frees_the_source():
    async def work():
        ports, (cam, _, plugin) = nodes("CAM", "CAM2", "A")
        full = Full()
        ports.connect("A", "CAM", plugin.take, full)
        waiting = asyncio.create_task(cam.port.room())
        await asyncio.sleep(0)
        ports.connect("A", "CAM2", plugin.take, full)
        await waiting

    asyncio.run(asyncio.wait_for(work(), 10))


def test_name_is_given_once():
    ports, _ = nodes("CAM")
    with pytest.raises(ConfigurationError, match="port CAM"):
        ports.add("CAM")


def test_a_port_without_callbacks_hands_nothing_out_and_keeps_the_last():
    pool = Pool()
    cam = Ports().add("CAM")
    heard: list[NDArray] = []
    cam.listen(heard.append)
    cam.callbacks = False
    cam.publish(frame(pool, unique_id=1))
    assert not heard
    assert cam.last is not None
    assert cam.last.unique_id == 1
    cam.callbacks = True
    cam.publish(frame(pool, unique_id=2))
    assert [array.unique_id for array in heard] == [2]
