"""Hashes: which one the archive offers, what it says, what the spool's copy has."""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, Protocol

import aioftp

from tosip.gateway.digest import new_digest
from tosip.gateway.forwarding.client import ArchiveClient
from tosip.gateway.forwarding.faults import SpoolDamage, SpoolUnreadable
from tosip.gateway.spool.stored import StoredFile

BLOCK = 1 << 20
# The archive reads the whole file before it answers: so many bytes a second at least.
SLOWEST_ARCHIVE = 10 << 20


class Hash(Protocol):
    """What hashlib, blake3 and `Crc32` have in common."""

    def update(self, block: memoryview, /) -> object:
        """Take in a block."""

    def hexdigest(self) -> str:
        """Return the result so far."""


class Crc32:
    """CRC-32 with the methods of a hash."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, block: memoryview, /) -> None:
        """Take in a block."""
        self._value = zlib.crc32(block, self._value)

    def hexdigest(self) -> str:
        """Return eight digits."""
        return f"{self._value:08x}"


@dataclass(frozen=True)
class Offer:
    """A hash that the archive computes: its verb, its name with HASH, and with hashlib."""

    verb: str
    name: str
    algorithm: str

    @property
    def is_proof(self) -> bool:
        """Whether equal hashes and sizes mean equal bytes, and not just an undamaged copy."""
        return self.algorithm != "crc32"

    def new(self) -> Hash:
        """Return a hash to update."""
        if self.algorithm == "crc32":
            return Crc32()
        return hashlib.new(self.algorithm, usedforsecurity=False)


# The strongest first.
KNOWN = (
    ("SHA-512", ("XSHA512",), "sha512"),
    ("SHA-256", ("XSHA256",), "sha256"),
    ("SHA-1", ("XSHA1", "XSHA"), "sha1"),
    ("MD5", ("XMD5",), "md5"),
    ("CRC32", ("XCRC",), "crc32"),
)


def strongest(features: dict[str, str]) -> Offer | None:
    """Return the strongest hash among the archive's features, None if there is none we know."""
    names = [name.strip(" *").upper() for name in features.get("HASH", "").split(";")]
    for name, verbs, algorithm in KNOWN:
        for verb in verbs:
            if verb in features:
                return Offer(verb, name, algorithm)
        if name in names:
            return Offer("HASH", name, algorithm)
    return None


async def has_hash(
    client: ArchiveClient, offer: Offer, path: PurePosixPath, size: int, expected: str
) -> bool | None:
    """Tell whether a file on the archive has this hash; None if the archive does not say."""
    timeout = client.archive.timeout + size / SLOWEST_ARCHIVE
    try:
        if offer.verb == "HASH":
            await client.ask(f"OPTS HASH {offer.name}", "200")
            _, lines = await client.ask(f"HASH {path}", "213", timeout=timeout)
        else:
            name = f'"{path}"' if " " in str(path) else path
            _, lines = await client.ask(f"{offer.verb} {name}", "2xx", timeout=timeout)
    except aioftp.StatusCodeError as error:
        if error.received_codes[-1].startswith("5"):
            return None
        raise
    words = _without(_without(lines[-1], str(path)), path.name)
    # A CRC often comes without leading zeros.
    digits = f"1,{len(expected)}" if not offer.is_proof else len(expected)
    found = re.findall(rf"\b[0-9a-f]{{{digits}}}\b", words.lower())
    return any(one.zfill(len(expected)) == expected for one in found) if found else None


def _without(text: str, name: str) -> str:
    """Take out a name where it stands by itself: a short one may be a part of the hash too."""
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", text)


def check_copy(file: StoredFile, opened: BinaryIO, offer: Offer | None) -> str:
    """Read the spool's copy and compare it with what was acknowledged.

    Return the hash of these very bytes that the archive should tell, empty without an offer.
    SpoolDamage if they are not what came.
    """
    digest: Hash = new_digest()
    other = None if offer is None else offer.new()
    size = os.fstat(opened.fileno()).st_size
    if size != file.size:
        raise SpoolDamage(f"damaged in the spool: expected {file.size} bytes, got {size}")
    buffer = memoryview(bytearray(min(BLOCK, max(size, 1))))
    try:
        while count := os.readv(opened.fileno(), [buffer]):
            digest.update(buffer[:count])
            if other is not None:
                other.update(buffer[:count])
    except OSError as error:
        raise SpoolUnreadable(f"spool file cannot be read: {error.strerror}") from None
    if digest.hexdigest() != file.digest:
        raise SpoolDamage("damaged in the spool: its hash has changed")
    return "" if other is None else other.hexdigest()
