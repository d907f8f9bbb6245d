"""Real plugins whose frames fail: what is kept, and that nothing waits for it."""

import asyncio
import gc
import shutil
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.rig import SOURCE, Rig, frame, plugin_rig, probe, run
from tests.shortages import no_descriptors, no_file_space
from tosip.bundles import bundle
from tosip.bundles.keeper import MOST_WAITING, Keeper
from tosip.bundles.shelf import Limits, Shelf
from tosip.pipeline.failure import FailureKind
from tosip.pipeline.pool import Pool


@asynccontextmanager
async def kept_rig(folder: Path, source: str = SOURCE, limits: Limits = Limits(), **options):  # noqa: B008
    keeper = Keeper(folder / "bundles", limits)
    async with plugin_rig(probe(folder, source), **options) as rig:
        keeper.watch(rig.plugin)
        yield rig, keeper
    await keeper.close()


def bundles(folder: Path) -> list[bundle.Bundle]:
    shelf = Shelf(folder / "bundles" / "PROBE", Limits())
    return [bundle.read(shelf.folder / name) for name in shelf.names()]


async def until_kept(rig: Rig, number: int) -> None:
    await rig.until(lambda: rig.plugin.bundle_count == number)


FAILURES = [
    ("raise ValueError('odd')", FailureKind.EXCEPTION, "process", "ValueError: odd"),
    ("result = {'total': 'x'}", FailureKind.EXCEPTION, "result", "total"),
    ("print('here'); ctypes.string_at(0)", FailureKind.DIED, "", "killed by SIGSEGV"),
    ("print('here'); os._exit(3)", FailureKind.DIED, "", "exit status 3"),
    ("print('here'); time.sleep(60)", FailureKind.TIMED_OUT, "", "no result in 0.5 s"),
]


@pytest.mark.parametrize(("do", "kind", "stage", "words"), FAILURES)
def test_a_failed_frame_is_kept_with_what_it_met(tmp_path, do, kind, stage, words):
    async def work():
        async with kept_rig(tmp_path, process_timeout=0.5) as (rig, _):
            rig.plugin.params.update({"threshold": 2.5, "weights": [3.0, 4.0]})
            await rig.process(do, unique_id=42, EXTRA=True)
            await until_kept(rig, 1)
            (found,) = bundles(tmp_path)
            assert rig.plugin.last_bundle == found.folder.name
            assert (found.kind, found.stage) == (kind, stage)
            assert words in found.error
            assert (found.port, found.source, found.unique_id) == ("PROBE", "CAM", 42)
            assert found.attributes == {"DO": do, "EXTRA": True}
            assert found.params["threshold"] == 2.5
            assert list(found.params["weights"]) == [3.0, 4.0]
            assert found.read_frame(Pool()).pixels.tolist() == [[1] * 5] * 4
            assert found.read_code()["probe"]["text"] == SOURCE
            assert found.code_hash == rig.plugin.workers.code_hash
            assert (found.numpy, found.timeout) == (np.__version__, 0.5)
            if kind is FailureKind.EXCEPTION:
                assert found.traceback.startswith(found.error)
            else:
                assert "here" in found.printed

    run(work())


def test_an_error_on_purpose_is_none_to_keep(tmp_path):
    async def work():
        async with kept_rig(tmp_path) as (rig, _):
            outcome = await rig.process("result = Result(status=Status.ERROR, message='no stars')")
            assert outcome.failed
            await rig.process("raise ValueError")
            await until_kept(rig, 1)

    run(work())
    assert len(bundles(tmp_path)) == 1


def test_stopping_in_the_middle_of_a_frame_is_no_failure(tmp_path):
    async def work():
        async with kept_rig(tmp_path) as (rig, _):
            task = asyncio.create_task(rig.process("time.sleep(60)"))
            await rig.until(lambda: rig.plugin.workers.state.value == "Busy")
        task.cancel()

    run(work())
    assert bundles(tmp_path) == []


def test_the_same_fault_is_kept_a_few_times_after_a_restart_too(tmp_path):
    async def first():
        async with kept_rig(tmp_path, limits=Limits(alike=2)) as (rig, keeper):
            for number in (1, 2, 2, 2):
                await rig.process(f"raise ValueError({number})")
                await until_kept(rig, number)
            assert keeper.repeated == 2
            await rig.process("raise KeyError(1)")
            await until_kept(rig, 3)

    async def second():
        async with kept_rig(tmp_path, limits=Limits(alike=2)) as (rig, keeper):
            await until_kept(rig, 3)
            await rig.process("raise ValueError(4)")
            assert keeper.repeated == 1

    async def other_code():
        async with kept_rig(tmp_path, SOURCE + "\n# mended\n", Limits(alike=2)) as (rig, _):
            await until_kept(rig, 3)
            await rig.process("raise ValueError(5)")
            await until_kept(rig, 4)

    run(first())
    run(second())
    run(other_code())


