"""The process that serves the images: stalled, killed, started again, left alone."""

import logging
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from tests.images.rig import PATIENCE, PREFIX, Updates, client, frame, listeners, ramp, run, serving
from tosip.errors import ProtocolError
from tosip.images import server, session, words
from tosip.testing.ioc import free_port
from tosip.testing.process import LinesProcess

SOON = 5.0  # s; a second is what it takes at most on a machine that is not loaded


def ends_within(pidfd, seconds):
    """Whether a process ends in time."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


@pytest.fixture
def quick(monkeypatch):
    """No test waits longer than it must for another process."""
    monkeypatch.setattr(server, "SHORTEST_DELAY", 0.05)
    monkeypatch.setattr(session, "STOP_TIMEOUT", 0.2)


def test_ioc_does_not_import_p4p():
    code = "import sys, tosip.images; sys.exit('p4p' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_stalled_process_has_one_frame_in_hand_and_gets_the_newest_then(shared):
    async def work(rig):
        async with rig.watching("Image") as updates:
            rig.publish(ramp((4, 5)), 0)
            await updates.image()
            await rig.until(lambda: not rig.slot("Image").busy)
            os.kill(rig.server.pid, signal.SIGSTOP)
            for number in range(1, 50):
                rig.publish(ramp((4, 5)), number)
                assert rig.pool.figures().used_buffers <= 2
            os.kill(rig.server.pid, signal.SIGCONT)
            numbers = [(await updates.image()).raw.uniqueId for _ in range(2)]
            assert numbers == [1, 49]
            assert rig.slot("Image").sent == 3

    shared.run(work)


def test_the_terminals_signals_are_the_iocs_to_handle_and_the_process_is_nice(shared):
    async def work(rig):
        pid = rig.server.pid
        assert os.getsid(pid) == pid
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.nice(0) + 5)
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
        rig.publish(ramp((2, 2)))
        assert (await rig.get("Image")).size == 4
        assert rig.server.pid == pid

    shared.run(work)


def test_large_frame_that_is_watched_costs_the_event_loop_next_to_nothing(shared):
    async def work(rig):
        more = {f"KEY{n}": n for n in range(60)}
        array = frame(rig.pool, ramp((4096, 4096)), 1, **more)
        costs = []
        async with rig.watching("Image") as updates:
            for _ in range(5):
                await rig.until(lambda: not rig.slot("Image").busy)
                begin = time.thread_time()
                rig.port.publish(array)
                costs.append(time.thread_time() - begin)
                await updates.image()
        assert rig.slot("Image").sent == len(costs)
        assert sorted(costs)[2] < 0.005  # to make the image takes 30 ms

    shared.run(work)


def test_thousands_of_attributes_arrive(shared):
    async def work(rig):
        more: dict[str, Any] = {f"KEY{n}": n * 0.5 for n in range(4000)}
        more |= {f"ROW{n}": np.arange(float(n % 9)) for n in range(1000)}
        async with rig.watching("Preview") as updates:
            rig.publish(ramp((4, 5)), 1, **more)
            found = (await updates.image()).attrib
            assert found["KEY3999"] == 1999.5
            assert found["ROW998"].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
            assert len(found) == 5001

    shared.run(work)


def test_what_the_process_prints_is_logged_within_limits(caplog, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # it prints hundreds of lines
    caplog.set_level(logging.INFO)

    async def work():
        async with serving():
            pass
        lines = [each for each in caplog.messages if each.startswith("images: ")]
        assert any("import time:" in line for line in lines)
        assert any("lines more" in line for line in lines)

    run(work())


def test_killed_process_lets_go_of_frames_and_another_one_shows_new_ones(quick, caplog):
    async def work():
        asked = free_port()
        async with serving(asked) as rig:
            with client() as context, (updates := Updates(context, f"{PREFIX}Image")):
                rig.publish(ramp((4, 5)), 1)
                assert (await updates.image()).raw.uniqueId == 1
                first = rig.server.pid
                os.kill(first, signal.SIGSTOP)
                rig.publish(ramp((4, 5)), 2)
                rig.publish(ramp((4, 5)), 3)
                rig.port.last = None
                assert rig.pool.figures().used_buffers == 2
                os.kill(first, signal.SIGKILL)
                await rig.until(lambda: not rig.server.pid)
                assert (rig.pool.figures().used_buffers, listeners(rig.port)) == (0, 0)
                await rig.until(lambda: rig.server.pid > 0)
                rig.publish(ramp((4, 5)), 4)
                while (await updates.image()).raw.uniqueId != 4:
                    pass
                rig.publish(ramp((4, 5)), 5)
                assert (await updates.image()).raw.uniqueId == 5
                assert (rig.server.pid != first, rig.server.restarts) == (True, 1)
                assert rig.server.port == asked
                assert "images: the process ended: killed by SIGKILL" in caplog.text

    run(work())


def test_process_that_cannot_start_again_is_tried_again_later_and_later(quick, caplog, monkeypatch):
    async def work():
        async with serving() as rig:
            with monkeypatch.context() as patch:
                patch.setenv("EPICS_PVAS_INTF_ADDR_LIST", "192.0.2.1")
                assert rig.server._session
                rig.server._session._hear(b'{"watch": "NO SUCH PV"}')
                await rig.until(lambda: "another follows in 0.1 s" in caplog.text)
            await rig.until(lambda: rig.server.restarts == 1)
            assert "process ended: said what was not agreed" in caplog.text
            rig.publish(ramp((2, 2)))
            assert (await rig.get("Image")).size == 4
        assert "TCP port 0" in caplog.text

    run(work())


@pytest.mark.parametrize(
    "said",
    [b"", b"\xff", b"[]", b"{}", b'{"done":1}', b'{"serving":true}', b'{"x":1}', b"[" * 4000],
)
def test_rubbish_is_refused(said):
    with pytest.raises(ProtocolError, match="images: expected one"):
        words.heard(said)


def test_longest_reason_fits_into_a_word():
    said = words.say("failed", "\x01" * 9999)
    assert len(said) < words.LONGEST
    assert words.heard(said)[1].startswith("\x01" * 99)


def test_process_that_hangs_is_ended_by_force(quick):
    async def work():
        async with serving() as rig:
            pidfd = os.pidfd_open(rig.server.pid)
            os.kill(rig.server.pid, signal.SIGSTOP)
        assert ends_within(pidfd, 0)
        os.close(pidfd)

    run(work())


def test_process_ends_with_an_ioc_that_ends_while_a_client_watches():
    ioc = LinesProcess([sys.executable, "-m", "tests.images.ioc", "ONE"])
    pid = int(ioc.wait_line("ready").split()[2])
    pidfd = os.pidfd_open(pid)
    with client() as context, Updates(context, "ONE:CAM:Image") as updates:
        updates.next(PATIENCE)
        assert ioc._process.stdin
        ioc._process.stdin.close()
        assert ioc.wait() == 0
        assert ends_within(pidfd, 0)
    os.close(pidfd)
    assert "ended" in ioc.lines


@pytest.mark.parametrize("stalled", [False, True])
def test_process_ends_with_an_ioc_that_is_killed(stalled):
    ioc = LinesProcess([sys.executable, "-m", "tests.images.ioc", "ONE"])
    pid = int(ioc.wait_line("ready").split()[2])
    pidfd = os.pidfd_open(pid)
    if stalled:
        os.kill(pid, signal.SIGSTOP)
    ioc.signal(signal.SIGKILL)
    assert ends_within(pidfd, SOON if not stalled else PATIENCE)
    os.close(pidfd)
    ioc.stop()
