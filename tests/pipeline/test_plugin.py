"""A plugin's counters, queue and records' figures, under load."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pipeline.rig import Rig, frame, plugin_rig, probe, run
from tosip.description import same_value
from tosip.errors import ConfigurationError
from tosip.pipeline import supervisor
from tosip.pipeline.panel import PLUGIN_ITEMS
from tosip.pipeline.plugin import Outcome
from tosip.pipeline.queues import Policy
from tosip.pipeline.sorting import SortMode
from tosip.pipeline.states import WorkerState

ITEMS = {item.pv: item for item in PLUGIN_ITEMS}


def publish(code: str) -> Callable[[Rig], None]:
    return lambda rig: rig.source.publish(replace(frame(rig.pool, code), origin=rig.origin))


def again(rig: Rig) -> None:
    if rig.plugin.last_outcome:
        rig.plugin.process_again()


ACTIONS: dict[str, Callable[[Rig], object]] = {
    "good": publish(""),
    "good too": publish(""),
    "crash": publish("os._exit(1)"),
    "raise": publish("1 / 0"),
    "skip": publish("result = Result(None, Status.SKIP)"),
    "rubbish": publish("result = 5"),
    "image": publish("result = Result(Figures(), image=np.ones((5, 5)))"),
    "slow": publish("time.sleep(0.02)"),
    "kill": lambda rig: os.kill(rig.plugin.workers.pid, 9) if rig.plugin.workers.pid else None,
    "small queue": lambda rig: setattr(rig.plugin.queue, "size", 1),
    "large queue": lambda rig: setattr(rig.plugin.queue, "size", 5),
    "one worker": lambda rig: rig.plugin.workers.resize(1),
    "two workers": lambda rig: rig.plugin.workers.resize(2),
    "sorted": lambda rig: rig.plugin.set_sorting(mode=SortMode.SORTED, time=0.05),
    "unsorted": lambda rig: rig.plugin.set_sorting(mode=SortMode.UNSORTED),
    "disable": lambda rig: rig.plugin.enable(False),
    "enable": lambda rig: rig.plugin.enable(True),
    "again": again,
    "rearm": lambda rig: rig.plugin.workers.rearm(),
}


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    policy=st.sampled_from([Policy.DROP_NEWEST, Policy.DROP_OLDEST]),
    steps=st.lists(
        st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(0, 5)), min_size=5, max_size=40
    ),
    stop_early=st.booleans(),
)
def test_every_frame_is_accounted_for_at_every_moment(
    tmp_path, monkeypatch, policy, steps, stop_early
):
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(supervisor, "QUARANTINE_AFTER", 1000)

    async def work():
        async with plugin_rig(
            probe(tmp_path, stop_timeout=0.5), queue_size=3, policy=policy
        ) as rig:
            unbalanced: list[object] = []

            def check(*_: object) -> None:
                if not rig.balanced():
                    unbalanced.append(replace(rig.plugin.counters))

            rig.plugin.on_change.connect(check)
            rig.plugin.on_outcome.connect(check)
            for action, turns in steps:
                ACTIONS[action](rig)
                for _ in range(turns):  # of the event loop
                    await asyncio.sleep(0)
            if not stop_early:
                await rig.until(lambda: not len(rig.plugin.queue) and not in_process(rig))
        rig.let_go()
        c = rig.plugin.counters
        assert not unbalanced
        assert c.received == c.processed + c.failed + c.dropped
        assert rig.origin.queued == 0
        assert rig.pool.figures().used_buffers == 0

    run(work())


def in_process(rig):
    return rig.plugin.counters.in_process


async def _one_outcome(plugin):
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def finish(outcome: Outcome) -> None:
        if not done.done():
            done.set_result(outcome)

    plugin.on_outcome.connect(finish)
    await done
    plugin.on_outcome.disconnect(finish)


def test_blocking_queue_loses_nothing(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path), queue_size=2, policy=Policy.BLOCK) as rig:
            seen: list[int] = []
            rig.plugin.on_outcome.connect(lambda outcome: seen.append(outcome.array.unique_id))
            for number in range(30):
                await rig.source.room()
                rig.source.publish(frame(rig.pool, unique_id=number))
                assert len(rig.plugin.queue) <= 2
            await rig.until(lambda: len(seen) == 30)
            assert seen == list(range(30))
            assert rig.plugin.counters.dropped == 0

    run(work())


def test_disabled_plugin_takes_nothing_and_lets_its_last_array_go(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            await rig.process()
            rig.plugin.enable(False)
            rig.source.publish(frame(rig.pool))
            assert rig.plugin.counters.received == 1
            rig.let_go()
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
            rig.source.publish(frame(rig.pool))  # sent ahead, as the first frame was quick
            rig.source.publish(frame(rig.pool))
            assert (in_process(rig), len(rig.plugin.queue)) == (2, 1)
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
            rig.plugin.on_outcome.connect(_raise)
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
                "WorkerPid": rig.plugin.workers.pid,
            }.items():
                assert after[pv] == value, pv
            for pv, value in after.items():
                assert same_value(ITEMS[pv].field.plain(value), value), pv

    run(work())


def test_staged_values_are_in_force_together_when_applied(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            code = "result = Figures(total=params.threshold, number=params.count)"
            rig.plugin.staging = True
            rig.plugin.write("threshold", 5.0)
            rig.plugin.write("count", 6)
            with pytest.raises(ValueError, match=r"expected .* at most 100"):
                rig.plugin.write("threshold", 101.0)
            before = (await rig.process(code)).outputs or {}
            assert (before["total"], before["number"]) == (1.0, 3)
            rig.plugin.apply()
            after = (await rig.process(code)).outputs or {}
            assert (after["total"], after["number"]) == (5.0, 6)

    run(work())


def test_output_above_the_byte_rate_is_counted_and_not_given_out(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            rig.plugin.throttle.limit = 50.0  # frames have 40 bytes
            for _ in range(4):
                await rig.process()
            assert len(rig.published) == 1
            assert rig.plugin.dropped_output_arrays == 3
            assert rig.plugin.counters.processed == 4
            rig.plugin.throttle.limit = 0.0
            await rig.process()
            assert len(rig.published) == 2

    run(work())


def test_outcome_held_for_its_order_is_shown_when_it_goes_out(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path), threads=2) as rig:
            workers = rig.plugin.workers
            await rig.until(lambda: len(workers.pids) == 2 and workers.state is WorkerState.IDLE)
            rig.plugin.set_sorting(mode=SortMode.SORTED, time=60.0)
            latencies: list[float] = []
            rig.plugin.on_outcome.connect(lambda outcome: latencies.append(outcome.latency))
            rig.source.publish(frame(rig.pool, "time.sleep(0.2)"))
            rig.source.publish(frame(rig.pool))
            await rig.until(lambda: rig.plugin.sorter.free < rig.plugin.sorter.size)
            assert rig.plugin.last_outcome is None
            await rig.until(lambda: len(latencies) == 2)
            assert min(latencies) > 0.1  # the second has waited for the first

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
