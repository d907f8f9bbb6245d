"""Frames of a port, seen by real clients."""

import asyncio

import numpy as np
import pytest

from tests.images.rig import (
    PREFIX,
    client,
    listeners,
    ramp,
    run,
    serving,
)
from tosip.errors import ConfigurationError, TosipError
from tosip.images import ImageServer
from tosip.images.server import PREVIEW_PERIOD
from tosip.pipeline import protocol
from tosip.pipeline.ports import Port

INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
LOOSE = 0.9  # of a period: clocks are read at slightly different moments


def test_every_type_arrives_as_it_is(shared):
    async def work(rig):
        async with rig.watching("Image") as updates:
            for number, kind in enumerate([*INTEGERS, "float32", "float64"]):
                pixels = ramp((number + 2, 5), kind)  # each larger than the one before
                rig.publish(pixels, number)
                image = await updates.image()
                assert (image.dtype, image.raw.uniqueId) == (kind, number)
                assert np.array_equal(image, pixels)

    shared.run(work)


COLOURS = [
    ("Mono", (600, 1024), (300, 512)),
    ("RGB1", (600, 1024, 3), (300, 512, 3)),
    ("RGB2", (600, 3, 1024), (300, 3, 512)),
    ("RGB3", (3, 600, 1024), (3, 300, 512)),
    ("Mono", (1024,), (512,)),
    ("Mono", (), (1,)),
]


def test_every_colour_mode_has_an_image_and_a_preview(shared):
    async def work(rig):
        for number, (mode, shape, binned) in enumerate(COLOURS):
            pixels = ramp(shape)
            rig.publish(pixels, number, color_mode=mode)
            image, preview = await asyncio.gather(rig.get("Image"), rig.get("Preview"))
            assert image.raw.uniqueId == preview.raw.uniqueId == number
            assert np.array_equal(image, pixels.reshape(shape or (1,)))
            assert (preview.shape, preview.dtype) == (binned, "uint16")
            assert image.attrib["ColorMode"] == preview.attrib["ColorMode"]
            for name in ("Image", "Preview"):
                await rig.until(lambda name=name: not rig.slot(name).watched)

    shared.run(work)


def test_frame_comes_with_its_time_number_and_attributes(shared):
    async def work(rig):
        more = {"FILTER": "V", "EXPTIME": 40.0, "PROFILE": np.arange(3.0), "NONE": np.zeros(0)}
        rig.publish(ramp((4, 5)), 4711, timestamp=1767323045.25, **more)
        for name in ("Image", "Preview"):
            image = await rig.get(name)
            assert image.timestamp == 1767323045.25
            assert image.severity == 0
            assert image.raw.uniqueId == 4711
            assert (image.attrib["FILTER"], image.attrib["EXPTIME"]) == ("V", 40.0)
            assert image.attrib["PROFILE"].tolist() == [0.0, 1.0, 2.0]

    shared.run(work)


def test_before_the_first_frame_there_is_an_empty_one(shared):
    async def work(rig):
        for name in ("Image", "Preview"):
            image = await rig.get(name)
            assert (image.shape, image.severity) == ((0,), 3)
        assert rig.slot("Image").sent == 0

    shared.run(work)


def test_who_saw_the_empty_one_is_shown_the_first_frame(shared):
    async def work(rig):
        async with rig.watching("Preview") as updates:
            assert (await asyncio.to_thread(updates.next)).size == 0
            rig.publish(ramp((2, 2)))
            assert (await updates.image()).size == 4

    shared.run(work)


def test_nobody_watches_nothing_is_sent_and_nobody_listens(shared):
    async def work(rig):
        image = rig.slot("Image")
        rig.publish(ramp((4, 5)), 1)
        assert (listeners(rig.port), image.sent) == (0, 0)
        async with rig.watching("Image") as updates:
            assert (await updates.image()).raw.uniqueId == 1
            assert (listeners(rig.port), image.sent) == (1, 1)
            rig.publish(ramp((4, 5)), 2)
            assert (await updates.image()).raw.uniqueId == 2
        assert (listeners(rig.port), image.sent) == (0, 2)
        rig.publish(ramp((4, 5)), 3)
        await asyncio.sleep(0.05)
        assert image.sent == 2
        assert rig.slot("Preview").sent == 0
        rig.port.last = None
        assert rig.pool.figures().used_buffers == 0

    shared.run(work)


def test_who_comes_again_is_shown_the_frame_of_now(shared):
    async def work(rig):
        for number in (1, 2):
            rig.publish(ramp((4, 5)), number)
            assert (await rig.get("Image")).raw.uniqueId == number
            await rig.until(lambda: not rig.slot("Image").watched)
        rig.port.last = None  # as a plugin that is disabled
        assert (await rig.get("Image")).size == 0

    shared.run(work)


def test_several_watchers_share_one_frame(shared):
    async def work(rig):
        rig.publish(ramp((4, 5)), 1)
        async with rig.watching("Image") as one, rig.watching("Image") as other:
            for number in (1, 2, 3):
                for updates in (one, other):
                    assert (await updates.image()).raw.uniqueId == number
                if number < 3:
                    rig.publish(ramp((4, 5)), number + 1)
            assert rig.slot("Image").sent == 3
            assert listeners(rig.port) == 1

    shared.run(work)


