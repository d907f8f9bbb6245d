"""One file of more than 2 GiB, without having it in memory."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from tests.gateway.faults.ledger import Attempt, Ending
from tests.gateway.faults.oracle import judge
from tests.gateway.faults.plant import Plant
from tosip.gateway.digest import new_digest

BLOCK = 2880
CHUNK = BLOCK * 364
LARGE = BLOCK * 746_000  # bytes, a little more than 2 GiB
# What has to be free for its copies in the spool and on the archive.
ROOM = 3 * LARGE
PATIENCE = 300.0


def send_large(folder: Path | None = None) -> list[str]:
    """Bring one through a gateway to an archive and return what is wrong; leave nothing of it."""
    with tempfile.TemporaryDirectory("", "soak-", folder) as own, Plant(Path(own, "p")) as plant:
        plant.start_archive()
        plant.start_gateway()
        _upload(plant, LARGE)
        plant.drain(PATIENCE)
        plant.stop_gateway()
        return judge(plant)


def _upload(plant: Plant, size: int) -> None:
    """Upload a FITS file of exactly `size` bytes, a multiple of 2880, nearly all zeros."""
    digest = new_digest()
    with plant.camera() as camera, camera.sending("STOR large.fits") as connection:
        if connection is None:
            raise AssertionError(camera.said)
        for block in _blocks(size):
            connection.sendall(block)
            digest.update(block)
        connection.shutdown(socket.SHUT_WR)
        reply = camera.reply(timeout=PATIENCE)
    if not reply.startswith("226"):
        raise AssertionError(reply)
    attempt = Attempt(("large.fits",), size, digest.hexdigest(), Ending.ACKNOWLEDGED)
    plant.ledger.attempts.append(attempt)


def _blocks(size: int):
    cards = ["SIMPLE  =                    T", "BITPIX  =                    8"]
    cards += ["NAXIS   =                    1", f"NAXIS1  = {size - BLOCK:20d}", "END"]
    yield "".join(card.ljust(80) for card in cards).ljust(BLOCK).encode()
    zeros = bytes(CHUNK)
    for start in range(BLOCK, size, CHUNK):
        yield zeros[: min(CHUNK, size - start)]
