"""Logging in and out: USER, PASS, QUIT."""

from __future__ import annotations

import asyncio
import functools
import logging

import aioftp

from tosip.gateway.server.session import Refusal, Session, Shared, Verb
from tosip.gateway.server.turns import Turns

logger = logging.getLogger(__name__)


class Access:
    """Asks for user and password; an unknown name gets the same replies as a known one."""

    def __init__(self, shared: Shared) -> None:
        self._shared, self._limits = shared, shared.settings.limits
        self._users = shared.settings.users
        # Fewer than there are strangers: those whose password is tried are not sent away.
        self._turns = Turns(max(1, self._limits.strangers // 2), self._limits.bad_password_delay)
        tls = shared.settings.tls
        self._tls_required = tls is not None and tls.required

    def verbs(self) -> dict[str, Verb]:
        """Return what clients may send."""
        return {"user": self._user, "pass": self._password, "quit": _quit}

    async def _user(self, session: Session, rest: str) -> None:
        if self._tls_required and not session.secured:
            raise Refusal("530", "log in after AUTH TLS: nothing goes in the clear here")
        if session.user:
            session.login_by = asyncio.get_running_loop().time() + self._limits.login_timeout
            self._shared.crowd.log_out(session.guest)
        session.forget_login()
        session.claimed, session.guest.spoke = rest, True
        session.reply("331", "password required")

    async def _password(self, session: Session, rest: str) -> None:
        if session.user:
            raise Refusal("503", "already logged in")
        if session.claimed is None:
            raise Refusal("503", "USER first")
        try:
            right = await self._is_right(session, session.claimed, rest)
        except TimeoutError:
            session.close("421", "closing: too many are logging in, try later")
            return
        if not right:
            await self._turn_down(session, session.claimed)
        elif refusal := self._shared.crowd.log_in(session.guest, session.claimed):
            logger.warning("log-in of %s refused: %s", session.claimed, refusal)
            session.close("421", f"closing: {refusal}")
        else:
            session.wrong_passwords = 0
            session.reply("230", "logged in")

    async def _is_right(self, session: Session, claimed: str, password: str) -> bool:
        """Tell whether this is the password; TimeoutError if that cannot be told soon enough."""
        if self._users.remembers(claimed, password):
            return True
        attempt = functools.partial(self._users.verify, claimed, password)
        guest = session.guest
        guest.trying = True
        try:
            return await self._turns.take(guest.origin, claimed, session.login_by, attempt)
        finally:
            guest.trying = False

    async def _turn_down(self, session: Session, claimed: str) -> None:
        # An unknown name is not logged: it may be a password in the wrong field.
        name = claimed if claimed in self._users else "an unknown user"
        logger.warning("log-in refused: wrong password for %s", name)
        await asyncio.sleep(self._limits.bad_password_delay)
        session.reply("530", "wrong password")
        session.wrong_passwords += 1
        if session.wrong_passwords >= self._limits.bad_passwords:
            session.close("421", "closing: too many wrong passwords")


class Nobody(aioftp.AbstractUserManager):
    """Lets nobody in: `Access` asks for users, and what aioftp has by default is anonymous."""

    async def get_user(
        self, login: str
    ) -> tuple[aioftp.AbstractUserManager.GetUserResponse, aioftp.User | None, str]:
        """Refuse."""
        return self.GetUserResponse.ERROR, None, "nobody"

    async def authenticate(self, user: aioftp.User, password: str) -> bool:
        """Refuse."""
        return False


async def _quit(session: Session, rest: str) -> None:
    if session.transfer is None:
        session.close("221", "bye")
    session.quitting = True
