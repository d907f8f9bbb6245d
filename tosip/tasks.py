"""Work that goes on beside everything else, for as long as the process runs.

    self._task = BackgroundTask(f"driver {name}", self._work, self._changed)
    self._task.start()
    ...
    await self._task.stop()

An asyncio task that ends by an error says nothing until someone awaits it. Here the error is logged
with its traceback and counted, the records of `tosip.health` show it with a MAJOR alarm, and the
work is started again after a delay that grows. `stop` never raises what the work has raised.
"""

import asyncio
import errno
import functools
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from tosip.health import HEALTH
from tosip.shortage import is_shortage

FIRST_DELAY = 0.5  # s until work that ended is started again
LONGEST_DELAY = 30.0  # s
SETTLED = 10.0  # s that the work has to run before its last error counts as over

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


class BackgroundTask:
    """Runs `work()`, a coroutine function, from `start` to `stop`.

    `fault` is the error by which it ended last, in words; empty once it has run well again for
    `SETTLED` seconds. `on_change` is called when `fault` changes. Without `restart` the work stays
    ended. Work that returns has done what it had to: it is not started again.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        on_change: Callable[[], object] | None = None,
        *,
        restart: bool = True,
    ) -> None:
        self.name = name
        self.fault = ""
        self._work = work
        self._on_change = on_change
        self._restart = restart
        self._cancelled = False
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it is started, and has not ended for good."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Start the work on the running event loop."""
        self._cancelled = False
        self._task = asyncio.create_task(self._run(), name=self.name)

    def cancel(self) -> None:
        """End the work and do not wait for it."""
        if self._task is not None and not self._cancelled:
            self._task.cancel()  # once: a second time would interrupt how it cleans up
        self._cancelled = True
        self._say("")

    async def stop(self) -> None:
        """End the work, and wait until it has cleaned up."""
        self.cancel()
        await self.ended()

    async def ended(self) -> None:
        """Wait until the work has ended, by itself or because it was cancelled."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _run(self) -> None:
        delay = FIRST_DELAY
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            if await self._run_once() or not self._restart or self._cancelled:
                return
            if loop.time() - begun > LONGEST_DELAY:
                delay = FIRST_DELAY
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)

    async def _run_once(self) -> bool:
        """Run the work to its end; return whether it ended well."""
        settled = asyncio.get_running_loop().call_later(SETTLED, self._say, "")
        try:
            await self._work()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if self._cancelled or task is None or task.cancelling():
                raise
            self._died(error)  # something that it waited for was cancelled, not the work
        except Exception as error:  # noqa: BLE001 (it is logged there)
            self._died(error)
        else:
            self._say("")
            return True
        finally:
            settled.cancel()
        return False

    def _died(self, error: BaseException) -> None:
        HEALTH.task_faults += 1
        again = self._restart and not self._cancelled
        follows = "it is started again" if again else "it stays ended"
        log.error("%s: ended by %r: %s", self.name, error, follows, exc_info=error)
        if not self._cancelled:
            self._say(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)

    def _say(self, fault: str) -> None:
        if fault:
            HEALTH.failing[self] = f"{self.name}: {fault}"
        else:
            HEALTH.failing.pop(self, None)
        if fault == self.fault:
            return
        self.fault = fault
        if self._on_change is not None:
            try:
                self._on_change()
            except Exception:
                log.exception("%s: could not be shown", self.name)


def contain_unhandled(loop: asyncio.AbstractEventLoop) -> None:
    """Count what callbacks of the event loop raise, and errors of tasks that nothing awaits."""

    def handler(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        HEALTH.listener_faults += "exception" in context
        loop.default_exception_handler(context)

    loop.set_exception_handler(handler)


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run what blocks in a thread of asyncio's pool, as `run_in` does."""
    return await run_in(None, functools.partial(function, *args, **kwargs))


async def run_in(pool: Executor | None, function: Callable[[], T]) -> T:
    """Run what blocks in a thread of `pool`; OSError if the system gives no thread for it.

    The function has not run then, and will not: an executor keeps what it found no thread for, and
    would run it later.
    """
    given_up = False

    def once() -> T:
        if given_up:
            raise RuntimeError("given up before it began")
        return function()

    try:
        future = asyncio.get_running_loop().run_in_executor(pool, once)
    except RuntimeError as error:
        given_up = True
        if not is_shortage(error):
            raise
        raise OSError(errno.EAGAIN, "no thread left") from error
    return await future