def test_frame_is_let_go_when_its_image_is_made(shared):
    async def work(rig):
        async with (
            rig.watching("Image") as image,
            rig.watching("Preview") as small,
        ):
            rig.publish(ramp((4, 5)))
            await image.image()
            await small.image()
            rig.port.last = None
            await rig.until(lambda: not rig.pool.figures().used_buffers)

    shared.run(work)


def test_previews_come_no_more_often_than_allowed_and_the_last_one_comes(shared):
    async def work(rig):
        loop = asyncio.get_running_loop()
        async with rig.watching("Preview") as updates:
            rig.publish(ramp((4, 5)), 1)
            assert (await updates.image()).raw.uniqueId == 1
            begin = loop.time()
            number = 1
            while loop.time() < begin + 3 * PREVIEW_PERIOD:
                number += 1
                rig.publish(ramp((4, 5)), number)
                await asyncio.sleep(0.01)
            while (await updates.image()).raw.uniqueId != number:
                pass
            most = 2 + (loop.time() - begin) / (LOOSE * PREVIEW_PERIOD)
            assert rig.slot("Preview").sent <= most < number

    shared.run(work)


def test_put_is_refused(shared):
    async def work(rig):
        rig.publish(ramp((2, 2)))

        def put():
            with client() as context:
                context.put(f"{rig.prefix}Image", ramp((3, 3)), timeout=30.0)

        with pytest.raises(Exception, match=f"{rig.prefix}Image: images are read-only"):
            await asyncio.to_thread(put)
        assert (await rig.get("Image")).shape == (2, 2)

    shared.run(work)


def test_frame_that_cannot_be_shown_is_logged_and_the_next_one_is(shared, caplog, monkeypatch):
    monkeypatch.setattr(protocol, "LONGEST_JSON", 4000)

    async def work(rig):
        async with rig.watching("Image") as updates:
            for number in (0, 1):
                rig.publish(ramp((2, 2)), number, LONG="x" * 5000)
                await rig.until(lambda: f"{rig.prefix}Image: frame 0" in caplog.text)
            assert (
                f"{rig.prefix}Image: frame 1" not in caplog.text
            )  # nobody needs to read that again
            rig.publish(ramp((2, 2)), 2)
            assert (await updates.image()).raw.uniqueId == 2

    shared.run(work)


def test_attribute_that_cannot_be_carried_costs_no_image(shared):
    async def work(rig):
        async with rig.watching("Image") as updates:
            odd = {"BIG": 2**70, "BELOW": -(2**63) - 1, "NUL": "a\0b", "ODD": object()}
            more = {"MOST": 2**64 - 1, "NAN": float("nan"), "HALF": "\ud800", "\ud800": 1}
            rig.publish(ramp((2, 2)), 5, **odd, **more)
            image = (await updates.image()).raw
            assert image.uniqueId == 5
            found = {one["name"]: one["value"] for one in image.attribute}
            assert (found["BIG"], found["BELOW"]) == (str(2**70), str(-(2**63) - 1))
            assert (found["MOST"], found["NUL"], found["HALF"]) == (2**64 - 1, "a b", "?")
            assert "ODD" not in found

    shared.run(work)


def test_server_ends_while_clients_watch():
    async def work():
        with client() as context:
            async with serving() as rig:
                rig.publish(ramp((2, 2)))
                seen = asyncio.Event()
                loop = asyncio.get_running_loop()
                watching = context.monitor(
                    f"{PREFIX}Image", lambda _: loop.call_soon_threadsafe(seen.set)
                )
                await asyncio.wait_for(seen.wait(), 30)
            assert listeners(rig.port) == 0
            assert rig.server.pid == 0
            watching.close()

    run(work())


def test_server_that_never_started_can_be_stopped():
    run(ImageServer("T:").stop())


def test_names_of_pvs():
    server = ImageServer("P:")
    server.add("CAM01:", Port("CAM01"))
    assert server.pv_names == ["P:CAM01:Image", "P:CAM01:Preview"]
    assert server.port == 0
    with pytest.raises(ConfigurationError, match="P:CAM01:Image"):
        server.add("CAM01:", Port("CAM02"))


def test_port_that_somebody_has_is_told(shared):
    async def work(rig):
        port = rig.server.port
        with pytest.raises(TosipError, match=f"TCP port {port}: the port is in use"):
            await ImageServer("T:", port=port).start()

    shared.run(work)


def test_ports_are_added_before_the_start(shared):
    async def work(rig):
        with pytest.raises(ConfigurationError, match="SHARED:NEW:Image: expected before the start"):
            rig.server.add("NEW:", rig.port)

    shared.run(work)


def test_interface_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv("EPICS_PVAS_INTF_ADDR_LIST", "192.0.2.1")
    with pytest.raises(TosipError, match=r"PVAccess server on 192\.0\.2\.1"):
        run(ImageServer("T:").start())
