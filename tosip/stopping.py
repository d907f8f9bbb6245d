"""What our programs do when a signal stops them.

A program that was started with SIGHUP ignored (by `nohup`) keeps ignoring it.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tosip.signals import STOPPING

T = TypeVar("T")


class Stopped(Exception):
    """A signal has stopped the program before it was done; `status` is a shell's name for it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def on_stop(stop: Callable[[int], object]) -> None:
    """Call `stop` with the signal's number, on the running loop, for each stopping signal."""
    loop = asyncio.get_running_loop()
    for number in STOPPING:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop, number)


def run(work: Coroutine[Any, Any, T]) -> tuple[T, int]:
    """Run a command's work; a stopping signal cancels it.

    Return what it returns, and 128 + the signal's number if one has come and the work has ended
    with what it had, else 0. Raises Stopped if the work was cancelled.
    """
    numbers: list[int] = []

    async def stoppable() -> T:
        task = asyncio.current_task()

        def stop(number: int) -> None:
            numbers.append(number)
            if task:
                task.cancel()

        on_stop(stop)
        return await work

    try:
        result = asyncio.run(stoppable())
    except asyncio.CancelledError:
        raise Stopped(numbers[0] if numbers else signal.SIGINT) from None
    return result, 128 + numbers[0] if numbers else 0


@contextmanager
def until_cancelled() -> Iterator[None]:
    """End the `with` when the task is cancelled, and go on behind it with what was done so far."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task:
            task.uncancel()
