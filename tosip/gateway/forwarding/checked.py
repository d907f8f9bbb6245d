"""Copies in the spool that were just checked: the next one while the one before it is sent."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import BinaryIO

from tosip.gateway.forwarding.faults import SpoolDamage, SpoolTrouble
from tosip.gateway.forwarding.hashes import Offer, check_copy
from tosip.gateway.spool.stored import StoredFile

# Seconds after which a copy is checked again before it is sent.
FRESH = 5.0


@dataclass(frozen=True)
class Checked:
    """An open copy that is as it was acknowledged, and the hash that the archive should tell."""

    copy: BinaryIO
    hash: str


@dataclass(frozen=True)
class Begun:
    """A check under way or done."""

    offer: Offer | None
    at: float
    result: Future[Checked]


class Copies:
    """Checks copies in threads; at most `ahead` of them before they are asked for."""

    def __init__(self, threads: Executor, ahead: int) -> None:
        self._threads, self._most = threads, ahead
        self._ahead: dict[str, Begun] = {}

    def look_ahead(self, file: StoredFile, offer: Offer | None) -> None:
        """Begin to check a copy that will probably be asked for next."""
        if file.id not in self._ahead:
            while len(self._ahead) >= self._most:
                _drop(self._ahead.pop(next(iter(self._ahead))).result)
            result = self._threads.submit(_check, file, offer)
            self._ahead[file.id] = Begun(offer, time.monotonic(), result)

    async def take(self, file: StoredFile, offer: Offer | None) -> Checked:
        """Return a checked copy, to be closed; SpoolDamage if it is not what came."""
        begun = self._ahead.pop(file.id, None)
        if begun is not None and (begun.offer != offer or time.monotonic() - begun.at > FRESH):
            _drop(begun.result)
            begun = None
        result = begun.result if begun else self._threads.submit(_check, file, offer)
        try:
            return await asyncio.shield(asyncio.wrap_future(result))
        except asyncio.CancelledError:
            _drop(result)
            raise

    def close(self) -> None:
        """Let go of all copies."""
        while self._ahead:
            _drop(self._ahead.popitem()[1].result)


def _check(file: StoredFile, offer: Offer | None) -> Checked:
    try:
        copy = file.path.open("rb", buffering=0)
    except FileNotFoundError:
        raise SpoolDamage("gone from the spool") from None
    except OSError as error:
        raise SpoolTrouble(f"spool file cannot be read: {error.strerror}") from None
    try:
        return Checked(copy, check_copy(file, copy, offer))
    except BaseException:
        copy.close()
        raise


def _drop(result: Future[Checked]) -> None:
    def close(done: Future[Checked]) -> None:
        if not done.cancelled() and done.exception() is None:
            done.result().copy.close()

    result.cancel()
    result.add_done_callback(close)
