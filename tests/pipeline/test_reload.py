"""Hot reload: newer code takes over between two frames, or the running code goes on."""

import asyncio
import itertools
import os
import shutil
from pathlib import Path

import pytest

from tests.pipeline.rig import SOURCE, Rig, alive, descriptors, frame, plugin_rig, probe, run
from tosip.pipeline.queues import Policy
from tosip.pipeline.states import WorkerState

NUMBER = SOURCE.replace("Figures(total=", "Figures(number=NUMBER, total=")
BESIDE = "from beside import NUMBER\n" + NUMBER


def version(number: int, source: str = NUMBER) -> str:
    return f"NUMBER = {number}\n" + source


def save(folder: Path, source: str) -> None:
    """Save as editors do: write another file and give it the name."""
    other = folder / "probe.py~"
    other.write_text(source)
    other.rename(folder / "probe.py")


async def status(rig: Rig, word: str) -> str:
    await rig.until(lambda: word in rig.plugin.reloader.status)
    return rig.plugin.reloader.status


async def number(rig: Rig) -> int:
    outcome = await rig.process()
    assert outcome.message == ""
    return int((outcome.outputs or {})["number"])


def test_saved_file_is_loaded_and_the_older_worker_ends(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, version(1))) as rig:
            assert await number(rig) == 1
            first, before = rig.plugin.workers.pid, rig.plugin.workers.code_hash
            files = descriptors()
            save(tmp_path, version(2))
            loaded = await status(rig, "loaded")
            assert rig.plugin.workers.code_hash in loaded
            assert rig.plugin.workers.code_hash != before
            assert await number(rig) == 2
            assert rig.published[-1].attributes["CodeHash"] == rig.plugin.workers.code_hash
            assert rig.plugin.workers.restarts == 0
        assert not alive(first)
        assert descriptors() <= files

    run(work())


def test_no_frame_is_lost_or_seen_twice_and_the_order_is_kept_under_load(tmp_path):
    async def work():
        async with plugin_rig(
            probe(tmp_path, version(0)), queue_size=4, policy=Policy.BLOCK, threads=2
        ) as rig:
            await rig.until(lambda: len(rig.plugin.workers.pids) == 2)
            seen: list[tuple[int, int]] = []
            rig.plugin.on_outcome.connect(
                lambda o: seen.append((o.array.unique_id, (o.outputs or {})["number"]))
            )
            count = 0
            for newer in (1, 2, 3):
                save(tmp_path, version(newer))
                before = rig.plugin.workers.code_hash
                while rig.plugin.workers.code_hash == before or count % 50:
                    await rig.source.room()
                    rig.source.publish(frame(rig.pool, "", unique_id=count))
                    count += 1
            await rig.until(lambda: len(seen) == count)
            assert sorted(unique_id for unique_id, _ in seen) == list(range(count))
            versions = [found for _, found in sorted(seen)]
            assert versions == sorted(versions)
            assert set(versions) == {0, 1, 2, 3}
            assert rig.plugin.counters.failed == rig.plugin.counters.dropped == 0

    run(work())


