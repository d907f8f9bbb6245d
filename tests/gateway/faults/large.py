"""One upload of more than 2 GiB, without having it in memory."""

from __future__ import annotations

import socket

from tests.gateway.faults.ledger import Attempt, Ending
from tests.gateway.faults.plant import Plant
from tosip.gateway.digest import new_digest

BLOCK = 2880
CHUNK = BLOCK * 364


def upload_large(plant: Plant, size: int) -> None:
    """Upload a FITS file of exactly `size` bytes, a multiple of 2880, nearly all zeros."""
    digest = new_digest()
    with plant.camera() as camera, camera.sending("STOR large.fits") as connection:
        if connection is None:
            raise AssertionError(camera.said)
        for block in _blocks(size):
            connection.sendall(block)
            digest.update(block)
        connection.shutdown(socket.SHUT_WR)
        reply = camera.reply(timeout=120.0)
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
