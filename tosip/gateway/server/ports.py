"""Where the next data connection comes from: PASV, EPSV, PORT, EPRT."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket

from tosip.gateway.receiving.data import ActivePort, PassivePort, Port
from tosip.gateway.receiving.refusal import UploadError
from tosip.gateway.server.session import Refusal, Session, Shared, Verb
from tosip.gateway.server.tls_port import TlsPort

logger = logging.getLogger(__name__)

FAMILIES = {"1": socket.AF_INET, "2": socket.AF_INET6}


class Ports:
    """Makes ports; each replaces the one before, and none touches what REST has said."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._range = shared.settings.passive_ports
        self._address = shared.settings.passive_address

    def verbs(self) -> dict[str, Verb]:
        """Return what clients may send."""
        return {
            "pasv": self._passive,
            "epsv": self._extended_passive,
            "port": self._active,
            "eprt": self._extended_active,
        }

    async def _passive(self, session: Session, rest: str) -> None:
        _must_not_have_said_all(session)
        if _family(session.host) != socket.AF_INET:
            raise Refusal("425", "PASV cannot name an IPv6 address: use EPSV")
        port = self._listen(session)
        address = self._address or port.host
        numbers = (*address.split("."), port.port >> 8, port.port & 0xFF)
        session.reply("227", f"listening ({','.join(map(str, numbers))})")

    async def _extended_passive(self, session: Session, rest: str) -> None:
        asked = rest.strip().upper()
        if asked == "ALL":
            session.extended_only = True
            session.reply("200", "only EPSV from now on")
            return
        own = _family(session.host)
        if asked and FAMILIES.get(asked) != own:
            raise Refusal("522", f"another network protocol, use ({_number(own)})")
        port = self._listen(session)
        session.reply("229", f"listening (|||{port.port}|)")

    def _listen(self, session: Session) -> PassivePort:
        session.drop_port()
        try:
            port = PassivePort(session.host, session.peer, self._range)
        except OSError as error:
            logger.error("no port for a data connection: %s", error)
            raise Refusal("425", "no port is free: try later") from None
        session.port = port
        if session.protected and (tls := self._shared.tls) is not None:
            session.port = TlsPort(port, tls, self._shared.threads, self._shared.settings.limits)
        return port

    async def _active(self, session: Session, rest: str) -> None:
        numbers = [int(text) if _is_number(text) else 256 for text in rest.strip().split(",")]
        if len(numbers) != 6 or max(numbers) > 255:
            raise Refusal("501", "expected PORT and six numbers: PORT h1,h2,h3,h4,p1,p2")
        host = ".".join(map(str, numbers[:4]))
        _call(session, host, numbers[4] * 256 + numbers[5])

    async def _extended_active(self, session: Session, rest: str) -> None:
        parts = rest.strip()[1:].split(rest.strip()[:1] or "|")
        if len(parts) != 4 or not _is_number(parts[2]):
            raise Refusal("501", "expected EPRT |1|address|port| or EPRT |2|address|port|")
        number, host, port, _ = parts
        own = _family(session.host)
        if FAMILIES.get(number) != own:
            raise Refusal("522", f"another network protocol, use ({_number(own)})")
        _call(session, host, int(port))


def _call(session: Session, host: str, port: int) -> None:
    _must_not_have_said_all(session)
    session.drop_port()
    try:
        active: Port = ActivePort(session.peer, host, port, session.host)
    except UploadError as error:
        raise Refusal(error.code, str(error)) from None
    session.port = active
    session.reply("200", "ok")


def _must_not_have_said_all(session: Session) -> None:
    if session.extended_only:
        raise Refusal("503", "expected EPSV, after EPSV ALL")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5


def _family(address: str) -> socket.AddressFamily:
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(address.partition("%")[0]).version == 4:
            return socket.AF_INET
    return socket.AF_INET6


def _number(family: socket.AddressFamily) -> str:
    return next(number for number, known in FAMILIES.items() if known == family)
