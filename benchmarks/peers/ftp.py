"""FTP servers to be timed beside the gateway: `python -m benchmarks.peers.ftp KIND FOLDER`.

Each takes uploads into FOLDER from a user that is told nothing else, prints `ready PORT`, and runs
until SIGTERM. None makes an upload durable before it says 226.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path

HOST = "127.0.0.1"
USER, PASSWORD = "anonymous", "nobody@example.org"
STOCK, LARGE, PYFTPDLIB = "aioftp", "aioftp-large", "pyftpdlib"
_MIB = 1 << 20


async def _aioftp(root: Path, *, large: bool) -> None:
    """Serve with aioftp as it comes, or with large blocks and a large stream limit."""
    import aioftp

    users = [aioftp.User(USER, PASSWORD, base_path=root)]
    server = aioftp.Server(users, block_size=_MIB) if large else aioftp.Server(users)
    if large:
        await server.start(HOST, 0, limit=_MIB)
    else:
        await server.start(HOST, 0)
    _ready(server.server_port)
    await server.serve_forever()


def _pyftpdlib(root: Path) -> None:
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import FTPServer

    class Handler(FTPHandler):
        authorizer = DummyAuthorizer()

    Handler.authorizer.add_user(USER, PASSWORD, str(root), perm="elradfmwMT")
    server = FTPServer((HOST, 0), Handler)
    _ready(server.address[1])
    server.serve_forever(handle_exit=True)


def _ready(port: int) -> None:
    sys.stdout.write(f"ready {port}\n")
    sys.stdout.flush()


SERVE: dict[str, Callable[[Path], None]] = {
    STOCK: lambda root: asyncio.run(_aioftp(root, large=False)),
    LARGE: lambda root: asyncio.run(_aioftp(root, large=True)),
    PYFTPDLIB: _pyftpdlib,
}

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    SERVE[sys.argv[1]](Path(sys.argv[2]))
