"""What the server remembers of one control connection, and what all of them share."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tosip.errors import TosipError
from tosip.gateway.receiving.data import Port
from tosip.gateway.receiving.memory import Memory, Received
from tosip.gateway.server.crowd import Crowd, Guest
from tosip.gateway.settings import GatewaySettings
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import Entry
from tosip.gateway.threads import Threads

FACTS = ("type", "size", "modify")


class Refusal(TosipError):
    """A command that is answered with an error: `code`, and the message as its text."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Transfer(Protocol):
    """Something on a data connection."""

    def abort(self, cause: str) -> None:
        """End it from outside, giving a cause; the first one counts."""


@dataclass(frozen=True)
class Shared:
    """What all control connections work with. `tls` is there when a certificate is configured."""

    settings: GatewaySettings
    spool: Spool
    threads: Threads
    memory: Memory
    crowd: Crowd
    tls: ssl.SSLContext | None
    camera: Callable[[str, str, Mapping[str, str]], str]
    on_stored: Callable[[Entry, Received | None], None]
    on_refused: Callable[[str], None]


@dataclass(eq=False)
class Session:
    """One control connection.

    `peer` is the client's address, `host` ours, with a zone where that is needed. `login_by` and
    `active` are in loop time. It begins in TYPE A, as RFC 959 wants it (`ascii`). `port` waits for
    the next transfer, which takes it with `take_port`. `ready` is set while no command is being
    acted on; `over` means that no other will be, `lost` that replies do not arrive.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    guest: Guest
    peer: str
    host: str
    login_by: float
    serving: asyncio.Task[Any] | None = None
    claimed: str | None = None
    wrong_passwords: int = 0
    shaking_hands: bool = False
    secured: bool = False
    buffer_told: bool = False
    protected: bool = False
    folder: tuple[str, ...] = ()
    ascii: bool = True
    extended_only: bool = False
    facts: tuple[str, ...] = FACTS
    expected: int | None = None
    restart: int = 0
    rename_from: str = ""
    port: Port | None = None
    transfer: Transfer | None = None
    task: asyncio.Task[None] | None = None
    status: Callable[[], str] = lambda: "idle"
    active: float = 0.0
    quitting: bool = False
    lost: bool = False
    over: bool = False
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    replies: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    workers: set[asyncio.Task[bool]] = field(default_factory=set)

    @property
    def user(self) -> str:
        """Who has logged in; empty before."""
        return self.guest.user

    def reply(self, code: str, text: str) -> None:
        """Queue a reply of one line."""
        self.replies.put_nowait((code, text))

    def reply_lines(self, code: str, lines: Sequence[str]) -> None:
        """Queue a reply whose first and last lines have the code, and those between a blank."""
        self.replies.put_nowait((code, lines, True))

    def close(self, code: str, text: str) -> None:
        """Queue the last reply."""
        self.reply(code, text)
        self.over = True

    def take_port(self) -> Port | None:
        """Return the port that PASV, EPSV, PORT or EPRT made; it serves one transfer only."""
        port, self.port = self.port, None
        return port

    def drop_port(self) -> None:
        """Take no data connection on the port that was made, if one was."""
        if (port := self.take_port()) is not None:
            port.close()

    def forget_login(self) -> None:
        """Put all that a user has set back to what a new connection has."""
        self.claimed = None
        self.folder, self.ascii, self.extended_only, self.facts = (), True, False, FACTS
        self.expected, self.restart, self.rename_from = None, 0, ""
        self.drop_port()

    def begin(
        self, transfer: Transfer, work: Awaitable[None], status: Callable[[], str]
    ) -> asyncio.Task[None]:
        """Let a transfer run beside the commands that are allowed during one.

        `status` is what STAT tells meanwhile.
        """
        self.transfer, self.status = transfer, status
        self.task = asyncio.ensure_future(self._run(work))
        self.workers.add(asyncio.ensure_future(self._ended(self.task)))
        return self.task

    async def _run(self, work: Awaitable[None]) -> None:
        try:
            await work
        finally:
            self.end()

    def end(self) -> None:
        """Say that no transfer runs any more; to be called before its last reply is queued.

        The client may send its next command as soon as it has read that reply.
        """
        self.transfer = None
        self.active = asyncio.get_running_loop().time()

    async def _ended(self, task: asyncio.Task[None]) -> bool:
        await asyncio.shield(task)
        if self.quitting:
            self.close("221", "bye")
        return not self.over


Verb = Callable[[Session, str], Awaitable[None]]
