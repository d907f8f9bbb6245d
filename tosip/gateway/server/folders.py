"""Folders: virtual, so that each of them exists; only names of files make one appear in a list.

What has the name of a file is none, though: clients find out with CWD what a name is.
"""

from __future__ import annotations

from tosip.gateway.server.listing import is_folder
from tosip.gateway.server.names import NameRefusedError, resolve_file, resolve_folder
from tosip.gateway.server.session import Refusal, Session, Shared, Verb


def named_folder(session: Session, rest: str) -> tuple[str, ...]:
    """Return the folder that a client means; Refusal 553 for a name that is not accepted."""
    try:
        return resolve_folder(session.folder, rest)
    except NameRefusedError as error:
        raise Refusal("553", str(error)) from None


def named_file(session: Session, rest: str) -> str:
    """Return the virtual path that a client means; Refusal 553 for one that is not accepted."""
    try:
        return resolve_file(session.folder, rest)
    except NameRefusedError as error:
        raise Refusal("553", str(error)) from None


class Folders:
    """Verbs about folders."""

    def __init__(self, shared: Shared) -> None:
        self._spool, self._disk = shared.spool, shared.threads.disk

    def verbs(self) -> dict[str, Verb]:
        """Return what clients may send."""
        known: dict[tuple[str, str], Verb] = {
            ("pwd", "xpwd"): _print,
            ("cwd", "xcwd"): self._change,
            ("cdup", "xcup"): self._up,
            ("mkd", "xmkd"): _make,
            ("rmd", "xrmd"): _remove,
        }
        return {verb: act for verbs, act in known.items() for verb in verbs}

    async def _change(self, session: Session, rest: str) -> None:
        folder = named_folder(session, rest)
        if await self._disk(self._is_only_a_file, session.user, folder):
            raise Refusal("550", "this is a file")
        session.folder = folder
        session.reply("250", "ok")

    async def _up(self, session: Session, rest: str) -> None:
        await self._change(session, "..")

    def _is_only_a_file(self, user: str, folder: tuple[str, ...]) -> bool:
        if self._spool.facts(user, "/".join(folder)) is None:
            return False
        return not is_folder(self._spool.names(user), folder)


async def _print(session: Session, rest: str) -> None:
    session.reply("257", _quoted(session.folder))


async def _make(session: Session, rest: str) -> None:
    session.reply("257", _quoted(named_folder(session, rest)))


async def _remove(session: Session, rest: str) -> None:
    raise Refusal("550", "folders are only a part of names: none can be removed")


def _quoted(folder: tuple[str, ...]) -> str:
    """Return a folder as RFC 959 wants it: quoted, with quotes in it doubled."""
    path = "/" + "/".join(folder)
    return '"{}"'.format(path.replace('"', '""'))
