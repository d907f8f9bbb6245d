"""When the last good result is too old to be believed."""

import asyncio
import time

from tests.pipeline.rig import plugin_rig, probe, run
from tosip.pipeline.freshness import Freshness
from tosip.pipeline.panel import PLUGIN_ITEMS

ITEMS = {item.pv: item for item in PLUGIN_ITEMS}


def shown(rig, pv):
    read = ITEMS[pv].read
    assert read is not None
    return read(rig.plugin)


def test_results_get_stale_and_a_good_one_makes_them_fresh(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path), max_age=0.4) as rig:
            assert not rig.plugin.freshness.stale  # nothing shown could be old
            await rig.process()
            assert shown(rig, "Status") == "ok"
            good = time.monotonic()
            await rig.until(lambda: rig.plugin.freshness.stale)
            assert time.monotonic() - good >= 0.39
            assert shown(rig, "Status") == "stale"
            assert shown(rig, "Message") == "stale: no good result for longer than MaxAge"
            await rig.process()
            assert shown(rig, "Status") == "ok"
            assert shown(rig, "Message") == ""

    run(work())


def test_a_skip_does_not_renew(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path), max_age=0.5) as rig:
            await rig.process()
            while not rig.plugin.freshness.stale:
                await rig.process("result = Result(status=Status.SKIP, message='no stars')")
                await asyncio.sleep(0.05)  # what is published the rig keeps
            assert shown(rig, "Status") == "stale"
            assert shown(rig, "Message").endswith("MaxAge\nno stars")

    run(work())


def test_an_error_tells_more_than_the_age(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path), max_age=0.3) as rig:
            await rig.process()
            await rig.process("1 / 0")
            await rig.until(lambda: rig.plugin.freshness.stale)
            assert shown(rig, "Status") == "error"
            assert "ZeroDivisionError" in shown(rig, "Message")

    run(work())


def test_a_limit_that_is_changed_counts_from_the_last_good_result():
    told: list[float] = []
    states: list[bool] = []

    async def work():
        freshness = Freshness(0.0, lambda: told.append(time.monotonic()))
        freshness.renew()
        await asyncio.sleep(0.2)
        for limit in (60.0, 0.1, 0.0):  # with 0.1 it is older already
            freshness.limit = limit
            states.append(freshness.stale)
        freshness.renew()
        states.append(freshness.stale)
        freshness.limit = 1.0
        await asyncio.sleep(0.05)
        renewed = time.monotonic()
        freshness.renew()
        while len(told) < 2:
            await asyncio.sleep(0.01)
        assert told[1] - renewed > 0.99
        freshness.stop()

    run(work())
    assert states == [False, True, True, False]
