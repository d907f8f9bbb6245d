"""What clients ask out of habit: SYST, FEAT, OPTS, NOOP, TYPE, MODE, STRU, HELP, SITE, RETR."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from tosip.gateway.server.session import FACTS, Refusal, Session, Verb

FEATURES = ("EPRT", "EPSV", "MDTM", "REST STREAM", "SIZE", "TVFS", "UTF8")
PROTECTED = ("AUTH TLS", "PBSZ", "PROT")


def verbs(tls: bool) -> dict[str, Verb]:
    """Return what clients may send, where `tls` tells whether AUTH is among it."""
    return {
        "syst": functools.partial(_say, "215", "UNIX Type: L8"),
        "noop": functools.partial(_say, "200", "ok"),
        "feat": functools.partial(_features, (*FEATURES, *(PROTECTED if tls else ()))),
        "opts": _options,
        "type": _type,
        "mode": functools.partial(_only, "MODE S"),
        "stru": functools.partial(_only, "STRU F"),
        "site": _site,
        "retr": functools.partial(_refuse, "550", "this gateway takes files and gives none"),
    }


def help_verb(known: Iterable[str]) -> Verb:
    """Return HELP, which lists what is known."""
    words = sorted(verb.upper() for verb in known)
    lines = [" ".join(words[start : start + 10]) for start in range(0, len(words), 10)]

    async def tell(session: Session, rest: str) -> None:
        session.reply_lines("214", ["the gateway knows", *lines, "end"])

    return tell


async def _say(code: str, text: str, session: Session, rest: str) -> None:
    session.reply(code, text)


async def _refuse(code: str, text: str, session: Session, rest: str) -> None:
    raise Refusal(code, text)


async def _features(features: tuple[str, ...], session: Session, rest: str) -> None:
    facts = "".join(f"{fact}{'*' if fact in session.facts else ''};" for fact in FACTS)
    session.reply_lines("211", ["features", *features, f"MLST {facts}", "end"])


async def _options(session: Session, rest: str) -> None:
    word, _, argument = rest.strip().upper().partition(" ")
    if word in ("UTF8", "UTF-8") and argument in ("", "ON"):
        session.reply("200", "names are UTF-8")
    elif word == "MLST":
        wanted = argument.lower().split(";")
        session.facts = tuple(fact for fact in FACTS if fact in wanted)
        session.reply("200", f"MLST OPTS {''.join(f'{fact};' for fact in session.facts)}".strip())
    else:
        raise Refusal("501", "expected OPTS UTF8 ON, or OPTS MLST and facts")


async def _type(session: Session, rest: str) -> None:
    kind = rest.strip().upper()
    if not kind:
        raise Refusal("501", "expected TYPE I")
    if kind not in ("I", "L 8", "A", "A N"):
        raise Refusal("504", "expected TYPE I")
    session.ascii = kind.startswith("A")
    session.reply("200", "ok")


async def _only(offered: str, session: Session, rest: str) -> None:
    if rest.strip().upper() != offered[-1]:
        raise Refusal("504", f"expected {offered}, the only one offered")
    session.reply("200", "ok")


async def _site(session: Session, rest: str) -> None:
    if rest.upper().startswith("CHMOD "):
        # Clients that mirror folders say this after each file, and warn when it is refused.
        session.reply("200", "modes are the gateway's own affair: left as they are")
        return
    raise Refusal("502", "nothing is offered with SITE")
