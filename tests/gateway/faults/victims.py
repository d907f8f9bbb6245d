"""What is killed: a gateway with faults at chosen places and a pipeline that keeps a record."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from tests.gateway.faults.archives import LOGIN, FullArchive, RandomArchive
from tests.gateway.faults.faulty_disk import Fault, FaultyDisk, kill_at_step
from tests.gateway.faults.pipeline import Pipeline
from tosip.errors import ConfigurationError
from tosip.gateway import (
    ArchiveSettings,
    Gateway,
    GatewaySettings,
    Limits,
    Users,
    hash_password,
)
from tosip.gateway import (
    gateway as gateway_module,
)
from tosip.gateway.settings import Policy
from tosip.gateway.spool.partial import Description, Partial
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import Entry, StoredFile
from tosip.testing.loop_monitor import LoopMonitor

HASHED = hash_password("secret", cost=2)
BLOCKED = 0.05  # s, where the loop is to be blocked
CAMERAS = tuple(f"cam{number:02}" for number in range(1, 17))


async def run_gateway(facts: dict[str, Any]) -> int:
    """Serve until SIGTERM; 2 if the gateway does not start."""
    _log_to(Path(facts["log"]))
    faults = [Fault(*fault) for fault in facts.get("faults", ())]
    if "kill_at_step" in facts:
        kill_at_step(*facts["kill_at_step"])
    disk = FaultyDisk(faults, facts.get("quota"))
    # The only thing that is not as in real life; a setting would be a test hook in the product.
    kind = _HastySpool if facts.get("hasty") else Spool
    vars(gateway_module)["Spool"] = partial(kind, disk=disk)
    gateway = Gateway(settings_of(facts))
    pipeline = Pipeline(gateway, Path(facts["record"]), facts.get("pipeline", "well"))
    gateway.on_stored = pipeline.stored
    with _monitored(facts) as report:
        try:
            await gateway.start()
        except ConfigurationError as error:
            logging.getLogger("tests").error("%s", error)
            return 2
        if "block" in facts:
            asyncio.get_running_loop().call_later(facts["block"], time.sleep, BLOCKED)
        await _serve(facts, gateway.port)
        report()
        await gateway.stop()
    return 0


def settings_of(facts: dict[str, Any]) -> GatewaySettings:
    """Return quick settings."""
    user, password = LOGIN
    return GatewaySettings(
        users=Users(dict.fromkeys(CAMERAS, HASHED)),
        spool=Path(facts["spool"]),
        port=0,
        archive=ArchiveSettings(
            host="127.0.0.1",
            port=facts["archive_port"],
            user=user,
            password=password,
            timeout=1.0,
            first_delay=0.05,
            longest_delay=0.3,
            check_interval=1.0,
        ),
        limits=Limits(**{"free_space": 0, "stall_timeout": 5.0, **facts.get("limits", {})}),
        policy=Policy(hold=facts.get("hold", 1.0)),
        memory=facts.get("memory", 64 << 20),
    )


async def run_archive(facts: dict[str, Any]) -> int:
    """Be an archive, well or hostile, until SIGTERM."""
    logging.disable(logging.CRITICAL)
    root = Path(facts["root"])
    archive: FullArchive | RandomArchive = (
        RandomArchive(root, facts["seed"], facts["hostility"])
        if "hostility" in facts
        else FullArchive(root)
    )
    for _ in range(100):
        try:
            await archive.listen(facts["port"])
            break
        except OSError:  # some client's end of a connection has had this port for a moment
            await asyncio.sleep(0.05)
    await _serve(facts, archive.port)
    await archive.close()
    return 0


class _HastySpool(Spool):
    """What the judge must find: a spool that says too early that a file is safe."""

    def commit(self, partial: Partial, description: Description) -> Entry:
        """Say that it was committed, and do nothing."""
        name, user, size, digest = (
            description.name,
            description.user,
            description.size,
            description.digest,
        )
        return Entry(StoredFile(partial.id, name, user, partial.path, size, digest, time.time()))


VICTIMS: dict[str, Callable[[dict[str, Any]], Coroutine[Any, Any, int]]] = {
    "gateway": run_gateway,
    "archive": run_archive,
}


def say(line: str) -> None:
    """Say a line, whole, whoever else is speaking."""
    os.write(1, f"{line}\n".encode())


async def _serve(facts: dict[str, Any], port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    say(f"is:{facts['tag']} ready {port}")
    await stop.wait()


@contextlib.contextmanager
def _monitored(facts: dict[str, Any]) -> Any:
    """Watch the event loop if that is wanted; what is yielded writes down what was found."""
    if "monitor" not in facts:
        yield lambda: None
        return
    with LoopMonitor() as monitor:

        def report() -> None:
            worst = monitor.worst
            found = {"seconds": worst.seconds, "what": worst.what, "callbacks": monitor.callbacks}
            Path(facts["monitor"]).write_text(json.dumps(found))

        yield report


def _log_to(path: Path) -> None:
    logging.basicConfig(
        filename=path, level=logging.INFO, format="%(asctime)s %(process)d %(name)s: %(message)s"
    )
    logging.getLogger("aioftp").setLevel(logging.CRITICAL)
