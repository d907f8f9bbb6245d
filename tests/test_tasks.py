"""Work in the background: its death is logged, shown and mended; a stop never raises it."""

import asyncio

import pytest

from tests.shortages import no_threads
from tosip import tasks
from tosip.health import HEALTH
from tosip.tasks import BackgroundTask, contain_unhandled, in_thread


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(tasks, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(tasks, "SETTLED", 0.05)


def run(work):
    asyncio.run(asyncio.wait_for(work, 20.0))


def test_work_that_dies_is_logged_shown_and_started_again_until_it_runs_well(caplog):
    async def work():
        tries: list[str] = []
        shown: list[str] = []
        well = asyncio.Event()

        async def fail_twice():
            tries.append("")
            if len(tries) < 3:
                raise KeyError("x")
            await asyncio.Event().wait()

        def changed():
            shown.append(task.fault)
            if not task.fault:
                well.set()

        before = HEALTH.task_faults
        task = BackgroundTask("driver CAM01", fail_twice, changed)
        async with task:
            await well.wait()
            assert shown == ["KeyError: 'x'", ""]
            assert (len(tries), HEALTH.task_faults - before) == (3, 2)
            assert not HEALTH.failing

    run(work())
    assert "driver CAM01: ended by KeyError('x')" in caplog.text
    assert "Traceback" in caplog.text


def test_death_is_in_the_health_until_the_task_is_stopped_and_stop_does_not_raise():
    async def work():
        async def die():
            raise ValueError

        task = BackgroundTask("once", die, restart=False)
        task.start()
        await task.ended()
        assert (task.fault, task.running) == ("ValueError", False)
        assert "once: ValueError" in HEALTH.failing.values()
        await task.stop()
        await task.stop()
        assert not HEALTH.failing

    run(work())


def test_cancelled_future_inside_the_work_is_a_death_not_an_end():
    async def work():
        tries: list[int] = []
        again = asyncio.Event()

        async def wait_for_cancelled():
            tries.append(1)
            if len(tries) == 2:
                again.set()
                await asyncio.Event().wait()
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

        async with BackgroundTask("t", wait_for_cancelled) as task:
            await again.wait()
            assert task.fault == "CancelledError"
        assert not task.running

    run(work())


def test_work_that_raises_when_it_is_stopped_is_not_started_again():
    async def work():
        tries: list[int] = []
        begun = asyncio.Event()

        async def hold():
            tries.append(1)
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                raise OSError

        async with BackgroundTask("t", hold) as task:
            await begun.wait()
        assert (tries, task.running, HEALTH.failing) == ([1], False, {})

    run(work())


def test_work_that_returns_has_done_what_it_had_to():
    async def work():
        tries: list[int] = []

        async def once():
            tries.append(1)

        task = BackgroundTask("t", once)
        task.start()
        await task.ended()
        assert (tries, task.fault) == ([1], "")

    run(work())


def test_callback_of_the_event_loop_that_raises_is_counted(caplog):
    async def work():
        loop = asyncio.get_running_loop()
        contain_unhandled(loop)
        before = HEALTH.listener_faults
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.001)
        assert HEALTH.listener_faults == before + 1

    run(work())
    assert "ZeroDivisionError" in caplog.text


def test_function_without_a_thread_never_runs_and_the_next_one_does():
    async def work():
        ran: list[str] = []
        with no_threads(), pytest.raises(OSError, match="no thread left"):
            await in_thread(ran.append, "late")
        await in_thread(ran.append, "now")
        assert ran == ["now"]

    run(work())
