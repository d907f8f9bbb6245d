"""Folders: virtual, so that each of them exists; only names of files make one appear in a list."""

from __future__ import annotations

from tosip.gateway.server.names import NameRefusedError, resolve_file, resolve_folder
from tosip.gateway.server.session import Refusal, Session, Verb


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


async def _print(session: Session, rest: str) -> None:
    session.reply("257", _quoted(session.folder))


async def _change(session: Session, rest: str) -> None:
    session.folder = named_folder(session, rest)
    session.reply("250", "ok")


async def _up(session: Session, rest: str) -> None:
    await _change(session, "..")


async def _make(session: Session, rest: str) -> None:
    session.reply("257", _quoted(named_folder(session, rest)))


async def _remove(session: Session, rest: str) -> None:
    raise Refusal("550", "folders are only a part of names: none can be removed")


def _quoted(folder: tuple[str, ...]) -> str:
    """Return a folder as RFC 959 wants it: quoted, with quotes in it doubled."""
    path = "/" + "/".join(folder)
    return '"{}"'.format(path.replace('"', '""'))


VERBS: dict[str, Verb] = {
    verb: act
    for verbs, act in (
        (("pwd", "xpwd"), _print),
        (("cwd", "xcwd"), _change),
        (("cdup", "xcup"), _up),
        (("mkd", "xmkd"), _make),
        (("rmd", "xrmd"), _remove),
    )
    for verb in verbs
}
