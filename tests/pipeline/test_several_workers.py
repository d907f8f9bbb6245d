"""Several workers of a plugin, frames sent ahead to a quick one, and the order of results."""

import asyncio
from dataclasses import replace

import pytest

from tests.pipeline.rig import SOURCE, Rig, alive, frame, plugin_rig, probe, run
from tosip.errors import ConfigurationError
from tosip.pipeline.plugin import Plugin
from tosip.pipeline.queues import Policy
from tosip.pipeline.sorting import SortMode
from tosip.pipeline.states import WorkerState

SLOW = "time.sleep(0.3)"


def ids(rig: Rig) -> list[int]:
    return [array.unique_id for array in rig.published]


async def ready(rig: Rig, workers: int) -> None:
    await rig.until(lambda: len(rig.plugin.workers.pids) == workers and idle(rig))


def idle(rig: Rig) -> bool:
    return rig.plugin.workers.state is WorkerState.IDLE


@pytest.mark.parametrize(
    ("mode", "order", "disordered"),
    [(SortMode.SORTED, [1, 2, 3], 0), (SortMode.UNSORTED, [2, 3, 1], 1)],
)
def test_order_is_restored_when_asked_for(tmp_path, mode, order, disordered):
    async def work():
        async with plugin_rig(probe(tmp_path), threads=2) as rig:
            await ready(rig, 2)
            rig.plugin.set_sorting(mode=mode, time=60.0)
            for number, code in ((1, SLOW), (2, ""), (3, "")):
                rig.source.publish(frame(rig.pool, code, unique_id=number))
            await rig.until(lambda: len(rig.published) == 3)
            assert ids(rig) == order
            assert rig.plugin.sorter.disordered == disordered

    run(work())


def test_frame_that_takes_longer_than_the_sort_time_is_not_waited_for(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path), threads=2) as rig:
            await ready(rig, 2)
            rig.plugin.set_sorting(mode=SortMode.SORTED, time=0.05)
            rig.source.publish(frame(rig.pool, SLOW, unique_id=1))
            rig.source.publish(frame(rig.pool, unique_id=2))
            await rig.until(lambda: len(rig.published) == 2)
            assert ids(rig) == [2, 1]
            assert rig.plugin.sorter.disordered == 1

    run(work())


def test_frame_whose_worker_dies_does_not_hold_up_the_others(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path), threads=2) as rig:
            await ready(rig, 2)
            rig.plugin.set_sorting(mode=SortMode.SORTED, time=60.0)
            statuses: list[tuple[int, bool]] = []
            rig.plugin.on_outcome.connect(
                lambda outcome: statuses.append((outcome.array.unique_id, outcome.failed))
            )
            rig.source.publish(frame(rig.pool, SLOW + "; os._exit(3)", unique_id=1))
            rig.source.publish(frame(rig.pool, unique_id=2))
            await rig.until(lambda: len(statuses) == 2)
            assert statuses == [(1, True), (2, False)]
            assert rig.plugin.workers.last_exit == "exit status 3"
            await ready(rig, 2)
            assert rig.plugin.workers.restarts == 1

    run(work())


def test_number_of_workers_can_be_changed_while_frames_flow(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path), queue_size=4, policy=Policy.BLOCK) as rig:
            rig.plugin.set_sorting(mode=SortMode.SORTED, time=60.0, size=100)
            seen: set[int] = set()
            for number in range(120):
                if number % 40 == 20:
                    rig.plugin.workers.resize(3 if number < 80 else 1)
                    await ready(rig, rig.plugin.workers.number)
                    seen.update(rig.plugin.workers.pids)
                await rig.source.room()
                rig.source.publish(frame(rig.pool, "time.sleep(0.001)", unique_id=number))
            await rig.until(lambda: len(rig.published) == 120)
            assert ids(rig) == list(range(120))
            assert rig.plugin.counters.dropped == rig.plugin.counters.failed == 0
            assert len(seen) == 3
            last = rig.plugin.workers.pid
        assert not any(map(alive, seen | {last}))

    run(work())


def test_further_worker_whose_start_fails_is_kept_trying_and_says_why(tmp_path):
    async def work():
        (tmp_path / "model").touch()
        source = f"open({str(tmp_path / 'model')!r}).close()\n" + SOURCE
        async with plugin_rig(probe(tmp_path, source)) as rig:
            (tmp_path / "model").unlink()
            rig.plugin.workers.resize(2)
            await rig.until(lambda: "FileNotFoundError" in rig.plugin.workers.last_exit)
            assert rig.plugin.workers.state is WorkerState.BACKOFF
            assert not (await rig.process()).failed

    run(work())


@pytest.mark.parametrize("number", [0, 17])
def test_number_of_workers_has_its_limits(tmp_path, number):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            with pytest.raises(ConfigurationError, match=r"PROBE\.NumThreads: expected 1 to 16"):
                rig.plugin.workers.resize(number)

    run(work())


