"""No descriptors, no shared memory: frames wait or fail alone, workers live, and all goes on after.

Nothing here is the algorithm's fault, and nothing counts against it.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.pipeline.rig import Rig, frame, plugin_rig, probe, run
from tests.shortages import no_descriptors, no_file_space
from tosip.pipeline import plugin as plugin_module
from tosip.pipeline import supervisor
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.panel import PLUGIN_ITEMS
from tosip.pipeline.states import WorkerState

LONG = "x" * 100_000  # travels in shared memory of its own


def shown(rig: Rig, pv: str) -> object:
    (read,) = (item.read for item in PLUGIN_ITEMS if item.pv == pv and item.read)
    return read(rig.plugin)


@pytest.mark.parametrize("shortage", [no_descriptors, no_file_space])
def test_frame_that_cannot_be_sent_waits_in_the_queue_and_is_processed_after(
    tmp_path: Path, shortage: Callable[[], AbstractContextManager[None]]
):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            plugin = rig.plugin
            await rig.process()
            pid, array = plugin.workers.pid, frame(rig.pool, LONG=LONG)
            with shortage():
                rig.source.publish(array)
                await asyncio.sleep(0.2)  # several tries
                assert (plugin.counters.in_process, len(plugin.queue)) == (0, 1)
                assert rig.balanced()
                assert shown(rig, "Status") == "error"
                assert str(shown(rig, "Message")).startswith("frames wait: ")
            await rig.until(lambda: plugin.counters.processed == 2)
            await rig.until(lambda: shown(rig, "Status") == "ok")
            assert (plugin.workers.pid, plugin.workers.restarts) == (pid, 0)
            assert not (await rig.process()).failed
            assert rig.balanced()

    run(work())


def test_frame_that_waits_too_long_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plugin_module, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(plugin_module, "MOST_WAITS", 3)

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            array = frame(rig.pool, LONG=LONG)
            with no_descriptors():
                rig.source.publish(array)
                await rig.until(lambda: rig.plugin.counters.failed == 1)
            assert "frame: not sent: Too many open files" in str(rig.plugin.last_outcome)
            assert not (await rig.process()).failed
            assert rig.balanced()
            assert rig.plugin.workers.restarts == 0

    run(work())


def test_button_pressed_for_a_frame_that_waits_is_pressed_when_it_is_processed(tmp_path: Path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            rig.plugin.write("press", True)
            array = frame(rig.pool, "result = Figures(number=int(params.press))", LONG=LONG)
            with no_descriptors():
                rig.source.publish(array)
            await rig.until(lambda: rig.plugin.counters.processed == 1)
            assert rig.plugin.last_outcome is not None
            assert (rig.plugin.last_outcome.outputs or {})["number"] == 1
            assert not rig.plugin.params["press"]

    run(work())


def test_output_image_without_a_descriptor_is_left_out_and_the_outputs_are_shown(tmp_path: Path):
    image = "result = Result(Figures(number=5), image=np.ones((3, 3)))"

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            plugin = rig.plugin
            await rig.process()
            pid, array = plugin.workers.pid, frame(rig.pool, image)
            with no_descriptors():
                rig.source.publish(array)
                await rig.until(lambda: plugin.counters.processed == 2)
            assert plugin.last_outcome is not None
            assert (plugin.last_outcome.outputs or {})["number"] == 5
            assert plugin.dropped_output_arrays == 1
            await rig.process(image)
            assert rig.published[-1].shape == (3, 3)
            assert plugin.workers.pid == pid

    run(work())


def test_answer_in_memory_without_a_descriptor_fails_its_frame_only(tmp_path: Path):
    long = "result = Result(Figures(), attributes={'LONG': 'x' * 100_000})"

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            plugin = rig.plugin
            await rig.process()
            pid, array = plugin.workers.pid, frame(rig.pool, long)
            with no_descriptors():
                rig.source.publish(array)
                await rig.until(lambda: plugin.counters.failed == 1)
            assert "no descriptor" in str(shown(rig, "Message"))
            assert not (await rig.process(long)).failed
            assert (plugin.workers.pid, plugin.workers.restarts) == (pid, 0)
            assert rig.balanced()

    run(work())


def test_worker_that_cannot_be_started_for_want_of_descriptors_is_not_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.005)
    monkeypatch.setattr(supervisor, "LONGEST_DELAY", 0.01)
    tries = 2 * supervisor.QUARANTINE_AFTER

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            plugin = rig.plugin
            array = frame(rig.pool, "os._exit(3)")
            with no_descriptors():
                rig.source.publish(array)
                await rig.until(lambda: caplog.text.count("Too many open files") > tries)
                assert plugin.workers.state is not WorkerState.QUARANTINED
            assert not (await rig.process()).failed
            assert rig.balanced()

    run(work())


def test_plugin_stops_while_there_are_no_descriptors(tmp_path: Path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            await rig.process()
            array = frame(rig.pool, LONG=LONG)
            with no_descriptors():
                rig.source.publish(array)
                await rig.plugin.stop()
            assert (rig.plugin.counters.dropped, rig.plugin.workers.pids) == (1, [])
            assert rig.balanced()

    run(work())


def test_listener_that_raises_costs_neither_the_frame_nor_the_other_plugins(tmp_path: Path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            rig.source.unlisten(rig.plugin.receive)
            rig.source.listen(_raise)
            rig.source.listen(rig.plugin.receive, rig.plugin.queue)
            assert not (await rig.process()).failed
            rig.plugin.queue.on_room.connect(lambda: 1 / 0)
            rig.plugin.port.on_room.connect(lambda: 1 / 0)
            assert not (await rig.process()).failed
            assert rig.balanced()

    run(work())


def _raise(_: NDArray) -> None:
    raise OSError(24, "Too many open files")
