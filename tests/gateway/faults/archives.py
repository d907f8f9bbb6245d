"""Archives that can be killed: they keep what they have below a folder. One of them is hostile."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, cast

from tests.gateway.forwarding.hostile_archive import (
    FEATURES,
    Break,
    Flip,
    HangUp,
    HostileArchive,
    Keep,
    Misbehaviour,
    Mute,
    Say,
    Slow,
)
from tosip.gateway.archive import ArchiveServer

HOST = "127.0.0.1"
LOGIN = ("gateway", "archive's secret")
# Without a hash, nobody could tell that a byte was flipped.
OFFERED = (*FEATURES, "XSHA256")
TRANSFERS = ("STOR", "RETR")
EVERYWHERE: tuple[Misbehaviour, ...] = (
    Say("450 not now"),
    Say("421 good night"),
    Say("550 I do not like this"),
    HangUp(),
    HangUp(reset=True),
    HangUp(after=True),
    Mute(),
    Slow(0.1),
)
IN_TRANSFERS: tuple[Misbehaviour, ...] = (
    Break(0),
    Break(2880),
    Break(2880, "226 thanks", reset=False),
    Keep(1),
    Keep(2880),
    Flip(),
    Say("552 no room"),
)


class FullArchive(ArchiveServer):
    """Has no room as long as a file `full` stands beside its root."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, *LOGIN)
        self._full = root.with_name("full")
        self.commands_mapping["stor"] = self._store

    async def listen(self, port: int) -> None:
        """Listen."""
        await self.start(HOST, port, limit=1 << 20)

    async def _store(self, connection: Any, rest: Any) -> bool:
        if self._full.exists():
            connection.response("552", "no room left")
            return True
        return bool(await self.stor(connection, rest))


class RandomArchive(HostileArchive):
    """Misbehaves with this probability at each transfer, and less often at other commands."""

    def __init__(self, root: Path, seed: int, probability: float) -> None:
        super().__init__(*LOGIN, features=OFFERED)
        self.files = cast("dict[str, bytes]", _Files(root))
        self._dice, self._probability = random.Random(seed), probability

    async def listen(self, port: int) -> None:
        """Listen."""
        await self.start(HOST, port)

    async def close(self) -> None:
        """Hang up."""
        await self.stop()

    def struck(self, verb: str, argument: str = "") -> Misbehaviour | None:
        """Return what is to go wrong with this command."""
        if verb in TRANSFERS and self._dice.random() < self._probability:
            return self._dice.choice(IN_TRANSFERS)
        # For each file there are many more commands than transfers.
        if self._dice.random() < self._probability / 10:
            return self._dice.choice(EVERYWHERE)
        return None


class _Files(MutableMapping[str, bytes]):
    """Files below a folder; one is replaced as a whole, as a rename does."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._new = root.with_name("being-written")

    def __getitem__(self, name: str) -> bytes:
        try:
            return (self._root / name).read_bytes()
        except OSError:
            raise KeyError(name) from None

    def __setitem__(self, name: str, data: bytes) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._new.write_bytes(data)
        os.replace(self._new, path)

    def __delitem__(self, name: str) -> None:
        try:
            (self._root / name).unlink()
        except OSError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        paths = (path for path in self._root.rglob("*") if path.is_file())
        return (str(path.relative_to(self._root)) for path in paths)

    def __len__(self) -> int:
        return sum(1 for _ in self)