BROKEN = {
    "half a file": (NUMBER[: len(NUMBER) // 2], "SyntaxError"),
    "raises": ("1 / 0\n" + NUMBER, "ZeroDivisionError"),
    "exits": ("import os; os._exit(3)\n" + NUMBER, "exit status 3"),
    "crashes": ("import ctypes; ctypes.string_at(0)\n" + NUMBER, "killed by SIGSEGV"),
    "fails on the last frame": (NUMBER.replace("scope = dict", "1 / 0; scope = dict"), "1 / 0"),
    "hangs on the last frame": (
        NUMBER.replace("scope = dict", "time.sleep(600); scope = dict"),
        "no result in 0.5 s",
    ),
    "fails to start": (NUMBER + "\n    def start(self): 1 / 0\n", "1 / 0"),
    "no algorithm": ("pass", "expected one Algorithm"),
    "not text": ("\0", "null bytes"),
}


@pytest.mark.parametrize(("source", "reason"), BROKEN.values(), ids=BROKEN)
def test_running_code_goes_on_when_the_newer_is_no_good(tmp_path, source, reason):
    async def work():
        async with plugin_rig(
            probe(tmp_path, version(1), stop_timeout=0.3), process_timeout=0.5
        ) as rig:
            assert await number(rig) == 1
            first = rig.plugin.workers.pid
            save(tmp_path, "NUMBER = 2\n" + source)
            assert reason in await status(rig, "not loaded")
            assert await number(rig) == 1
            assert rig.plugin.workers.pid == first
            await rig.process("os._exit(1)")  # and so does its successor
            assert await number(rig) == 1
            save(tmp_path, version(3))
            await status(rig, "loaded ")
            await rig.until(lambda: rig.plugin.reloader.status.startswith("loaded"))
            assert await number(rig) == 3

    run(work())


def test_changed_declaration_needs_a_restart_and_says_which(tmp_path):
    changed = NUMBER.replace("limits=(0.0, 100.0)", "limits=(0.0, 200.0)")
    changed = changed.replace("    unknown: float", "    extra: int = output('x', default=0)\n#")

    async def work():
        async with plugin_rig(probe(tmp_path, version(1))) as rig:
            save(tmp_path, version(2, changed))
            await status(rig, "restart the IOC")
            assert rig.plugin.reloader.restart_required == (
                "input threshold changed, output unknown removed, output extra added"
            )
            assert await number(rig) == 1
            save(tmp_path, version(3, NUMBER.replace('"A number"', '"A better number"')))
            await rig.until(lambda: rig.plugin.reloader.status.startswith("loaded"))
            assert rig.plugin.reloader.restart_required == ""

    run(work())


def test_module_beside_the_algorithm_is_watched_too(tmp_path):
    async def work():
        (tmp_path / "beside.py").write_text("NUMBER = 1")
        async with plugin_rig(probe(tmp_path, BESIDE)) as rig:
            assert await number(rig) == 1
            (tmp_path / "beside.py").write_text("NUMBER = 2")
            await status(rig, "loaded")
            assert await number(rig) == 2
            (tmp_path / "beside.py").write_text("NUMBER = 3; 1 / 0")
            assert "beside.py" in await status(rig, "not loaded")
            await rig.process("os._exit(1)")
            assert await number(rig) == 2

    run(work())


def test_module_that_comes_after_the_file_which_wants_it(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, version(1))) as rig:
            save(tmp_path, BESIDE)
            await status(rig, "No module named 'beside'")
            (tmp_path / "beside.py").write_text("NUMBER = 2")
            await rig.until(lambda: rig.plugin.reloader.status.startswith("loaded"))
            assert await number(rig) == 2

    run(work())


def test_deleted_file_is_waited_for(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, version(1))) as rig:
            (tmp_path / "probe.py").unlink()
            await rig.process("os._exit(1)")
            assert await number(rig) == 1
            save(tmp_path, version(2))
            await status(rig, "loaded")
            assert await number(rig) == 2

    run(work())


def test_ten_saves_in_a_second_end_in_the_last(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, version(1))) as rig:
            for newer in range(2, 12):
                (tmp_path / "probe.py").write_text(version(newer))  # of the same size, too
                await asyncio.sleep(0.1)  # the author's pace
            await status(rig, "loaded")
            while await number(rig) != 11:
                await asyncio.sleep(0)

    run(work())


def test_whole_folder_replaced_by_another_version(tmp_path):
    async def work():
        folder = tmp_path / "work"
        folder.mkdir()
        (folder / "beside.py").write_text("NUMBER = 1")
        async with plugin_rig(probe(folder, BESIDE)) as rig:
            shutil.copytree(folder, tmp_path / "other")
            (tmp_path / "other" / "beside.py").write_text("NUMBER = 2")
            folder.rename(tmp_path / "old")
            (tmp_path / "other").rename(folder)
            await status(rig, "loaded")
            assert await number(rig) == 2

    run(work())


