"""What is known of the user's own files, and what little may be done with them.

SIZE, MDTM, MLST, STAT path; RNFR and RNTO (of a file that is held for its final name); DELE (which
hides: an acknowledged file is delivered in any case).
"""

from __future__ import annotations

import fnmatch
import time
from dataclasses import dataclass
from functools import partial

from tosip.gateway.server import listing
from tosip.gateway.server.folders import named_file, named_folder
from tosip.gateway.server.names import NameRefusedError, resolve_file
from tosip.gateway.server.session import Refusal, Session, Shared, Verb
from tosip.gateway.settings import Policy
from tosip.gateway.spool.names import NameFacts


def is_temporary(policy: Policy, name: str) -> bool:
    """Tell whether a name is one that will be replaced by RNTO."""
    last = name.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(last, pattern) for pattern in policy.temporary)


@dataclass(frozen=True)
class Found:
    """What a path means, and what comes before each name to make it a path again."""

    start: str
    lines: list[listing.Line]


class Files:
    """Verbs about files by name."""

    def __init__(self, shared: Shared) -> None:
        self._shared, self._spool, self._disk = shared, shared.spool, shared.threads.disk

    def verbs(self) -> dict[str, Verb]:
        """Return what clients may send."""
        return {
            "size": self._size,
            "mdtm": self._modified,
            "mlst": self._facts,
            "dele": self._delete,
            "rnfr": self._rename_from,
            "rnto": self._rename_to,
        }

    async def status(self, session: Session, rest: str) -> None:
        """Answer STAT with a path: a list on the control connection."""
        found = await self._disk(self.look_up, session, rest, session.user)
        now = time.time()
        long = [line.long(session.user, now) for line in found.lines]
        session.reply_lines("213", ["status", *long, "end"])

    def look_up(self, session: Session, rest: str, user: str) -> Found:
        """Return what a path means in LIST: a file, a folder, or a pattern. Blocks.

        Options of `ls` before it are passed over.
        """
        words = rest.strip().split(" ")
        while words and words[0].startswith("-"):
            words.pop(0)
        path = " ".join(words)
        folder, slash, last = path.rpartition("/")
        try:
            facts = self._spool.facts(user, resolve_file(session.folder, path))
        except NameRefusedError:
            facts = None
        if facts is not None:
            return Found(folder + slash, [listing.of_file(facts)])
        known = self._spool.names(user)
        if set("*?[") & set(last):
            inside = named_folder(session, folder or slash or ".")
            return Found(folder + slash, listing.in_folder(known, inside, last))
        start = f"{path.rstrip('/')}/" if path else ""
        return Found(start, listing.in_folder(known, named_folder(session, path)))

    async def _known(self, session: Session, rest: str) -> NameFacts:
        try:
            name = resolve_file(session.folder, rest)
        except NameRefusedError:
            raise Refusal("550", "no such file") from None
        facts = await self._disk(self._spool.facts, session.user, name)
        if facts is None:
            raise Refusal("550", "no such file")
        return facts

    async def _size(self, session: Session, rest: str) -> None:
        session.reply("213", str((await self._known(session, rest)).size))

    async def _modified(self, session: Session, rest: str) -> None:
        session.reply("213", listing.timestamp((await self._known(session, rest)).modified))

    async def _facts(self, session: Session, rest: str) -> None:
        line = await self._disk(self._line, session, session.user, rest)
        session.reply_lines("250", ["facts", line.facts(session.facts), "end"])

    def _line(self, session: Session, user: str, rest: str) -> listing.Line:
        """Return a file or a folder with its whole path as its name."""
        folder = named_folder(session, rest)
        name = "/".join(folder)
        facts = self._spool.facts(user, name) if folder else None
        if facts is not None:
            return listing.Line(f"/{name}", facts.size, facts.modified)
        if folder == session.folder or listing.is_folder(self._spool.names(user), folder):
            return listing.Line(f"/{name}", 0, time.time(), folder=True)
        raise Refusal("550", "no such file or folder")

    async def _delete(self, session: Session, rest: str) -> None:
        name = named_file(session, rest)
        if not await self._disk(self._spool.hide, session.user, name):
            raise Refusal("550", "no such file")
        session.reply("250", "not listed any more; what was acknowledged is delivered all the same")

    async def _rename_from(self, session: Session, rest: str) -> None:
        facts = await self._known(session, rest)
        if facts.partial:
            raise Refusal("550", "this file is not whole: upload the rest of it first")
        if not is_temporary(self._shared.settings.policy, facts.name):
            raise Refusal("550", "this file has its final name")
        session.rename_from = facts.name
        session.reply("350", "RNTO next")

    async def _rename_to(self, session: Session, rest: str) -> None:
        old, session.rename_from = session.rename_from, ""
        if not old:
            raise Refusal("503", "RNFR first")
        new = named_file(session, rest)
        held = is_temporary(self._shared.settings.policy, new)
        camera = self._camera(session.user, new)
        rename = partial(self._spool.rename, session.user, old, new, held, camera)
        try:
            entry = await self._disk(rename)
        except LookupError as error:
            raise Refusal("550", str(error.args[0] if error.args else "no such file")) from None
        session.reply("250", f"renamed {entry.file.id}")
        self._shared.on_stored(entry, None)

    def _camera(self, user: str, name: str) -> str | None:
        """Return whom a file belongs to under its new name; None if names do not tell."""
        if self._shared.settings.camera.by not in ("folder", "name"):
            return None
        return self._shared.camera(user, name, {})
