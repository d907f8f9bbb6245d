"""Workers that die, hang or will not go: the frame after the bad one is a good one."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pipeline.rig import SOURCE, alive, descriptors, frame, plugin_rig, probe, run
from tosip.errors import ConfigurationError
from tosip.pipeline import supervisor
from tosip.pipeline.states import WorkerState
from tosip.signals import FROM_TERMINAL

DEATHS = [
    ("ctypes.string_at(0)", "killed by SIGSEGV"),
    ("os.abort()", "killed by SIGABRT"),
    ("os._exit(3)", "exit status 3"),
    ("os.close(int(sys.argv[1])); time.sleep(60)", "closed its connection"),
    ("import threading; threading.Thread(target=lambda: os._exit(4)).start(); time.sleep(60)", "4"),
]


@pytest.mark.parametrize(("code", "words"), DEATHS)
def test_death_while_busy_fails_the_frame_and_the_next_goes_to_a_new_worker(tmp_path, code, words):
    async def work():
        async with plugin_rig(probe(tmp_path, stop_timeout=0.5)) as rig:
            first = rig.plugin.workers.pid
            outcome = await rig.process(code)
            assert outcome.failed
            assert words in outcome.message
            assert words in rig.plugin.workers.last_exit
            assert not (await rig.process()).failed
            assert rig.plugin.workers.restarts == 1
            assert rig.plugin.workers.pid not in (0, first)
            assert not alive(first)

    run(work())


def test_a_worker_leaves_the_terminals_signals_to_the_ioc(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            for number in FROM_TERMINAL:
                os.kill(rig.plugin.workers.pid, number)
            assert not (await rig.process()).failed
            assert rig.plugin.workers.restarts == 0

    run(work())


def test_frame_whose_worker_is_killed_from_outside_is_tried_once_more(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process("os.kill(os.getpid(), signal.SIGKILL)")
            assert outcome.message == "worker killed by SIGKILL"
            assert rig.plugin.counters.failed == 1
            await rig.until(lambda: rig.plugin.workers.restarts == 2 and rig.plugin.workers.pid > 0)
            first = rig.plugin.workers.pid
            waiting = f"while os.getpid() == {first}: time.sleep(60)"
            rig.source.publish(frame(rig.pool, waiting))
            os.kill(first, signal.SIGKILL)
            await rig.until(lambda: rig.plugin.counters.processed == 1)
            assert rig.plugin.counters.failed == 1

    run(work())


def test_standby_takes_the_place_of_a_worker_that_ends(tmp_path):
    # The third worker cannot be loaded before the gate opens: the first two need no gate.
    gate, loaded = tmp_path / "gate", tmp_path / "loaded"
    loaded.touch()
    source = f"""
import os, time
while os.path.getsize({str(loaded)!r}) == 2 and not os.path.exists({str(gate)!r}):
    time.sleep(0.01)
with open({str(loaded)!r}, "ab") as file:
    file.write(b"x")
