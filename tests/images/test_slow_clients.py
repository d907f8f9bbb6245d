"""Clients that do not read what they are sent."""

import asyncio
import signal

from tests.images.rig import (
    PATIENCE,
    PREFIX,
    Updates,
    client,
    ramp,
    resident,
    run,
    serving,
    stopped_client,
)

SHAPE = (1024, 2048)  # 4 MiB
SIZE = 2 * 1024 * 2048
ROUNDS = 30


def test_stopped_client_costs_a_few_images_of_memory_and_holds_up_neither_others_nor_the_end():
    async def work():
        pixels = ramp(SHAPE)
        with client() as context:
            async with serving() as rig:
                stalled = await stopped_client(f"{PREFIX}Image")
                with (updates := Updates(context, f"{PREFIX}Image")):
                    # Only when this one is connected: searches by UDP go to any process of the
                    # machine that listens, and one that is stopped passes none on.
                    await asyncio.to_thread(updates.next, PATIENCE)
                    stalled.send_signal(signal.SIGSTOP)

                    async def rounds(count):
                        for number in range(count):
                            rig.publish(pixels, number)
                            while (await updates.image()).raw.uniqueId != number:
                                pass

                    await rounds(10)  # its queue is full then
                    before = resident(rig.server.pid)
                    await rounds(ROUNDS)
                    assert resident(rig.server.pid) - before < ROUNDS * SIZE / 3
            stalled.kill()  # the server has ended by then
            await stalled.wait()

    run(work())


def test_client_that_goes_on_reading_is_shown_the_newest():
    async def work():
        async with serving() as rig, rig.watching("Image") as updates:
            for number in range(50):
                rig.publish(ramp((4, 5)), number)
            while (await updates.image()).raw.uniqueId != 49:
                pass
            assert rig.slot("Image").sent <= 50

    run(work())
