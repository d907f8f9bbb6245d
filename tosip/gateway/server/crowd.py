"""Who is connected: how many in all, from one address, as one user, and not logged in yet.

A slot is never held by just being connected: when there are too many strangers (those that have not
logged in), the oldest of the address that has most of them is sent away. So a crowd of silent
connections only ever pushes out itself, and a camera that logs in at once always finds room.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tosip.gateway.settings import Limits


@dataclass(eq=False)
class Guest:
    """One control connection; `send_away` ends it and must not fail. `user` is set by `log_in`."""

    address: str
    send_away: Callable[[], None]
    user: str = ""


@dataclass
class Crowd:
    """Counts guests against the limits; `on_change` is called when log-ins change."""

    limits: Limits
    on_change: Callable[[], None]
    _strangers: dict[str, dict[Guest, None]] = field(default_factory=dict)
    _members: dict[str, dict[Guest, None]] = field(default_factory=dict)
    _addresses: dict[str, int] = field(default_factory=dict)

    @property
    def logged_in(self) -> int:
        """How many connections have logged in."""
        return sum(map(len, self._members.values()))

    @property
    def users(self) -> frozenset[str]:
        """Who has logged in, on one connection or more."""
        return frozenset(self._members)

    def refusal(self, address: str) -> str:
        """Return why nobody can come in from this address now, or nothing."""
        if self.logged_in >= self.limits.connections:
            return "too many are logged in"
        full = self._addresses.get(address, 0) >= self.limits.per_address
        if full and address not in self._strangers:
            return "too many connections from this address"
        return ""

    def enter(self, guest: Guest) -> str:
        """Let a stranger in; return why not, or nothing."""
        if refusal := self.refusal(guest.address):
            return refusal
        if self._addresses.get(guest.address, 0) >= self.limits.per_address:
            self._send_away_oldest(guest.address)
        elif sum(map(len, self._strangers.values())) >= self.limits.strangers:
            self._send_away_oldest(
                max(self._strangers, key=lambda address: len(self._strangers[address]))
            )
        self._addresses[guest.address] = self._addresses.get(guest.address, 0) + 1
        self._strangers.setdefault(guest.address, {})[guest] = None
        return ""

    def log_in(self, guest: Guest, user: str) -> str:
        """Make a stranger a member; return why not, or nothing."""
        if self.logged_in >= self.limits.connections:
            return "too many are logged in"
        if len(self._members.get(user, ())) >= self.limits.per_user:
            return "too many connections of this user"
        _remove(self._strangers, guest.address, guest)
        self._members.setdefault(user, {})[guest] = None
        guest.user = user
        self.on_change()
        return ""

    def log_out(self, guest: Guest) -> None:
        """Make a member a stranger again; a stranger stays one."""
        if not guest.user:
            return
        _remove(self._members, guest.user, guest)
        guest.user = ""
        self._strangers.setdefault(guest.address, {})[guest] = None
        self.on_change()

    def leave(self, guest: Guest) -> None:
        """Forget a guest; this may be repeated."""
        was_stranger = _remove(self._strangers, guest.address, guest)
        was_member = _remove(self._members, guest.user, guest)
        if was_stranger or was_member:
            self._addresses[guest.address] -= 1
            if not self._addresses[guest.address]:
                del self._addresses[guest.address]
        if was_member:
            self.on_change()

    def _send_away_oldest(self, address: str) -> None:
        oldest = next(iter(self._strangers[address]))
        self.leave(oldest)
        oldest.send_away()


def _remove(groups: dict[str, dict[Guest, None]], key: str, guest: Guest) -> bool:
    if guest not in groups.get(key, {}):
        return False
    del groups[key][guest]
    if not groups[key]:
        del groups[key]
    return True
