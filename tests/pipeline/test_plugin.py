"""A plugin's counters, queue and records' figures, under load."""

import asyncio
import random

import pytest

from tests.pipeline.rig import frame, plugin_rig, probe, run
from tosip.errors import ConfigurationError
from tosip.pipeline import supervisor
from tosip.pipeline.panel import PLUGIN_ITEMS
from tosip.pipeline.plugin import Outcome
from tosip.pipeline.queues import Policy

ITEMS = {item.pv: item for item in PLUGIN_ITEMS}
KINDS = ["", "", "os._exit(1)", "1 / 0", "result = Result(None, Status.SKIP)", "result = 5"]


@pytest.mark.parametrize("policy", [Policy.DROP_NEWEST, Policy.DROP_OLDEST])
def test_every_frame_is_accounted_for_under_load_with_crashes(tmp_path, monkeypatch, policy):
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
    choose = random.Random(1)

    async def work():
        async with plugin_rig(probe(tmp_path), queue_size=4, policy=policy) as rig:
            unbalanced: list[object] = []

            def check(*_: object) -> None:
                if not rig.balanced():
                    unbalanced.append(rig.plugin.counters)

            rig.plugin.on_change.append(check)
            rig.plugin.on_outcome.append(check)
            for _ in range(12):
                for _ in range(3):
                    rig.source.publish(frame(rig.pool, choose.choice(KINDS)))
                await asyncio.wait_for(_one_outcome(rig.plugin), 30)
            await rig.until(lambda: not len(rig.plugin.queue) and not in_process(rig))
            c = rig.plugin.counters
            assert not unbalanced
            assert c.received == 36
            assert min(c.processed, c.failed, c.dropped) > 0
            assert c.received == c.processed + c.failed + c.dropped

    run(work())


def in_process(rig):
    return rig.plugin.counters.in_process


async def _one_outcome(plugin):
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def finish(outcome: Outcome) -> None:
        if not done.done():
            done.set_result(outcome)

    plugin.on_outcome.append(finish)
    await done
    plugin.on_outcome.remove(finish)


def test_blocking_queue_loses_nothing(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path), queue_size=2, policy=Policy.BLOCK) as rig:
            seen: list[int] = []
            rig.plugin.on_outcome.append(lambda outcome: seen.append(outcome.array.unique_id))
            for number in range(30):
                await rig.plugin.receive_when_room(frame(rig.pool, unique_id=number))
                assert len(rig.plugin.queue) <= 2
            await rig.until(lambda: len(seen) == 30)
            assert seen == list(range(30))
            assert rig.plugin.counters.dropped == 0

    run(work())


def test_disabled_plugin_takes_nothing_and_lets_its_last_array_go(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            await rig.process()
            rig.published.clear()
            rig.plugin.enable(False)
            rig.source.publish(frame(rig.pool))
            assert rig.plugin.counters.received == 1
            figures = rig.pool.figures()
            assert figures.free_buffers == figures.buffers
            rig.plugin.enable(True)
            assert not (await rig.process()).failed

    run(work())


def test_frames_that_come_too_soon_are_not_taken(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            rig.plugin.min_callback_time = 60.0
            await rig.process()
            rig.source.publish(frame(rig.pool))
            assert rig.plugin.counters.received == 1
            assert rig.plugin.counters.dropped == 0
            rig.plugin.min_callback_time = 0.0
            await rig.process()
            assert rig.plugin.counters.received == 2

    run(work())


def test_process_again_uses_the_last_array_with_new_parameters(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            await rig.process("result = Figures(number=params.count)")
            rig.plugin.params.set("count", 11)
            done = asyncio.create_task(_one_outcome(rig.plugin))
            await asyncio.sleep(0)
            rig.plugin.process_again()
            await done
            outcome = rig.plugin.last_outcome
            assert outcome is not None
            assert outcome.outputs is not None
            assert (outcome.array.unique_id, outcome.outputs["number"]) == (7, 11)

    run(work())


def test_process_again_with_a_full_queue_is_counted_as_dropped(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, stop_timeout=0.2), queue_size=1) as rig:
            await rig.process()
            rig.source.publish(frame(rig.pool, "time.sleep(60)"))
            await rig.until(lambda: in_process(rig) == 1)
            rig.source.publish(frame(rig.pool))
            rig.plugin.process_again()
            assert rig.plugin.counters.dropped == 1
            assert rig.balanced()

    run(work())


def test_parameters_are_one_set_for_each_frame_and_bad_values_are_refused(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            with pytest.raises(ValueError, match=r"PROBE\.threshold: expected at least 0"):
                rig.plugin.params.set("threshold", -1.0)
            with pytest.raises(ValueError, match=r"PROBE\.treshold: expected an input of thr"):
                rig.plugin.params.set("treshold", 1.0)
            assert rig.plugin.params["threshold"] == 1.0
            rig.plugin.params.set("weights", [1, 2, 3])
            assert (await rig.process("assert params.weights.tolist() == [1, 2, 3]")).message == ""

    run(work())


def test_listener_that_raises_does_not_stop_the_frames(tmp_path, caplog):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            rig.plugin.on_outcome.append(_raise)
            await rig.process()
            assert not (await rig.process()).failed
            assert len(rig.published) == 2

    run(work())
    assert "ZeroDivisionError" in caplog.text


def _raise(outcome: Outcome) -> None:
    raise ZeroDivisionError


def test_figures_for_operators_can_be_read_at_any_time(tmp_path):
    def read(rig):
        return {pv: item.read(rig.plugin) for pv, item in ITEMS.items() if item.read}

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            before = read(rig)
            assert (before["Status"], before["UniqueId"], before["WorkerState"]) == (
                "no frame yet",
                0,
                "Idle",
            )
            await rig.process(shape=(4, 5))
            after = read(rig)
            for pv, value in {
                "Status": "ok",
                "UniqueId": 7,
                "TimeStamp": 1234.5,
                "ArraySizeX": 5,
                "ArraySizeY": 4,
                "DataType": "UInt16",
                "ProcessedArrays": 1,
                "QueueFree": 20,
                "NDArrayPort": "CAM",
                "WorkerPid": rig.plugin.supervisor.pid,
            }.items():
                assert after[pv] == value, pv
            for pv, value in after.items():
                assert ITEMS[pv].field.plain(value) == value, pv

    run(work())


def test_port_can_be_changed_while_frames_flow(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            other = rig.ports.add("CAM2")
            rig.plugin.connect("CAM2")
            rig.source.publish(frame(rig.pool))
            assert rig.plugin.counters.received == 0
            other.publish(frame(rig.pool))
            assert rig.plugin.counters.received == 1
            with pytest.raises(ConfigurationError, match="expected a port of"):
                rig.plugin.connect("CAM3")
            assert rig.plugin.source == "CAM2"

    run(work())
