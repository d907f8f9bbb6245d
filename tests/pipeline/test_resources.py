"""What operators see of a worker process: its name, memory, time and words."""

import asyncio
import logging
import time
from pathlib import Path

from tests.pipeline.rig import plugin_rig, probe, run
from tosip.pipeline.resources import Usage
from tosip.pipeline.states import WorkerState


def usage(rig) -> Usage:
    result: Usage = rig.plugin.workers.household.usage()
    return result


async def seen(rig, condition) -> Usage:
    """Wait until the figures, which come once a second, are such."""
    async with asyncio.timeout(20):
        while not condition(usage(rig)):
            await asyncio.sleep(0.1)
    return usage(rig)


async def steady(rig) -> Usage:
    """Wait until the memory stays as it is: a slow machine's figure may be of the growth."""
    before = usage(rig).memory - 10.0
    while abs(usage(rig).memory - before) > 0.5:
        before = usage(rig).memory
        await asyncio.sleep(1.5)
    return usage(rig)


def test_a_worker_has_a_readable_name(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            name = Path(f"/proc/{rig.plugin.workers.pid}/comm").read_text()
            assert name == "tosip: PROBE\n"

    run(work())


def test_memory_is_the_own_memory_of_all_workers(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            await seen(rig, lambda usage: usage.memory > 5.0)
            idle = await steady(rig)
            await rig.process(
                "self.kept = np.ones(2**24)", shape=(4096, 4096), dtype="float64"
            )  # 128 MiB of its own, 128 MiB shared
            await seen(rig, lambda usage: usage.memory > idle.memory + 100.0)
            one = await steady(rig)
            assert one.memory < idle.memory + 150.0
            rig.plugin.workers.resize(2)
            await seen(rig, lambda usage: usage.memory > one.memory + 5.0)
            rig.plugin.workers.resize(1)
            await seen(rig, lambda usage: usage.memory < one.memory + 3.0)
            await rig.plugin.stop()
            assert usage(rig) == Usage()

    run(work())


def test_time_of_the_processor_and_with_frames_are_told_apart(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            await seen(rig, lambda usage: usage.memory > 0.0 and usage.cpu < 5.0)
            assert usage(rig).busy == 0.0
            asleep = asyncio.create_task(rig.process("time.sleep(3)"))
            waiting = await seen(rig, lambda usage: usage.busy > 20.0)
            assert waiting.cpu < 10.0
            await asleep
            at_work = asyncio.create_task(rig.process("while time.process_time() < 4: pass"))
            working = await seen(rig, lambda usage: usage.cpu > 15.0)
            assert working.cpu < 130.0
            assert working.busy <= 100.0
            await at_work
            await seen(rig, lambda usage: usage.cpu < 5.0)

    run(work())


def test_what_an_ended_worker_printed_can_still_be_read(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            journal = rig.plugin.workers.household.journal
            await rig.process("print('last words'); os._exit(1)")
            await rig.until(lambda: rig.plugin.workers.state is WorkerState.IDLE)
            await rig.process("print('a new one')")
            async with asyncio.timeout(10):
                while "a new one" not in journal.text(4000):
                    await asyncio.sleep(0.01)
            assert journal.text(4000).splitlines()[-2:] == ["last words", "a new one"]
            assert "last words" not in rig.printed()  # those are of the one that runs
            await rig.process("print('ü\\0' * 400); os._exit(1)")
            assert len(journal.text(100).encode()) <= 100
            assert set(journal.text(100)) == set(r"ü\x00")

    run(work())


def test_megabytes_on_standard_output_leave_the_log_and_the_event_loop_alone(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    flood = "end = time.monotonic() + 3\nwhile time.monotonic() < end: print('x' * 99 + '\\n' * 9)"

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            caplog.clear()
            flooding = asyncio.create_task(rig.process(flood))
            spent, longest = time.process_time(), 0.0
            while not flooding.done():
                before = time.thread_time()
                await asyncio.sleep(0.01)
                longest = max(longest, time.thread_time() - before)
            spent = time.process_time() - spent
            assert not (await flooding).failed
            assert rig.plugin.workers.household.journal.count > 10_000
        assert longest < 0.5
        assert spent < 1.5
        return spent, longest

    run(work())
    lines = [record.getMessage() for record in caplog.records if "PROBE: " in record.getMessage()]
    told = [line for line in lines if line.endswith("lines more")]
    assert told
    assert len(lines) - len(told) <= 50 * 6