def test_algorithm_that_keeps_state_has_one_worker(tmp_path):
    stateful = SOURCE.replace("    def process(", "    stateful = True\n\n    def process(")

    async def work():
        with pytest.raises(ConfigurationError, match=r"NumThreads: expected 1, as Probe keeps st"):
            async with plugin_rig(probe(tmp_path, stateful), threads=2):
                pass
        async with plugin_rig(probe(tmp_path, stateful)) as rig:
            with pytest.raises(ConfigurationError, match="got 3"):
                rig.plugin.workers.resize(3)
            assert rig.plugin.workers.number == 1

    run(work())


def test_what_a_quick_algorithm_changes_of_its_inputs_is_seen_by_every_next_frame(tmp_path):
    code = "result = Result(Figures(), params=params.replace(count=params.count + 1))"

    async def work():
        async with plugin_rig(probe(tmp_path), queue_size=100) as rig:
            for _ in range(60):
                rig.source.publish(frame(rig.pool, code))
            await rig.until(lambda: rig.plugin.counters.processed == 60)
            assert rig.plugin.params["count"] == 3 + 60

    run(work())


def test_frames_in_flight_see_one_consistent_set(tmp_path):
    code = "assert params.threshold == params.count; result = Figures(number=params.count)"

    async def work():
        async with plugin_rig(probe(tmp_path), queue_size=4, policy=Policy.BLOCK) as rig:
            seen: list[int] = []
            rig.plugin.on_outcome.connect(lambda o: seen.append((o.outputs or {})["number"]))
            for number in range(80):
                rig.plugin.params.update({"threshold": float(number), "count": number})
                await rig.source.room()
                rig.source.publish(frame(rig.pool, code))
            await rig.until(lambda: len(seen) == 80)
            assert seen == sorted(seen)
            assert rig.plugin.counters.failed == 0

    run(work())


def test_frame_sent_ahead_to_a_worker_that_dies_is_given_to_the_next(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            await rig.process()
            rig.published.clear()
            for number, code in ((1, "os._exit(3)"), (2, ""), (3, "")):
                rig.source.publish(frame(rig.pool, code, unique_id=number))
            assert rig.plugin.counters.in_process == 2
            await rig.until(lambda: len(rig.published) == 2)
            assert ids(rig) == [2, 3]
            assert rig.plugin.counters.failed == 1

    run(work())


def test_slow_algorithm_gets_no_frame_ahead_and_so_the_newest_parameters(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            await rig.process("time.sleep(0.05)")
            for _ in range(2):
                rig.source.publish(frame(rig.pool, "result = Figures(number=params.count)"))
            assert rig.plugin.counters.in_process == 1
            rig.plugin.params.set("count", 50)
            await rig.until(lambda: rig.plugin.counters.processed == 3)
            outcome = rig.plugin.last_outcome
            assert outcome is not None
            assert outcome.outputs is not None
            assert outcome.outputs["number"] == 50

    run(work())


def test_time_out_counts_from_when_the_worker_may_begin(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path), process_timeout=1.0) as rig:
            await rig.process()
            for _ in range(2):  # the second waits at the worker while the first is looked at
                rig.source.publish(frame(rig.pool, "time.sleep(0.7)"))
            assert rig.plugin.counters.in_process == 2
            await rig.until(lambda: rig.plugin.counters.processed == 3)
            assert rig.plugin.counters.failed == 0

    run(work())


def beside(rig):
    """Make a plugin of the same code beside the rig's."""
    return Plugin(replace(rig.plugin.program, name="BESIDE"), rig.pool, rig.ports)


def test_a_plugin_of_known_code_takes_frames_before_its_worker_has_its_turn(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            turn = asyncio.Semaphore(0)
            second = beside(rig)
            assert second.start_like(rig.plugin, turn) == rig.plugin.description
            second.connect("CAM")
            seen: list[int] = []
            second.on_outcome.connect(lambda outcome: seen.append(outcome.array.unique_id))
            await rig.process(unique_id=7)
            await rig.process(unique_id=8)
            assert second.workers.state is WorkerState.STARTING
            assert len(second.queue) == 2
            turn.release()
            done = asyncio.Event()
            second.on_outcome.connect(lambda _: done.set() if len(seen) == 2 else None)
            await asyncio.wait_for(done.wait(), 30)
            assert seen == [7, 8]
            assert second.workers.code_hash == rig.plugin.workers.code_hash
            second.enable(False)
            await second.stop()

    run(work())


def test_a_plugin_ends_though_its_worker_never_had_its_turn(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            second = beside(rig)
            second.start_like(rig.plugin, asyncio.Semaphore(0))
            second.connect("CAM")
            await rig.process()
            await second.stop()
            assert second.counters.dropped == 1
            assert second.workers.pid == 0

    run(work())
