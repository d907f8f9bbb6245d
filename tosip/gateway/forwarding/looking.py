"""What is on the archive: sizes, and whether a file there has the bytes of ours."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import PurePosixPath

import aioftp

from tosip.gateway.digest import new_digest
from tosip.gateway.forwarding.client import ArchiveClient
from tosip.gateway.forwarding.faults import ArchiveRefusal
from tosip.gateway.forwarding.hashes import Offer, has_hash, strongest
from tosip.gateway.forwarding.transfer import fetch
from tosip.gateway.spool.stored import StoredFile

NOT_UNDERSTOOD = "50x"
LONGEST_LIST = 64 << 20


class Looker:
    """Looks at files on the archive through one session."""

    def __init__(self, client: ArchiveClient, threads: Executor) -> None:
        self._client, self._threads = client, threads
        self.offer: Offer | None = strongest(client.features)
        self._ways = [self._size_by_size, self._size_by_mlst, self._size_by_list]

    async def size(self, path: PurePosixPath) -> int | None:
        """Return the size of a file on the archive, None when it is not there.

        That has to be said twice: archives in trouble say it too, and what is there would be
        overwritten.
        """
        size = await self._ask_size(path)
        return await self._ask_size(path) if size is None else size

    async def _ask_size(self, path: PurePosixPath) -> int | None:
        while True:
            try:
                return await self._ways[0](path)
            except aioftp.StatusCodeError as error:
                code = error.received_codes[-1]
                if code.matches(NOT_UNDERSTOOD) and code != "501" and len(self._ways) > 1:
                    del self._ways[0]
                elif code == "550" or code == "501":
                    return None
                else:
                    raise

    async def _size_by_size(self, path: PurePosixPath) -> int | None:
        _, lines = await self._client.ask(f"SIZE {path}", "213")
        return _number(lines[-1])

    async def _size_by_mlst(self, path: PurePosixPath) -> int | None:
        _, lines = await self._client.ask(f"MLST {path}", "250")
        _, facts = self._client.parse_mlsx_line(lines[1].strip() if len(lines) > 1 else "")
        return _number(facts.get("size", ""))

    async def _size_by_list(self, path: PurePosixPath) -> int | None:
        """Ask for the file, and if that gives nothing for its folder."""
        for asked in (path, path.parent):
            text = bytearray()
            try:
                await self._list(asked, text)
            except ArchiveRefusal:
                continue
            except aioftp.StatusCodeError as error:
                if not error.received_codes[-1].startswith("450"):
                    raise
                continue
            for line in bytes(text).splitlines():
                try:
                    name, facts = self._client.parse_list_line(line)
                except ValueError:
                    continue
                if name.name == path.name and facts["type"] == "file":
                    return _number(facts["size"])
        return None

    async def _list(self, path: PurePosixPath, text: bytearray) -> None:
        command = f"LIST {path}"
        size = await fetch(self._client, self._threads, command, LONGEST_LIST, text.extend)
        if size > LONGEST_LIST:
            raise ConnectionError(f"expected at most {LONGEST_LIST} bytes from LIST, got more")

    async def same_hash(self, path: PurePosixPath, file: StoredFile, expected: str) -> bool | None:
        """Compare by the hash that the archive offers; None if there is none, or no answer."""
        if self.offer is None:
            return None
        return await has_hash(self._client, self.offer, path, file.size, expected)

    async def same_bytes(self, path: PurePosixPath, file: StoredFile) -> bool | None:
        """Compare by reading the file back; None if the archive does not let us."""
        digest = new_digest()
        try:
            size = await fetch(
                self._client, self._threads, f"RETR {path}", file.size, digest.update
            )
        except ArchiveRefusal:
            return None
        return size == file.size and digest.hexdigest() == file.digest

    async def is_ours(self, path: PurePosixPath, file: StoredFile, expected: str) -> bool | None:
        """Tell whether a file there has our bytes, by proof; its size is known to be ours.

        None if the archive neither offers a hash that proves it nor lets us read the file.
        """
        same = None
        if self.offer is not None and self.offer.is_proof:
            same = await self.same_hash(path, file, expected)
        return await self.same_bytes(path, file) if same is None else same


def _number(text: str) -> int:
    words = text.split()
    if not words or not words[-1].isdecimal():
        raise ConnectionError(f"expected a size, got {text.strip()!r}")
    return int(words[-1])
