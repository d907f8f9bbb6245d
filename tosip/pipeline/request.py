"""One question to a worker that has no frame in hand, such as `save`, and its answer."""

import asyncio
from typing import Any

from tosip.errors import ProtocolError
from tosip.pipeline import socketpair
from tosip.pipeline.channel import Channel
from tosip.pipeline.child import Child
from tosip.pipeline.jobs import AlgorithmFault, NoAnswer, WorkerDied
from tosip.pipeline.protocol import Message
from tosip.shortage import in_words

LONGEST_WORDS = 16 * 1024

Answered = tuple[Message, list[int]]
"""The answer, and the descriptors beside it, which the one who has asked has to close."""


class Request:
    """What a worker process is asked, one question at a time."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._asked: tuple[str, asyncio.Future[Answered]] | None = None

    @property
    def pending(self) -> bool:
        """Whether an answer is waited for."""
        return self._asked is not None

    async def ask(
        self, channel: Channel, type_: str, answer: str, timeout: float, *sent: int, **fields: Any
    ) -> Answered:
        """Send a message and wait for the answer of type `answer`.

        AlgorithmFault if the user's code raises. NoAnswer if there is none after `timeout` seconds:
        the process is killed then. WorkerDied if it ends.
        """
        answered: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._asked = (answer, answered)
        try:
            channel.send(type_, *sent, **fields)
            async with asyncio.timeout(timeout):
                return await answered
        except TimeoutError:
            await self._child.kill(f"{type_}: no answer in {timeout:g} s")
            raise NoAnswer(self._child.exit_words) from None
        except (OSError, MemoryError) as error:
            raise WorkerDied(f"not asked to {type_}: {in_words(error)}") from error
        except asyncio.CancelledError:
            if answered.done() and not answered.cancelled() and not answered.exception():
                socketpair.close(answered.result()[1])
            raise
        finally:
            self._asked = None

    def answered(self, message: Message, descriptors: list[int]) -> bool:
        """Take a message if it is the answer; False if none is waited for."""
        if self._asked is None or self._asked[1].done():
            return False
        type_, answered = self._asked
        try:
            check_type(message, type_, None)
            answered.set_result((message, descriptors.copy()))
            descriptors.clear()
        except AlgorithmFault as fault:
            answered.set_exception(fault)
        return True

    def fail(self, error: WorkerDied) -> bool:
        """End the question with an error; False if none waits for an answer."""
        if self._asked is None or self._asked[1].done():
            return False
        self._asked[1].set_exception(error)
        return True


def check_type(message: Message, type_: str, sequence: int | None) -> None:
    """Refuse a message of another type; AlgorithmFault if it says that the algorithm raised."""
    if message.type not in (type_, "failed"):
        raise ProtocolError(f"message: expected {type_}, got {message.type}")
    if message.fields.get("sequence") != sequence:
        raise ProtocolError(f"{message.type}: expected number {sequence}")
    if message.type == "failed":
        raise AlgorithmFault(
            message["stage"][:40],
            message["error"][:LONGEST_WORDS],
            message["traceback"][:LONGEST_WORDS],
        )
