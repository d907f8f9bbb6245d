"""The embedded archive: a real FTP server that keeps files below a folder.

For demonstrations and tests, where no archive is at hand. `python -m tosip.gateway.archive --root
DIR` runs it as a process of its own: it reads one line `{"user": ..., "password": ...}` from
standard input, so that neither is in a process list, prints `ready PORT`, and serves on 127.0.0.1.
It ends on SIGTERM, SIGINT or SIGHUP, and when its parent is gone: then its standard input ends (so
keep that open as long as the archive should live), and Linux sends SIGTERM besides.

`--keep N` removes all but the newest N files, so that a demonstration cannot fill the disk.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import aioftp
from aioftp.common import Connection

from tosip import stopping

logger = logging.getLogger(__name__)

BLOCK = 1 << 20
HOST = "127.0.0.1"
PR_SET_PDEATHSIG = 1
TEMPORARY = ".part"


class ArchiveServer(aioftp.Server):
    """aioftp's server with SIZE, disk work in threads, and a bound on the number of files."""

    def __init__(self, root: Path, user: str, password: str, keep: int = 0) -> None:
        super().__init__(
            [aioftp.User(user, password, base_path=root)],
            path_io_factory=aioftp.AsyncPathIO,
            block_size=BLOCK,
            wait_future_timeout=10,
        )
        self._root, self._keep = root, keep
        self.commands_mapping["size"] = self._size
        self.commands_mapping["noop"] = self._noop
        self.commands_mapping["rnto"] = self._rename_and_prune

    @property
    def port(self) -> int:
        """The port that is listened to."""
        return int(self.server_port)

    async def dispatcher(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one control connection; ending it early is not worth a traceback."""
        with contextlib.suppress(asyncio.CancelledError):
            await super().dispatcher(reader, writer)

    async def _size(self, connection: Connection, rest: Any) -> bool:
        if not connection.future.logged.done():
            connection.response("530", "log in first")
            return True
        path, _ = self.get_paths(connection, rest)
        # Pruning may come between these two.
        with contextlib.suppress(aioftp.PathIOError):
            if await connection.path_io.is_file(path):
                connection.response("213", str((await connection.path_io.stat(path)).st_size))
                return True
        connection.response("550", "no such file")
        return True

    async def _noop(self, connection: Connection, rest: Any) -> bool:
        connection.response("200", "ok")
        return True

    async def _rename_and_prune(self, connection: Connection, rest: Any) -> bool:
        connection.renamed, _ = self.get_paths(connection, rest)
        goes_on = await self.rnto(connection, rest)
        if self._keep:
            # Whoever has renamed a file looks at it next.
            fresh = {getattr(one, "renamed", None) for one in self.connections.values()}
            await asyncio.to_thread(prune, self._root, self._keep, fresh)
        return goes_on


def prune(root: Path, keep: int, fresh: Collection[object]) -> None:
    """Remove the oldest files below `root` until `keep` are left.

    Uploads on their way stay, and so does what is `fresh`, even if then there are more.
    """
    ages = {}
    for path in root.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and path.suffix != TEMPORARY:
                ages[path] = path.stat().st_mtime_ns
    for path in sorted(ages, key=lambda path: (path in fresh, ages[path], path))[:-keep]:
        if path not in fresh:
            path.unlink(missing_ok=True)


async def serve(root: Path, port: int, keep: int) -> int:
    """Serve until a stopping signal or the end of standard input."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    stopping.on_stop(lambda _: done.set())
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        login = json.loads(await reader.readline())
        user, password = str(login["user"]), str(login["password"])
    except (ValueError, KeyError, TypeError):
        sys.stderr.write('archive: expected {"user": ..., "password": ...} on standard input\n')
        return 2
    server = ArchiveServer(root, user, password, keep)
    try:
        await asyncio.to_thread(root.mkdir, parents=True, exist_ok=True)
        await server.start(HOST, port, limit=BLOCK)
    except OSError as error:
        sys.stderr.write(f"archive: expected a folder and a free port, got {root} and {port}")
        sys.stderr.write(f" ({error.strerror or error})\n")
        return 2
    sys.stdout.write(f"ready {server.port}\n")
    sys.stdout.flush()
    parent_gone = asyncio.ensure_future(reader.read())
    parent_gone.add_done_callback(lambda _: done.set())
    await done.wait()
    parent_gone.cancel()
    await server.close()
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the archive as a process; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m tosip.gateway.archive")
    parser.add_argument("--root", type=Path, required=True, help="folder that keeps the files")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any)")
    parser.add_argument("--keep", type=int, default=0, help="keep only the newest N files")
    options = parser.parse_args(arguments)
    # aioftp calls it an error, with a traceback, when a client hangs up.
    logging.getLogger("aioftp").setLevel(logging.CRITICAL)
    # Beside the end of standard input: a grandchild may hold the pipe open.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    return asyncio.run(serve(options.root, options.port, max(options.keep, 0)))


if __name__ == "__main__":
    os.umask(0o027)
    sys.exit(main())
