"""A gateway in a process of its own, for tests that kill it; settings come on standard input."""

import asyncio
import json
import sys
from pathlib import Path

from tosip.gateway import (
    ArchiveSettings,
    Gateway,
    GatewaySettings,
    Limits,
    Users,
    hash_password,
)


async def main() -> None:
    facts = json.loads(sys.stdin.readline())
    archive = ArchiveSettings(
        host="127.0.0.1",
        port=facts["archive_port"],
        user="gateway",
        password=facts["archive_password"],
        first_delay=0.05,
        longest_delay=0.2,
    )
    settings = GatewaySettings(
        users=Users({facts["user"]: hash_password(facts["password"])}),
        spool=Path(facts["spool"]),
        port=0,
        archive=archive,
        limits=Limits(free_space=0),
    )
    gateway = Gateway(settings)
    await gateway.start()
    print("ready", gateway.port, flush=True)
    # The end of standard input is the end of the test.
    await asyncio.to_thread(sys.stdin.read)
    await gateway.stop()


if __name__ == "__main__":
    asyncio.run(main())
