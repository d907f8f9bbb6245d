"""Passwords are tried in turn, so that nobody's guesses hold up another's log-in.

Trying one costs a thread some 50 ms, so few are tried at once. Each waits first for those with the
same name at its address, then for the other names there, then for the other addresses: so addresses
take turns, and within an address names do. After a wrong one its address has no turn for a while,
on whatever connection, which is what makes guessing slow.

When too many wait, the last one of the address, and there of the name, that has most is given up.
So a camera that shares its address with somebody who guesses still gets its turn.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

AT_ONCE = 2


@dataclass(frozen=True, eq=False)
class _Waiting:
    address: str
    name: str
    patience: asyncio.Timeout


class Turns:
    """Lets passwords be tried; `most` may wait, and `delay` s are between guesses of an address."""

    def __init__(self, most: int, delay: float) -> None:
        self._most, self._delay = most, delay
        self._waiting: dict[_Waiting, None] = {}
        # A lock is kept by those who wait for it or hold it.
        self._locks: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()
        self._threads = asyncio.Semaphore(AT_ONCE)

    async def take(
        self, address: str, name: str, until: float, attempt: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Return what `attempt` returns, when its turn comes.

        TimeoutError when that is not done `until` then, in loop time, or when too many wait. Who is
        cancelled waits no more.
        """
        async with asyncio.timeout_at(until) as patience:
            waiting = _Waiting(address, name, patience)
            self._waiting[waiting] = None
            try:
                if len(self._waiting) > self._most:
                    self._give_up_one()
                return await self._in_turn(waiting, attempt)
            finally:
                self._waiting.pop(waiting, None)

    async def _in_turn(self, waiting: _Waiting, attempt: Callable[[], Awaitable[bool]]) -> bool:
        of_address = self._lock(waiting.address)
        async with self._lock(waiting.address, waiting.name):
            await of_address.acquire()
            pause = self._delay
            try:
                async with self._threads:
                    self._waiting.pop(waiting, None)
                    right = await attempt()
                pause = 0.0 if right else pause
                return right
            finally:
                asyncio.get_running_loop().call_later(pause, of_address.release)

    def _lock(self, *key: str) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    def _give_up_one(self) -> None:
        addresses = Counter(one.address for one in self._waiting)
        names = Counter((one.address, one.name) for one in self._waiting)
        last = max(
            reversed(self._waiting),
            key=lambda one: (addresses[one.address], names[one.address, one.name]),
        )
        del self._waiting[last]
        if not last.patience.expired():
            last.patience.reschedule(asyncio.get_running_loop().time())