def test_frames_go_on_while_the_disk_hangs(tmp_path, monkeypatch, caplog):
    disk = threading.Event()
    put = Shelf.put
    monkeypatch.setattr(Shelf, "put", lambda *arguments: disk.wait(60) and put(*arguments))

    async def work():
        async with kept_rig(tmp_path, limits=Limits(alike=100)) as (rig, keeper):
            for number in range(MOST_WAITING + 4):
                await rig.process(f"raise ValueError({number})")
                assert not (await rig.process()).failed
            assert keeper.not_kept == 3
            assert rig.balanced()
            assert "PROBE: frame 7: no bundle: others are still being written" in caplog.text
            disk.set()
            await until_kept(rig, MOST_WAITING + 1)
            rig.let_go()
            gc.collect()
            assert rig.pool.figures().used_buffers == 0

    run(work())


def test_a_disk_that_cannot_be_written_is_told_and_disturbs_nobody(tmp_path, caplog):
    async def work():
        async with kept_rig(tmp_path, limits=Limits(alike=1)) as (rig, keeper):
            (tmp_path / "bundles").write_text("in the way")
            await rig.process("raise ValueError")
            await rig.until(lambda: keeper.not_kept == 1)
            words = f"PROBE: frame 7: no bundle: {tmp_path}/bundles/PROBE: Not a directory"
            assert words in caplog.text
            (tmp_path / "bundles").unlink()
            await rig.process("raise ValueError")  # is not taken for one that was kept
            await until_kept(rig, 1)

    run(work())


def test_what_waits_is_written_at_the_end(tmp_path):
    async def work():
        async with kept_rig(tmp_path) as (rig, _):
            await rig.process("raise ValueError")

    run(work())
    assert len(bundles(tmp_path)) == 1


def test_none_are_kept_where_none_are_wanted(tmp_path):
    async def work():
        async with kept_rig(tmp_path, limits=Limits(number=0)) as (rig, _):
            await rig.process("raise ValueError")

    run(work())
    assert not (tmp_path / "bundles").exists()


def test_bundles_that_somebody_removes_make_no_trouble(tmp_path):
    async def work():
        async with kept_rig(tmp_path) as (rig, _):
            await rig.process("raise ValueError")
            await until_kept(rig, 1)
            first = rig.plugin.last_bundle
            shutil.rmtree(tmp_path / "bundles")
            await rig.process("raise ValueError")
            await rig.until(lambda: rig.plugin.last_bundle != first)
            assert rig.plugin.bundle_count == 1

    run(work())


AHEAD = """
    def process(self, image, params, attributes, metadata):
        if attributes["DO"] == "fail":
            raise ValueError(params.count)
        return Result(Figures(), params=params.replace(count=params.count + 1))
"""


@pytest.mark.parametrize("before", [10, 11])  # every other one is sent ahead
def test_parameters_are_those_that_the_algorithm_saw(tmp_path, before):
    # A quick worker has the next frame before its answer, which changes them, is heard.
    source = SOURCE[: SOURCE.index("    def process")] + AHEAD.lstrip("\n")

    async def work():
        async with kept_rig(tmp_path, source) as (rig, _):
            await rig.process()
            for number in range(before):
                rig.source.publish(frame(rig.pool, unique_id=number))
            rig.source.publish(frame(rig.pool, "fail"))
            await until_kept(rig, 1)

    run(work())
    (found,) = bundles(tmp_path)
    assert found.error == f"ValueError: {found.params['count']}"


@pytest.mark.parametrize("shortage", [no_descriptors, no_file_space])
def test_a_shortage_costs_bundles_not_frames_and_the_next_one_is_kept(tmp_path, shortage):
    async def work():
        async with kept_rig(tmp_path) as (rig, keeper):
            await rig.process()
            arrays = [frame(rig.pool, f"raise {kind}(1)") for kind in ("KeyError", "ValueError")]
            with shortage():
                for number, array in enumerate(arrays, 1):
                    rig.source.publish(array)
                    await rig.until(lambda n=number: rig.plugin.counters.failed == n)
                await rig.until(lambda: keeper.not_kept == 2)
            await rig.process("raise KeyError(2)")
            await until_kept(rig, 1)
            assert rig.balanced()

    run(work())
