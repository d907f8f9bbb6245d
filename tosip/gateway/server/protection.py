"""TLS on the control channel: AUTH, PBSZ, PROT, and the certificate."""

from __future__ import annotations

import asyncio
import functools
import ssl

from tosip.errors import ConfigurationError
from tosip.gateway.server.session import Refusal, Session, Shared, Verb
from tosip.gateway.settings import TlsSettings


def load_context(settings: TlsSettings | None) -> ssl.SSLContext | None:
    """Return how to speak TLS; ConfigurationError if the certificate or key cannot be used."""
    if settings is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    # A client that closes an upload without having read its tickets would reset the connection,
    # and so lose the last of what it has sent.
    context.num_tickets = 0
    _must_read(settings.certificate, "certificate")
    if settings.key is not None:
        _must_read(settings.key, "key")
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(settings.certificate, settings.key, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or "it has a password, or is no PEM file"
        key = f" with the key {settings.key}" if settings.key else ""
        raise ConfigurationError(
            f"Tls.certificate: expected a PEM certificate and its key, got {settings.certificate}"
            f"{key} ({reason})"
        ) from None
    return context


async def start_tls(session: Session, context: ssl.SSLContext) -> None:
    """Shake hands within the time for the log-in; OSError (also TimeoutError) if that fails."""
    session.shaking_hands = True
    async with asyncio.timeout_at(session.login_by):
        await session.writer.start_tls(context, ssl_handshake_timeout=None)
    session.shaking_hands = False
    session.secured = session.guest.spoke = True


class Protection:
    """The verbs of RFC 4217."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        tls = shared.settings.tls
        self._required = tls is not None and tls.required

    def verbs(self) -> dict[str, Verb]:
        """Return what clients may send; nothing when there is no certificate."""
        if self._shared.tls is None:
            return {}
        authenticate = functools.partial(self._authenticate, self._shared.tls)
        return {"auth": authenticate, "pbsz": self._buffer_size, "prot": self._protect}

    async def _authenticate(self, tls: ssl.SSLContext, session: Session, rest: str) -> None:
        if session.secured:
            raise Refusal("503", "this connection is protected already")
        if rest.upper() not in ("TLS", "TLS-C"):
            raise Refusal("504", "expected AUTH TLS")
        session.writer.transport.pause_reading()  # type: ignore[attr-defined]
        if await _has_more(session.reader):
            # It may come from somebody in between, who wants it taken for the client's.
            session.close("421", "closing: expected TLS after AUTH, got more in the clear")
            return
        self._forget(session)
        session.reply("234", "begin TLS now")
        await session.replies.join()
        try:
            await start_tls(session, tls)
        except OSError:
            session.writer.transport.abort()
            session.over = True

    def _forget(self, session: Session) -> None:
        session.forget_login()
        if session.user:
            limit = self._shared.settings.limits.login_timeout
            session.login_by = asyncio.get_running_loop().time() + limit
            self._shared.crowd.log_out(session.guest)

    async def _buffer_size(self, session: Session, rest: str) -> None:
        if not session.secured:
            raise Refusal("503", "AUTH TLS first")
        if not (rest.isascii() and rest.isdecimal()):
            raise Refusal("501", "expected PBSZ 0")
        session.buffer_told = True
        session.reply("200", "PBSZ=0")

    async def _protect(self, session: Session, rest: str) -> None:
        level = rest.upper()
        if not session.buffer_told:
            raise Refusal("503", "AUTH TLS and PBSZ 0 first")
        if level in ("S", "E"):
            raise Refusal("536", "expected PROT P")
        if level not in ("P", "C"):
            raise Refusal("504", "expected PROT P")
        if level == "C" and self._required:
            raise Refusal("534", "data must be protected here: use PROT P")
        if session.protected != (level == "P"):
            session.drop_port()
        session.protected = level == "P"
        session.reply("200", "data is protected" if session.protected else "data is in the clear")


async def _has_more(reader: asyncio.StreamReader) -> bool:
    """Tell whether something more has been read; to be asked while reading is paused."""
    reading = asyncio.ensure_future(reader.read(1))
    await asyncio.sleep(0)
    if reading.done():
        return True
    reading.cancel()
    await asyncio.wait({reading})
    return False


def _must_read(path: object, key: str) -> None:
    try:
        with open(str(path), "rb") as file:
            text = file.read()
    except OSError as error:
        raise ConfigurationError(
            f"Tls.{key}: expected a PEM file, got {path} ({error.strerror})"
        ) from None
    if b"-----BEGIN " not in text:
        raise ConfigurationError(f"Tls.{key}: expected a PEM file, got {path} (nothing in it)")