def test_touched_file_is_no_newer_code_but_reload_loads_it(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, version(1))) as rig:
            first = rig.plugin.workers.pid
            os.utime(tmp_path / "probe.py")
            (tmp_path / "other.py").write_text("")
            rig.plugin.reloader.request()
            await status(rig, "loaded")
            assert rig.plugin.workers.pid != first
            assert await number(rig) == 1

    run(work())


def test_automatic_reload_can_be_turned_off(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, version(1))) as rig:
            rig.plugin.reloader.automatic = False
            save(tmp_path, version(2))
            await asyncio.sleep(0.6)  # more than a look at the files takes
            assert rig.plugin.reloader.status == ""
            rig.plugin.reloader.request()
            await status(rig, "loaded")
            assert await number(rig) == 2

    run(work())


def test_mended_file_ends_the_quarantine(tmp_path, monkeypatch):
    monkeypatch.setattr("tosip.pipeline.supervisor.FIRST_DELAY", 0.01)

    async def work():
        async with plugin_rig(probe(tmp_path, version(1))) as rig:
            for _ in range(6):
                await rig.process("os._exit(1)")
            await rig.until(lambda: rig.plugin.workers.state is WorkerState.QUARANTINED)
            mended = NUMBER.replace("scope = dict", "os._exit = print; scope = dict")
            save(tmp_path, version(2, mended))
            await status(rig, "loaded")
            assert rig.plugin.workers.state is WorkerState.IDLE
            assert await number(rig) == 2

    run(work())


STATEFUL = (
    NUMBER.replace("    def process(", "    stateful = True\n    seen = 0\n\n    def process(")
    .replace("scope = dict", "self.seen += 1; scope = dict")
    .replace("number=NUMBER", "number=100 * NUMBER + self.seen")
)
HANDOVER = """
    def save(self):
        return {"seen": self.seen, "line": np.arange(3)}

    def restore(self, state):
        assert state["line"].tolist() == [0, 1, 2]
        self.seen = state["seen"]
"""


@pytest.mark.parametrize(("hooks", "expected"), [("", 201), (HANDOVER, 203)])
def test_state_is_handed_over_by_the_hooks_and_the_trial_leaves_no_trace(tmp_path, hooks, expected):
    async def work():
        async with plugin_rig(probe(tmp_path, version(1, STATEFUL + hooks))) as rig:
            assert [await number(rig), await number(rig)] == [101, 102]
            save(tmp_path, version(2, STATEFUL + hooks))
            await status(rig, "loaded")
            assert await number(rig) == expected

    run(work())


def test_state_that_the_newer_code_refuses_refuses_the_reload(tmp_path):
    refusing = HANDOVER.replace("self.seen = state", "1 / 0; self.seen = state")

    async def work():
        async with plugin_rig(probe(tmp_path, version(1, STATEFUL + HANDOVER))) as rig:
            await number(rig)
            save(tmp_path, version(2, STATEFUL + refusing))
            assert "ZeroDivisionError" in await status(rig, "not loaded")
            assert await number(rig) == 102

    run(work())


def test_stop_while_reloading_leaves_nothing(tmp_path):
    slow = "import time; time.sleep(600)\n" + NUMBER

    async def work():
        async with plugin_rig(probe(tmp_path, version(1), stop_timeout=0.3)) as rig:
            before = descriptors()
            save(tmp_path, slow)
            await status(rig, "loading")
        assert descriptors() < before

    run(work())


def test_files_that_come_and_go_beside_the_algorithm_do_not_hold_up_a_reload(tmp_path):
    async def busy() -> None:
        for number in itertools.count():
            (tmp_path / f"frame{number}.fits").touch()
            (tmp_path / f"frame{number - 20}.fits").unlink(missing_ok=True)
            await asyncio.sleep(0.02)

    async def work():
        async with plugin_rig(probe(tmp_path, version(1))) as rig:
            writer = asyncio.create_task(busy())
            save(tmp_path, version(2))
            await status(rig, "loaded")
            writer.cancel()

    run(work())
