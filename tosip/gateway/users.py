"""Who may upload: names with hashed passwords.

A users file has one line a user, `name:scrypt$n$r$p$salt$hash` (salt and hash in base64), and `#`
comments. `tosip gateway passwd` asks for a password and writes such a line.

Hashing is slow on purpose, so it is done in threads, two at a time at most: each takes 16 MiB and
some 50 ms. How many may wait for that is for the caller to bound. Cameras log in for each file, so
a password once found right is remembered as a keyed digest, whose key never leaves this process;
the next log-in is quick. An unknown name is hashed against a decoy, so that it takes as long as a
wrong password, and gets the same replies.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tosip.errors import ConfigurationError
from tosip.tasks import run_in

COST, BLOCK_SIZE, PARALLEL = 1 << 14, 8, 1
LARGEST_MEMORY = 1 << 28
ANONYMOUS = ("anonymous", "ftp")


@dataclass(frozen=True, repr=False)
class _Hash:
    cost: int
    block_size: int
    parallel: int
    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> _Hash:
        """Raise ValueError for what `hash_password` cannot have written."""
        kind, *numbers, salt, digest = text.split("$")
        cost, block_size, parallel = map(int, numbers)
        hashed = cls(cost, block_size, parallel, _unpacked(salt), _unpacked(digest))
        if kind != "scrypt" or not hashed.usable():
            raise ValueError
        return hashed

    def usable(self) -> bool:
        fits = self.block_size > 0 and 128 * self.cost * self.block_size <= LARGEST_MEMORY // 2
        power = self.cost > 1 and self.cost & (self.cost - 1) == 0
        return fits and power and 0 < self.parallel <= 16 and bool(self.salt) and bool(self.digest)

    def matches(self, password: str) -> bool:
        return hmac.compare_digest(self.digest, _derive(password, self))


def hash_password(password: str, cost: int = COST) -> str:
    """Return what stands behind the name in a users file; takes some 50 ms.

    A random token cannot be guessed, whatever a guess costs: for one 2 is enough.
    """
    empty = _Hash(cost, BLOCK_SIZE, PARALLEL, secrets.token_bytes(16), bytes(32))
    digest = _derive(password, empty)
    return f"scrypt${cost}${BLOCK_SIZE}${PARALLEL}${_packed(empty.salt)}${_packed(digest)}"


def users_line(name: str, password: str) -> str:
    """Return a line for a users file; ConfigurationError for a name that cannot be one."""
    hashed = hash_password(password)
    if fault := _fault(name, hashed):
        raise ConfigurationError(f"Users: {fault}")
    return f"{name}:{hashed}"


class Users:
    """The users that may log in.

    >>> users = Users({"cam01": hash_password("secret")})
    >>> asyncio.run(users.verify("cam01", "secret"))
    True
    """

    def __init__(self, hashes: Mapping[str, str]) -> None:
        faults = [fault for name, text in hashes.items() if (fault := _fault(name, text))]
        if faults:
            raise ConfigurationError("\n".join(f"Users: {fault}" for fault in faults))
        self._hashes = {name: _Hash.parse(text) for name, text in hashes.items()}
        self._decoy = _Hash(COST, BLOCK_SIZE, PARALLEL, secrets.token_bytes(16), bytes(32))
        self._key = secrets.token_bytes(32)
        self._seen: dict[str, bytes] = {}
        self._threads = ThreadPoolExecutor(2, "gateway-password")

    @classmethod
    def load(cls, path: Path | str) -> Users:
        """Read a users file; every bad line is named at once, by number and never by content."""
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise ConfigurationError(
                f"Users.load: expected a users file, got {path} ({reason})"
            ) from None
        hashes: dict[str, str] = {}
        faults = []
        for number, line in enumerate(text.splitlines(), 1):
            name, _, hashed = line.strip().partition(":")
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            fault = "a second line for this user" if name in hashes else _fault(name, hashed)
            if fault:
                faults.append(f"{path}:{number}: {fault}")
            hashes[name] = hashed
        if faults:
            raise ConfigurationError("\n".join(faults))
        return cls(hashes)

    def __contains__(self, name: object) -> bool:
        return name in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    def __repr__(self) -> str:
        return f"Users({', '.join(self._hashes)})"

    def remembers(self, name: str, password: str) -> bool:
        """Tell, at once, whether they have been found to belong together before."""
        return hmac.compare_digest(self._seen.get(name, b""), self._keyed(password))

    async def verify(self, name: str, password: str) -> bool:
        """Tell whether they belong together; the time taken tells nothing about either.

        Who is cancelled while waiting for a thread takes none.
        """
        if self.remembers(name, password):
            return True
        hashed = self._hashes.get(name, self._decoy)
        right = await run_in(self._threads, functools.partial(hashed.matches, password))
        right = right and name in self._hashes
        if right:
            self._seen[name] = self._keyed(password)
        return right

    def _keyed(self, password: str) -> bytes:
        return hmac.digest(self._key, password.encode("utf-8", "surrogateescape"), "sha256")


def _fault(name: str, hashed: str) -> str:
    if not name.isprintable() or not name or name != name.strip() or ":" in name:
        return "expected name:scrypt$n$r$p$salt$hash, got no usable name"
    if name.lower() in ANONYMOUS:
        return f"expected a user with a name of its own, got {name}"
    try:
        _Hash.parse(hashed)
    except ValueError:
        return f"expected name:scrypt$n$r$p$salt$hash, got another form for {name}"
    return ""


def _derive(password: str, like: _Hash) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogateescape"),
        salt=like.salt,
        n=like.cost,
        r=like.block_size,
        p=like.parallel,
        maxmem=LARGEST_MEMORY,
        dklen=len(like.digest),
    )


def _packed(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError from None
