"""One transfer: control and data connection together, upwards and downwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from typing import Any, BinaryIO

from aioftp.common import Code

from tosip.gateway.forwarding.client import ArchiveClient
from tosip.gateway.forwarding.faults import (
    ArchiveRefusal,
    SpoolDamage,
    SpoolUnreadable,
    UnexpectedReply,
    explain,
    is_about_file,
)
from tosip.gateway.forwarding.sending import DataConnection

Reply = asyncio.Task[tuple[Code, list[str]]]

# How long a reply may take that explains why the data connection broke.
EXPLANATION_TIMEOUT = 5.0


async def store(
    client: ArchiveClient,
    threads: Executor,
    path: object,
    file: BinaryIO,
    size: int,
    sent: Callable[[int], None],
) -> None:
    """Upload `size` bytes of a file; returns when the archive says that it has them."""
    command = f"STOR {path}"
    async with _transfer(client, threads, command) as data, _reply(client) as reply:
        sending = asyncio.ensure_future(data.run(data.send, file, size, sent))
        try:
            await asyncio.wait({sending, reply}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() and not _is_good(reply):
                # It will not read on, and may not say so on the data connection.
                data.abort()
            await asyncio.wait({sending})
        finally:
            _drop(sending)
        await _judge(client, command, sending.exception(), reply, data)


async def fetch(
    client: ArchiveClient,
    threads: Executor,
    command: str,
    most: int,
    take: Callable[[memoryview], object],
) -> int:
    """Hand over what the archive sends, block by block, in a thread; return the size of it.

    It is given up when it is more than `most`: nobody makes us read for ever.
    """
    async with _transfer(client, threads, command) as data, _reply(client) as reply:
        receiving = asyncio.ensure_future(data.run(data.receive, most, take))
        try:
            await asyncio.wait({receiving})
        finally:
            _drop(receiving)
        if receiving.exception() is None and receiving.result() > most:
            # With the connection ends its sending; whatever it says then, the session can go on.
            data.close()
            await _wait_while_it_moves(reply, data, client.archive.timeout)
            reply.result()
        else:
            await _judge(client, command, receiving.exception(), reply, data)
        return receiving.result()


@asynccontextmanager
async def _transfer(
    client: ArchiveClient, threads: Executor, command: str
) -> AsyncIterator[DataConnection]:
    family, address = await client.data_address()
    data = DataConnection(family, client.archive.timeout, threads)
    try:
        await data.connect(address)
        await client.ask_about_file(command, "1xx")
        if client.tls is not None:
            await data.protect(client.tls, client.server_host, client.tls_session)
        yield data
    finally:
        data.close()


@asynccontextmanager
async def _reply(client: ArchiveClient) -> AsyncIterator[Reply]:
    """Listen for the reply that ends the transfer, from now on."""
    reply: Reply = asyncio.create_task(client.parse_response())
    try:
        yield reply
    finally:
        _drop(reply)


def _drop(task: asyncio.Future[Any]) -> None:
    """Wait for a task no longer; that it fails now is nobody's business."""
    task.cancel()
    task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _is_good(reply: Reply) -> bool:
    return reply.exception() is None and reply.result()[0].startswith("2")


async def _judge(
    client: ArchiveClient,
    command: str,
    broken: BaseException | None,
    reply: Reply,
    data: DataConnection,
) -> None:
    """Wait for the reply; raise what is wrong, the archive's own words first."""
    if isinstance(broken, SpoolDamage | SpoolUnreadable):
        raise broken
    if broken is not None:
        await asyncio.wait({reply}, timeout=min(EXPLANATION_TIMEOUT, client.archive.timeout))
        if not reply.done():
            raise broken
    else:
        await _wait_while_it_moves(reply, data, client.archive.timeout)
    try:
        code, lines = reply.result()
    except (OSError, ValueError):
        raise broken or reply.exception() or ConnectionResetError from None
    if not code.startswith("2"):
        error = UnexpectedReply(command, code, lines)
        raise ArchiveRefusal(explain(error)) if is_about_file(error) else error
    if broken is not None:
        raise ArchiveRefusal(f"the archive said {code} before it had all ({explain(broken)})")


async def _wait_while_it_moves(reply: Reply, data: DataConnection, timeout: float) -> None:
    """Wait for the reply, one time-out longer than what the kernel still holds goes on."""
    pace, has_all = data.pace(), not data.unsent()
    while not (await asyncio.wait({reply}, timeout=timeout))[0]:
        if has_all:
            raise TimeoutError
        has_all = not data.unsent()
        if not has_all:
            pace.check()
