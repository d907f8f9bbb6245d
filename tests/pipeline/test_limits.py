"""What configuration gives a worker, and what becomes of one that takes more memory."""

import os
from pathlib import Path

import pytest

from tests.pipeline.rig import SOURCE, alive, plugin_rig, probe, run
from tosip.errors import ConfigurationError
from tosip.pipeline.limits import Limits

TELL = """
result = Result(Figures(), message=repr((
    os.nice(0), sorted(os.sched_getaffinity(0)), os.environ.get("WORD"), os.getcwd(),
    "PATH" in os.environ)))
"""


def test_a_worker_has_its_niceness_processors_environment_and_folder(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    cpu = max(os.sched_getaffinity(0))
    limits = Limits(nice=3, cpus=(cpu,), environment={"WORD": "a b=c"}, folder=folder)

    async def work():
        async with plugin_rig(probe(tmp_path, limits=limits)) as rig:
            for _ in range(2):  # the second time in a worker that took another's place
                outcome = await rig.process(TELL)
                expected = (min(19, os.nice(0) + 3), [cpu], "a b=c", str(folder), True)
                assert outcome.message == repr(expected)
                await rig.process("os._exit(1)")

    run(work())


def test_a_worker_without_limits_has_what_the_ioc_has(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process(TELL)
            cpus = sorted(os.sched_getaffinity(0))
            assert outcome.message == repr((os.nice(0), cpus, None, os.getcwd(), True))

    run(work())


def test_processors_are_limited_before_numpy_counts_them(tmp_path):
    cpu = min(os.sched_getaffinity(0))
    source = SOURCE.replace(
        "import ctypes", "import sys\nassert 'numpy' in sys.modules\nimport ctypes", 1
    )
    program = probe(tmp_path, source, limits=Limits(cpus=(cpu,)))

    async def work():
        async with plugin_rig(program) as rig:
            for task in Path(f"/proc/{rig.plugin.workers.pid}/task").iterdir():
                status = (task / "status").read_text()
                assert f"Cpus_allowed_list:\t{cpu}\n" in status

    run(work())


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(folder=Path("/no/such")), "PROBE.limits.folder: expected a folder, got /no/such"),
        (Limits(cpus=(0, 4000, 4001)), "got 4000-4001"),
        (Limits(nice=20), "PROBE.limits.nice: expected 0 to 19, got 20"),
        (Limits(memory_mib=0), "PROBE.limits.memory_mib: expected at least 1, got 0"),
        (Limits(environment={"A=B": "1"}), "PROBE.limits.environment: expected a name"),
    ],
)
def test_what_the_machine_does_not_have_is_named_in_one_line(tmp_path, limits, words):
    async def work():
        with pytest.raises(ConfigurationError) as error:
            async with plugin_rig(probe(tmp_path, limits=limits)):
                pass
        assert words in str(error.value)
        assert str(error.value).startswith("PROBE.limits.")
        assert "\n" not in str(error.value)

    run(work())


def test_a_worker_that_leaks_past_its_limit_is_ended_and_the_frame_says_why(tmp_path):
    leak = "kept = []\nwhile True: kept.append(np.ones(2**20)); time.sleep(0.01)"

    async def work():
        async with plugin_rig(probe(tmp_path, limits=Limits(memory_mib=200))) as rig:
            first = rig.plugin.workers.pid
            outcome = await rig.process(leak)
            assert outcome.message == "worker memory over 200 MiB"
            assert rig.plugin.workers.last_exit == "memory over 200 MiB"
            assert not alive(first)
            assert not (await rig.process()).failed

    run(work())


def test_a_worker_that_leaks_while_it_starts_is_ended(tmp_path):
    source = SOURCE + "\n    def start(self):\n        self.much = b'1' * 2**28; time.sleep(60)\n"

    async def work():
        with pytest.raises(RuntimeError, match="memory over 200 MiB"):
            async with plugin_rig(probe(tmp_path, source, limits=Limits(memory_mib=200))):
                pass

    run(work())


def test_shared_frames_and_memory_of_children_are_not_counted(tmp_path):
    child = (
        "subprocess.run([sys.executable, '-c', "
        "'import time; much = b\"1\" * 2**28; time.sleep(0.5)'], check=True); "
        "result = Figures(total=float(image.max()))"
    )

    async def work():
        async with plugin_rig(probe(tmp_path, limits=Limits(memory_mib=200))) as rig:
            outcome = await rig.process(child, shape=(8192, 8192), dtype="float64")  # 512 MiB
            assert not outcome.failed, outcome.message

    run(work())


def test_a_memory_error_of_the_algorithm_is_an_ordinary_exception(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, limits=Limits(memory_mib=200))) as rig:
            pid = rig.plugin.workers.pid
            outcome = await rig.process("np.ones(2**58)")
            assert "MemoryError" in outcome.message
            assert rig.plugin.workers.pid == pid
            assert rig.plugin.workers.restarts == 0

    run(work())
