"""Algorithms that misuse the process they run in: neither the IOC nor a neighbour notices.

Deaths and time-outs of the common kind are in `test_supervision`, what is left behind in
`test_guard`, and workers that break the protocol on purpose in `test_hostile`.
"""

import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.rig import SOURCE, Rig, alive, descriptors, plugin_rig, probe, run
from tosip.errors import WorkerError
from tosip.pipeline.jobs import Program

EVERY_FD = "[int(name) for name in os.listdir('/proc/self/fd')]"

HARMLESS = {
    "floods its output": "for fd in (1, 2): [os.write(fd, b'rubbish ' * 8192) for _ in range(64)]",
    "prints a line without an end": "[os.write(1, bytes(65536)) for _ in range(64)]",
    "closes its output": "os.closerange(0, 3)",
    "closes its output as Python does": "sys.stdout.close(); sys.stderr.close()",
    "ignores signals": "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 13, 15, 17)]",
    "blocks all signals": "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))",
    "has an alarm": "signal.signal(signal.SIGALRM, print); signal.setitimer(0, 1e-3, 1e-3)",
    "starts thousands of threads": (
        "import threading\n"
        "for _ in range(2000): threading.Thread(target=time.sleep, args=(600,)).start()"
    ),
    "goes elsewhere": "os.umask(0o777); os.chdir('/'); os.environ.clear(); sys.path.clear()",
    "leaves a fork behind": "if os.fork() == 0: time.sleep(600)",
    "a fork of it raises": (
        "if os.fork() == 0:\n    os.close(int(sys.argv[1]))\n    raise OSError"
    ),
    "has no memory left to allocate": "import resource; resource.setrlimit(9, (2 ** 28, 2 ** 28))",
    "sets a trace": "sys.settrace(lambda *_: None); sys.setrecursionlimit(60)",
    "is full of garbage": "import gc; gc.disable(); self.loop = [self]",
}
DEADLY = {
    "closes every descriptor": "os.closerange(0, 1000)",
    "writes to every descriptor": (
        f"for fd in {EVERY_FD}:\n"
        "    try: os.set_blocking(fd, False); os.write(fd, os.urandom(3000))\n"
        "    except OSError: pass"
    ),
    "shuts every descriptor down": (
        "import socket\n"
        f"for fd in {EVERY_FD}:\n"
        "    try: socket.socket(fileno=fd).shutdown(socket.SHUT_RDWR)\n"
        "    except OSError: pass"
    ),
    "becomes a daemon": (
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "for fd in range(3): os.dup2(os.open(os.devnull, os.O_RDWR), fd)\n"
        "time.sleep(0.5)"
    ),
    "becomes another program": "os.execv('/bin/sleep', ['sleep', '600'])",
    "kills its group": "os.killpg(0, signal.SIGKILL)",
    "is stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "waits for itself": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "waits for a child that hangs": (
        "import multiprocessing as m\n"
        "child = m.get_context('spawn').Process(target=time.sleep, args=(600,))\n"
        "child.start(); child.join()"
    ),
    "waits for a pool that hangs": (
        "import multiprocessing as m\nm.get_context('fork').Pool(2).map(time.sleep, [600, 600])"
    ),
    "reads what the IOC has to say": "while True: os.read(int(sys.argv[1]), 99999)",
    "allocates beyond its limit": (
        "import resource; resource.setrlimit(9, (2 ** 28, 2 ** 28))\nbytearray(2 ** 30)"
    ),
    "recurses without end in C": (
        "sys.setrecursionlimit(10 ** 9)\n"
        "exec('def f(): return list(map(lambda _: f(), [1]))\\nf()', {})"
    ),
}
WAYS = {
    "sys.exit": ("sys.exit(3)", "SystemExit: 3"),
    "memory": ("raise MemoryError('none left')", "MemoryError: none left"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "os._exit": ("os._exit(3)", "exit status 3"),
    "segfault": ("ctypes.string_at(0)", "killed by SIGSEGV"),
    "sleep in C": ("ctypes.PyDLL(None).sleep(60)", "not ready in 1 s"),
}
FAULTS = ("sys.exit", "memory", "interrupt")


@asynccontextmanager
async def neighbours(folder: Path, **options: Any) -> AsyncIterator[tuple[Rig, Rig]]:
    """A plugin to be abused and another that is not to notice."""
    (folder / "good").mkdir()
    program = probe(folder, stop_timeout=0.3)
    async with (
        plugin_rig(probe(folder / "good")) as good,
        plugin_rig(program, **options) as bad,
    ):
        await good.process()
        await bad.process()
        yield bad, good


def handles() -> int:
    """How many descriptors are open: without the frames' own, whose number the pool decides."""
    everything = descriptors()
    return everything - sum("memfd:tosip" in link for link in links())


def links() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the folder's own
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found


async def check(good: Rig) -> None:
    """A neighbour is well if nothing has become of it."""
    outcome = await good.process()
    assert outcome.outputs is not None
    assert outcome.outputs["total"] == 20.0
    assert good.plugin.workers.restarts == 0


@pytest.mark.parametrize("code", HARMLESS.values(), ids=HARMLESS)
def test_worker_goes_on(tmp_path, code):
    async def work():
        async with neighbours(tmp_path) as (bad, good):
            pid, before = bad.plugin.workers.pid, handles()
            outcome = await bad.process(code)
            assert not outcome.failed, outcome.message
            await check(good)
            assert not (await bad.process()).failed
            assert bad.plugin.workers.pid == pid
            assert handles() <= before
        assert not alive(pid)

    run(work())


@pytest.mark.parametrize("code", DEADLY.values(), ids=DEADLY)
def test_frame_fails_and_the_next_does_not(tmp_path, code):
    async def work():
        async with neighbours(tmp_path, process_timeout=1.0) as (bad, good):
            pid, before = bad.plugin.workers.pid, handles()
            outcome = await bad.process(code)
            print(outcome.message)
            assert outcome.failed
            await check(good)
            bad.plugin.process_timeout = 20.0
            assert not (await bad.process()).failed
            await check(good)
            assert handles() <= before
            assert bad.balanced()
            if bad.plugin.workers.pid != pid:
                assert not alive(pid)

    run(work())


def broken(folder: Path, stage: str, code: str) -> Program:
    """An algorithm that does `code` at a stage."""
    source = SOURCE
    if stage == "import":
        source = source.replace("class Band", f"{code}\n\n\nclass Band")
    else:
        source += f"\n    def {stage}(self):\n        {code}\n"
    (folder / "broken").mkdir()
    limit = 1.0 if "sleep" in code else 20.0
    return probe(folder / "broken", source, start_timeout=limit, stop_timeout=0.3)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", ["import", "__init__", "start"])
def test_plugin_that_cannot_start_says_why(tmp_path, stage, way):
    async def work():
        async with plugin_rig(probe(tmp_path)) as good:
            await check(good)
            before = handles()
            code, words = WAYS[way]
            with pytest.raises(WorkerError, match=words):
                async with plugin_rig(broken(tmp_path, stage, code)):
                    pass
            await check(good)
            assert handles() <= before

    run(work())


@pytest.mark.parametrize("way", FAULTS)
def test_worker_that_raises_in_process_goes_on(tmp_path, way):
    async def work():
        async with neighbours(tmp_path) as (bad, good):
            pid, before = bad.plugin.workers.pid, handles()
            assert (await bad.process(WAYS[way][0])).failed
            assert not (await bad.process()).failed
            assert bad.plugin.workers.pid == pid
            await check(good)
            assert handles() <= before

    run(work())


@pytest.mark.parametrize("way", WAYS)
def test_worker_that_breaks_in_stop_is_gone(tmp_path, way):
    async def work():
        async with plugin_rig(probe(tmp_path)) as good:
            await check(good)
            before = handles()
            async with plugin_rig(broken(tmp_path, "stop", WAYS[way][0])) as rig:
                pid = rig.plugin.workers.pid
                assert not (await rig.process()).failed
            assert not alive(pid)
            await check(good)
            assert handles() <= before

    run(work())


def test_fork_is_not_taken_for_the_worker(tmp_path):
    trace = tmp_path / "pid"
    fork = "pid = os.fork()\nif pid: os.write(os.open(FILE, 65), str(pid).encode()); os._exit(0)"
    fork = fork.replace("FILE", repr(str(trace)))

    async def work():
        async with neighbours(tmp_path) as (bad, good):
            assert (await bad.process(fork)).failed
            await bad.until(lambda: bad.plugin.workers.restarts == 1)
            assert bad.plugin.workers.last_exit == "exit status 0"
            assert not (await bad.process()).failed
            assert not alive(int(trace.read_text()))
            await check(good)

    run(work())


def test_fork_that_goes_on_beside_the_worker_cannot_answer(tmp_path):
    async def work():
        async with neighbours(tmp_path) as (bad, good):
            pid, before = bad.plugin.workers.pid, bad.plugin.counters.processed
            for _ in range(5):
                assert not (await bad.process("os.fork()")).failed
            assert bad.plugin.counters.processed == before + 5
            assert bad.plugin.workers.pid == pid
            await check(good)

    run(work())


def test_descriptors_that_a_worker_sees_are_few(tmp_path):
    async def work():
        async with neighbours(tmp_path) as (bad, _):
            told = f"result = Result(Figures(), message=str(len({EVERY_FD})))"
            outcome = await bad.process(told)
            assert int(outcome.message) <= 8

    run(work())