"""

    async def work():
        async with plugin_rig(probe(tmp_path, source + SOURCE, standby=True)) as rig:
            await rig.until(lambda: rig.plugin.workers.standing_by == 1)
            first = rig.plugin.workers.pid
            assert (await rig.process("os._exit(3)")).failed
            assert not (await rig.process()).failed
            gate.touch()
            assert rig.plugin.workers.pid not in (0, first)
            assert rig.plugin.workers.restarts == 1
            await rig.until(lambda: rig.plugin.workers.standing_by == 1)  # and there is another
            second = rig.plugin.workers.pid
        assert not alive(first)
        assert not alive(second)

    run(work())


def test_crash_in_c_leaves_the_python_line_in_the_output(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            printed = rig.printed()
            await rig.process("print('before'); ctypes.string_at(0)")
            assert "before" in printed
            assert any('probe.py", line' in line for line in printed)

    run(work())


def test_death_while_idle_is_seen_without_a_frame(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            first = rig.plugin.workers.pid
            os.kill(first, signal.SIGKILL)
            await rig.until(lambda: rig.plugin.workers.restarts == 1)
            assert rig.plugin.workers.last_exit == "killed by SIGKILL"
            assert not (await rig.process()).failed
            assert rig.plugin.counters.failed == 0

    run(work())


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
        "ctypes.PyDLL(None).sleep(60)",  # holds the interpreter's lock
    ],
)
def test_hang_ends_with_the_time_out(tmp_path, code):
    async def work():
        async with plugin_rig(probe(tmp_path), process_timeout=0.4) as rig:
            first = rig.plugin.workers.pid
            outcome = await rig.process(code)
            assert outcome.message == "worker no result in 0.4 s"
            assert rig.plugin.workers.last_exit == "no result in 0.4 s"
            assert not alive(first)
            rig.plugin.process_timeout = 10.0
            assert not (await rig.process()).failed

    run(work())


def test_worker_that_does_not_get_ready_is_ended(tmp_path):
    async def work():
        program = probe(tmp_path, "import time; time.sleep(60)\n" + SOURCE, start_timeout=0.5)
        with pytest.raises(RuntimeError, match=r"not ready in 0\.5 s"):
            async with plugin_rig(program):
                pass

    run(work())


def test_processes_that_the_algorithm_started_end_with_the_worker(tmp_path):
    start = (
        "self.child = subprocess.Popen(['sleep', '60']); result = Figures(number=self.child.pid)"
    )

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process(start)
            assert outcome.outputs is not None
            child = outcome.outputs["number"]
            with ending(child) as ended:
                await rig.process("os._exit(1)")
                assert ended()
            outcome = await rig.process(start)
            assert outcome.outputs is not None
            with ending(outcome.outputs["number"]) as ended:
                await rig.plugin.stop()
                assert ended()

    run(work())


def test_worker_with_default_of_nan_starts_again(tmp_path):
    # NaN differs from itself: a description must not.
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            await rig.process("os._exit(1)")
            await rig.until(lambda: rig.plugin.workers.state is WorkerState.IDLE)
            assert rig.plugin.workers.restarts == 1

    run(work())


def test_worker_that_starts_again_runs_the_code_that_was_good(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            rig.plugin.reloader.automatic = False
            before = rig.plugin.workers.code_hash
            probe(tmp_path, "1 / 0")
            await rig.process("os._exit(1)")
            assert not (await rig.process()).failed
            assert rig.plugin.workers.code_hash == before

    run(work())


def test_failures_in_a_row_end_in_quarantine_until_rearmed(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            seen: set[WorkerState] = set()
            rig.plugin.on_change.connect(lambda: seen.add(rig.plugin.workers.state))
            for _ in range(supervisor.QUARANTINE_AFTER + 1):
                await rig.process("os._exit(1)")
            await rig.until(lambda: rig.plugin.workers.state is WorkerState.QUARANTINED)
            assert rig.plugin.workers.pid == 0
            assert {WorkerState.BACKOFF, WorkerState.STARTING, WorkerState.BUSY} <= seen
            rig.plugin.workers.rearm()
            assert not (await rig.process()).failed
            await rig.process("os._exit(1)")
            assert not (await rig.process()).failed  # counted from the start again

    run(work())


def test_delay_grows_to_its_limit():
    delays = [supervisor.restart_delay(n) for n in range(1, 20)]
    assert delays[:4] == [0.0, 0.5, 1.0, 2.0]
    assert delays == sorted(delays)
    assert delays[-1] == supervisor.LONGEST_DELAY


STUBBORN = """
    def start(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def stop(self):
        time.sleep(60)
"""
TERM = """
    def start(self):
        signal.signal(signal.SIGTERM, lambda *_: (open({!r}, "w").close(), os._exit(0)))

    def stop(self):
        time.sleep(60)
"""


def test_worker_that_ignores_message_and_sigterm_is_killed(tmp_path):
    async def work():
        program = probe(tmp_path, SOURCE + STUBBORN, stop_timeout=0.3)
        async with plugin_rig(program) as rig:
            pid = rig.plugin.workers.pid
            await rig.plugin.stop()
            assert not alive(pid)
            assert rig.plugin.workers.last_exit == ""

    run(work())


def test_worker_has_time_to_act_on_sigterm(tmp_path):
    trace = tmp_path / "terminated"

    async def work():
        program = probe(tmp_path, SOURCE + TERM.format(str(trace)), stop_timeout=1.0)
        async with plugin_rig(program):
            pass

    run(work())
    assert trace.exists()


def test_fault_in_stop_is_logged_and_ends_the_worker(tmp_path, caplog):
    source = SOURCE + "\n    def stop(self): raise OSError('GPU lost')\n"

    async def work():
        async with plugin_rig(probe(tmp_path, source)) as rig:
            pid = rig.plugin.workers.pid
        assert not alive(pid)

    run(work())
    assert "GPU lost" in caplog.text


def test_stop_while_busy_ends_the_worker_and_accounts_for_the_frames(tmp_path):
    async def work():
        before = descriptors()
        async with plugin_rig(probe(tmp_path, stop_timeout=0.3)) as rig:
            pid = rig.plugin.workers.pid
            frames = [asyncio.create_task(rig.process("time.sleep(60)")) for _ in range(3)]
            await rig.until(lambda: rig.plugin.workers.state is WorkerState.BUSY)
            await rig.plugin.stop()  # long before the sleep of 60 s ends
            assert not alive(pid)
            assert rig.balanced()
            assert rig.plugin.counters.dropped == 3
            assert rig.plugin.workers.state is WorkerState.STOPPED
            for task in frames:
                task.cancel()
        await asyncio.gather(*frames, return_exceptions=True)
        assert descriptors() <= before

    run(work())


def test_stop_while_the_worker_starts_leaves_no_process(tmp_path):
    marker = tmp_path / "pid"
    slow = f"import os, time\nopen({str(marker)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"

    async def work():
        async with plugin_rig(probe(tmp_path, stop_timeout=0.3)) as rig:
            probe(tmp_path, slow + SOURCE)
            os.kill(rig.plugin.workers.pid, signal.SIGKILL)
            await rig.until(lambda: rig.plugin.workers.state is WorkerState.STARTING)
            pid = rig.plugin.workers.pid
            await rig.plugin.stop()
            assert pid
            assert not alive(pid)

    run(work())


def test_many_crashes_leave_no_descriptors(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            open_files = []
            for _ in range(4):
                await rig.process("self.new_image((50, 50), 'uint8'); os._exit(1)")
                assert not (await rig.process()).failed
                rig.published.clear()
                open_files.append(descriptors())
            assert open_files[1:] == open_files[1:2] * 3
            assert rig.balanced()

    run(work())


PARENT = """
import asyncio, sys
from pathlib import Path
from tests.pipeline.rig import frame, plugin_rig, probe

async def work():
    async with plugin_rig(probe(Path(sys.argv[1]))) as rig:
        outcome = await rig.process("result = Figures(number=os.getpid())")
        rig.source.publish(frame(rig.pool, sys.argv[2]))
        await rig.until(lambda: len(rig.plugin.queue) < 1 if sys.argv[2] else True)
        print(outcome.outputs["number"], flush=True)
        await asyncio.Event().wait()

asyncio.run(work())
"""


@pytest.mark.parametrize("busy_with", ["", "while True: pass", "ctypes.PyDLL(None).sleep(60)"])
def test_worker_ends_with_a_parent_that_is_killed(tmp_path, busy_with):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PARENT, str(tmp_path), busy_with]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        with ending(int(parent.stdout.readline())) as ended:
            parent.kill()
            assert ended()


@contextmanager
def ending(pid: int) -> Iterator[Callable[[], bool]]:
    """Watch a process that is alive; what this gives waits for its end."""
    watched = os.pidfd_open(pid)
    assert alive(pid)
    yield lambda: bool(select.select([watched], [], [], 5.0)[0])
    os.close(watched)


def test_process_again_needs_a_last_array(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            with pytest.raises(ConfigurationError, match="expected a last array, got none"):
                rig.plugin.process_again()

    run(work())
