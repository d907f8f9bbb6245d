"""Whose password is tried next, who waits, and who is given up."""

import asyncio
import contextlib

import pytest

from tosip.gateway.server.turns import AT_ONCE, Turns


class Desk:
    """Passwords that are being tried; each is found wrong unless told otherwise."""

    def __init__(self, most=9, delay=0.0):
        self.turns = Turns(most, delay)
        self.tried: list[str] = []
        self.at_once = self.most_at_once = 0
        self.open = asyncio.Event()

    def take(self, who, right=False, patience=5.0):
        """Let `address/name/password` wait for its turn."""
        address, name, _ = who.split("/")

        async def attempt():
            self.tried.append(who)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await self.open.wait()
            self.at_once -= 1
            return right

        until = asyncio.get_running_loop().time() + patience
        return asyncio.ensure_future(self.turns.take(address, name, until, attempt))

    async def all(self, *who):
        """Let them come in this order, and then be tried."""
        takes = [self.take(one) for one in who]
        await settle()
        self.open.set()
        return await asyncio.gather(*takes, return_exceptions=True)


async def settle():
    """Let everybody come as far as possible."""
    for _ in range(9):
        await asyncio.sleep(0)


def test_few_are_tried_at_once_and_one_of_an_address():
    async def scenario():
        desk = Desk()
        await desk.all("a/x/1", "a/y/1", "b/x/1", "c/x/1", "d/x/1")
        assert desk.most_at_once == AT_ONCE
        assert desk.tried[:2] == ["a/x/1", "b/x/1"]
        assert len(desk.tried) == 5

    asyncio.run(scenario())


def test_addresses_take_turns_and_names_within_one():
    async def scenario():
        desk = Desk()
        await desk.all("a/x/1", "b/x/1", "a/x/2", "a/x/3", "a/y/1", "c/x/1")
        assert desk.tried.index("c/x/1") == 2
        assert desk.tried.index("a/y/1") < desk.tried.index("a/x/3")

    asyncio.run(scenario())


def test_wrong_one_makes_its_address_wait_and_no_other():
    async def scenario():
        desk, clock = Desk(delay=2.0), asyncio.get_running_loop().time
        desk.open.set()
        start = clock()
        assert not await desk.take("a/x/1")
        waits = asyncio.ensure_future(desk.take("a/y/right", right=True))
        assert not await desk.take("b/x/1")
        assert not waits.done()
        assert await waits
        assert clock() - start >= 2.0
        start = clock()
        assert await desk.take("a/y/right", right=True)
        assert clock() - start < 2.0

    asyncio.run(scenario())


def test_who_hangs_up_during_the_attempt_has_guessed_too():
    async def scenario():
        desk, clock = Desk(delay=0.2), asyncio.get_running_loop().time
        guess = desk.take("a/x/1")
        await settle()
        start = clock()
        guess.cancel()
        desk.open.set()
        await desk.take("a/x/2")
        assert clock() - start >= 0.2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("waiting", "comes", "given_up"),
    [
        (["a/x/1", "a/x/2", "a/x/3"], "b/x/1", "a/x/3"),
        (["a/x/1", "a/x/2", "b/x/1"], "a/y/1", "a/x/2"),
        (["a/x/1", "b/x/1", "c/x/1"], "d/x/1", "d/x/1"),
    ],
)
def test_when_too_many_wait_the_last_of_the_greediest_is_given_up(waiting, comes, given_up):
    async def scenario():
        desk = Desk(most=3)
        tried = [desk.take(who) for who in ("t/x/1", "u/x/1")]
        await settle()
        order = [*waiting, comes]
        outcomes = await desk.all(*order)
        failed = [who for who, found in zip(order, outcomes, strict=True) if found is not False]
        assert failed == [given_up]
        assert given_up not in desk.tried
        assert not any(await asyncio.gather(*tried))

    asyncio.run(scenario())


@pytest.mark.parametrize("hang_up", [True, False])
def test_who_waits_no_more_is_not_tried(hang_up):
    async def scenario():
        desk = Desk()
        first, second = desk.take("a/x/1"), desk.take("a/x/2", patience=0.05)
        await settle()
        if hang_up:
            second.cancel()
        with contextlib.suppress(asyncio.CancelledError), pytest.raises(TimeoutError):
            await second
        desk.open.set()
        await first
        await desk.take("a/x/3")
        assert desk.tried == ["a/x/1", "a/x/3"]

    asyncio.run(scenario())
