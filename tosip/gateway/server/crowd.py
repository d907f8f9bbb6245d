"""Who is connected: how many in all, from one address, as one user, and not logged in yet.

A slot is never held by just being connected: when there are too many strangers (those that have not
logged in), one of the address that is most in the way is sent away: of its silent ones the oldest,
then of those that have given a name. So a crowd of silent connections only ever pushes out itself,
and a camera that logs in at once always finds room. Whose password is being tried stays: these are
few (`turns`).

An IPv6 host has a whole network of addresses, its /64, so that counts as one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tosip.gateway.receiving.data import plain_address
from tosip.gateway.settings import Limits

# How many that have given a name are as much in the way as one that is silent: a crowd of many
# addresses must not push out some cameras behind one, nor one address that gives names a camera
# that has just come.
SILENCE = 8
NETWORK = 64


@dataclass(eq=False)
class Guest:
    """One control connection; `send_away` ends it and must not fail. `user` is set by `log_in`.

    `spoke` tells that it has given a name or shaken hands, `trying` that its password is being
    tried. `origin` is what it is counted by.
    """

    address: str
    send_away: Callable[[], None]
    user: str = ""
    spoke: bool = False
    trying: bool = False
    origin: str = field(init=False)

    def __post_init__(self) -> None:
        self.origin = origin_of(self.address)

    @property
    def burden(self) -> int:
        """How much it is in the way."""
        return 0 if self.trying else 1 if self.spoke else SILENCE


@dataclass
class Crowd:
    """Counts guests against the limits; `on_change` is called when log-ins change."""

    limits: Limits
    on_change: Callable[[], None]
    _strangers: dict[str, dict[Guest, None]] = field(default_factory=dict)
    _members: dict[str, dict[Guest, None]] = field(default_factory=dict)
    _origins: dict[str, int] = field(default_factory=dict)

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
        return self._refusal(origin_of(address))

    def enter(self, guest: Guest) -> str:
        """Let a stranger in; return why not, or nothing."""
        if refusal := self._refusal(guest.origin):
            return refusal
        if leaving := self._in_the_way(guest.origin):
            self.leave(leaving)
            leaving.send_away()
        self._origins[guest.origin] = self._origins.get(guest.origin, 0) + 1
        self._strangers.setdefault(guest.origin, {})[guest] = None
        return ""

    def log_in(self, guest: Guest, user: str) -> str:
        """Make a stranger a member; return why not, or nothing."""
        if guest not in self._strangers.get(guest.origin, {}):
            return "others were waiting"
        if self.logged_in >= self.limits.connections:
            return "too many are logged in"
        if len(self._members.get(user, ())) >= self.limits.per_user:
            return "too many connections of this user"
        _remove(self._strangers, guest.origin, guest)
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
        self._strangers.setdefault(guest.origin, {})[guest] = None
        self.on_change()

    def leave(self, guest: Guest) -> None:
        """Forget a guest; this may be repeated."""
        was_stranger = _remove(self._strangers, guest.origin, guest)
        was_member = _remove(self._members, guest.user, guest)
        if was_stranger or was_member:
            self._origins[guest.origin] -= 1
            if not self._origins[guest.origin]:
                del self._origins[guest.origin]
        if was_member:
            self.on_change()

    def _refusal(self, origin: str) -> str:
        if self.logged_in >= self.limits.connections:
            return "too many are logged in"
        if self._is_full(origin) and not _burden(self._strangers.get(origin, ())):
            return "too many connections from this address"
        if self._is_crowded() and not any(map(_burden, self._strangers.values())):
            return "too many are logging in"
        return ""

    def _in_the_way(self, origin: str) -> Guest | None:
        """Return who has to go when one more comes from there; None when there is room."""
        if not self._is_full(origin):
            if not self._is_crowded():
                return None
            origin = max(self._strangers, key=lambda one: _burden(self._strangers[one]))
        return max(self._strangers[origin], key=lambda guest: guest.burden)

    def _is_full(self, origin: str) -> bool:
        return self._origins.get(origin, 0) >= self.limits.per_address

    def _is_crowded(self) -> bool:
        return sum(map(len, self._strangers.values())) >= self.limits.strangers


def origin_of(address: str) -> str:
    """Return what is counted as one: an IPv4 address, or the network of an IPv6 address."""
    plain = ipaddress.ip_address(plain_address(address))
    if plain.version == 4:
        return str(plain)
    return str(ipaddress.ip_network((plain, NETWORK), strict=False))


def _burden(guests: Iterable[Guest]) -> int:
    return sum(guest.burden for guest in guests)


def _remove(groups: dict[str, dict[Guest, None]], key: str, guest: Guest) -> bool:
    if guest not in groups.get(key, {}):
        return False
    del groups[key][guest]
    if not groups[key]:
        del groups[key]
    return True
