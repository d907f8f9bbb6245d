"""Whatever an algorithm has started is gone within a second of its worker's end, or the IOC's."""

import asyncio
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pipeline import family
from tests.pipeline.family import Watch
from tests.pipeline.rig import Rig, alive, plugin_rig, probe, run
from tosip.pipeline import guard_main
from tosip.pipeline.guard import GUARD, Guard
from tosip.pipeline.jobs import Program

ROOT = Path(__file__).parents[2]
START = """
import family
self.family = getattr(self, 'family', None) or family.Family()
result = Result(Figures(), message=str(self.family))
"""
IOC = """
import asyncio, sys
from pathlib import Path
from tests.pipeline.rig import plugin_rig, probe
from tosip.pipeline.guard import GUARD

async def work():
    async with plugin_rig(probe(Path(sys.argv[1]), stop_timeout=0.3)) as rig:
        for line in iter(sys.stdin.readline, ""):
            outcome = await rig.process(line.encode().decode("unicode_escape"))
            print(GUARD.pid, outcome.message, flush=True)

asyncio.run(work())
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    beside = Path(family.__file__)
    (tmp_path / "family.py").write_text(beside.read_text())
    return probe(tmp_path, stop_timeout=0.5)


class Ioc:
    """A process with a plugin that does what it is told."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", IOC, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def do(self, code: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(code.encode("unicode_escape").decode() + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


@contextmanager
def ioc(program: Program) -> Iterator[Ioc]:
    made = Ioc(program.file.parent)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


async def started(rig: Rig) -> Watch:
    return Watch((await rig.process(START)).message)


def test_all_end_with_an_ioc_that_is_killed(program):
    with ioc(program) as parent:
        watch = Watch(parent.do(START))  # with the guard
        parent.process.kill()
        watch.wait()
        watch.close()


def test_all_end_with_an_ioc_that_ends(program):
    with ioc(program) as parent:
        watch = Watch(parent.do(START))
        parent.process.communicate(timeout=20)
        assert parent.process.returncode == 0
        assert not watch.left()
        watch.close()


def test_all_end_with_an_ioc_that_is_killed_while_the_algorithm_is_imported(tmp_path):
    trace = tmp_path / "pid"
    (tmp_path / "family.py").write_text(Path(family.__file__).read_text())
    source = f"import family, os, time\nopen({str(trace)!r}, 'w').write(f'{{family.daemon()}} ')\n"
    script = IOC.replace("stop_timeout=0.3", f"source={source + 'time.sleep(60)'!r}")
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as parent:
        while not trace.exists() or not trace.read_text().endswith(" "):
            time.sleep(0.01)
        watch = Watch(trace.read_text())
        parent.kill()
        watch.wait()
        watch.close()


@pytest.mark.parametrize(
    "end", ["os._exit(0)", "ctypes.string_at(0)", "os.kill(os.getpid(), signal.SIGKILL)"]
)
def test_all_end_with_a_worker_that_ends(program, end):
    async def work():
        async with plugin_rig(program) as rig:
            watch = await started(rig)
            assert (await rig.process(end)).failed
            watch.wait()
            watch.close()
            assert not (await rig.process()).failed

    run(work())


def test_all_end_with_a_worker_that_takes_too_long(program):
    async def work():
        async with plugin_rig(program, process_timeout=20.0) as rig:
            watch = await started(rig)
            rig.plugin.process_timeout = 0.2
            assert (await rig.process("time.sleep(60)")).failed
            watch.wait()
            watch.close()

    run(work())


def test_all_end_when_the_plugin_stops(program):
    async def work():
        async with plugin_rig(program) as rig:
            watch = await started(rig)
            await rig.plugin.stop()
            watch.wait()
            watch.close()

    run(work())


def test_what_another_worker_started_lives_on(program):
    async def work():
        async with plugin_rig(program) as one, plugin_rig(program) as other:
            ended, going = await started(one), await started(other)
            assert (await one.process("os._exit(1)")).failed
            ended.wait()
            assert going.left() == going.pids
            await other.plugin.stop()
            going.wait()
            ended.close()
            going.close()

    run(work())


# Each process lives for a moment only: it starts the next one and ends.
CHAIN = """
if os.fork() == 0:
    os.setsid()
    trace = os.open(FILE, os.O_WRONLY | os.O_APPEND)
    while os.write(trace, b"."):
        if os.fork():
            os._exit(0)
result = Figures()
"""


def test_process_that_starts_another_and_ends_is_caught(program, tmp_path):
    trace = tmp_path / "trace"
    trace.touch()

    async def work():
        async with plugin_rig(program) as rig:
            await rig.process(CHAIN.replace("FILE", repr(str(trace))))
            while trace.stat().st_size < 20:
                await asyncio.sleep(0.01)
            await rig.plugin.stop()
            async with asyncio.timeout(20):
                while await grows(trace):
                    pass

    run(work())


async def grows(file: Path) -> bool:
    before = file.stat().st_size
    await asyncio.sleep(0.1)
    return file.stat().st_size > before


def test_guard_that_is_killed_is_replaced_and_the_new_one_knows_the_workers(program, caplog):
    async def work():
        async with plugin_rig(program) as rig:
            watch = await started(rig)
            first = GUARD.pid
            os.kill(first, signal.SIGKILL)
            async with asyncio.timeout(20):
                while GUARD.pid in (0, first):
                    await asyncio.sleep(0.01)
            assert (await rig.process("os._exit(1)")).failed
            watch.wait()
            watch.close()

    run(work())
    assert "another takes its place" in caplog.text


def test_worker_that_ends_while_there_is_no_guard_is_swept_by_the_next(program):
    async def work():
        async with plugin_rig(program) as rig:
            watch = await started(rig)
            os.kill(GUARD.pid, signal.SIGKILL)
            assert (await rig.process("os._exit(1)")).failed
            watch.wait()
            watch.close()

    run(work())


def test_guard_lets_no_signal_of_a_terminal_end_it():
    GUARD.start()
    watched = os.pidfd_open(GUARD.pid)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        os.kill(GUARD.pid, number)
    assert not select.select([watched], [], [], 0.1)[0]
    assert os.getsid(GUARD.pid) == GUARD.pid
    os.close(watched)


def test_guard_holds_nothing_of_the_ioc():
    GUARD.start()
    links = {os.readlink(f"/proc/{GUARD.pid}/fd/{n}") for n in os.listdir(f"/proc/{GUARD.pid}/fd")}
    assert {link.split(":")[0] for link in links} == {"socket", "/dev/null"}


def test_process_without_a_mark_is_left_alone():
    sweeps = {42: guard_main.Sweep()}
    with subprocess.Popen(["sleep", "60"]) as child:
        assert guard_main.kill_if_marked(child.pid, sweeps) == 0
        assert alive(child.pid)
        resource.prlimit(child.pid, guard_main.RLIMIT_LOCKS, (42, 42))
        assert guard_main._mark_in_proc(child.pid) == guard_main.mark_of(child.pid) == 42
        assert guard_main.kill_if_marked(child.pid, sweeps) == 42
        watch = Watch(str(child.pid))
        watch.wait()
        watch.close()
        # Nobody has waited for it yet: it is to be found once more, and then no more.
        assert guard_main.kill_if_marked(child.pid, sweeps) == 42
        assert guard_main.kill_if_marked(child.pid, sweeps) == 0


def test_guard_ends_what_is_marked_when_it_is_closed_and_then_itself():
    guard = Guard()
    guard.start()
    with subprocess.Popen(["sleep", "60"]) as child:
        assert guard.watch(child.pid)
        watch = Watch(f"{child.pid} {guard.pid}")
        guard.close()
        watch.wait()
        watch.close()
