"""A simulated camera: plain sockets, a thread of its own, and a ledger of what it was told."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from tests.gateway.faults.ledger import Ending, Ledger

TIMEOUT = 10.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)

# What a camera sees of a gateway that is gone: refused, reset, no answer, no line.
Gone = (OSError, EOFError)


class Refused(Exception):
    """The gateway has answered with an error."""


class Camera:
    """One control connection, logged in; all methods raise one of `Gone` when it is lost.

    `said` is the last reply.
    """

    def __init__(
        self, port: int, ledger: Ledger, user: str = "cam01", password: str = "secret"
    ) -> None:
        self.ledger = ledger
        self.said = ""
        self._login = (port, ledger, user, password)
        self._control = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._replies = self._control.makefile("rb")
        try:
            self._expect("220")
            self.ask(f"USER {user}", "331")
            self.ask(f"PASS {password}", "230")
            self.ask("TYPE I", "200")
        except BaseException:
            self.close()
            raise

    def again(self) -> Camera:
        """Log in once more, beside this one."""
        return Camera(*self._login)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up, without a word."""
        self._replies.close()
        self._control.close()

    def upload(self, name: str, data: bytes, *, also: tuple[str, ...] = ()) -> str:
        """Upload and return the reply; `also` are names that the file may get later."""
        with self.sending(f"STOR {name}") as connection:
            if connection is None:
                return self._note((name, *also), data, Ending.REFUSED)
            return self._send_all(connection, data, (name, *also), data)

    def upload_renamed(self, name: str, data: bytes, *, temporary: str) -> str:
        """Upload under a temporary name and rename; return the last reply."""
        reply = self.upload(temporary, data, also=(name,))
        if not reply.startswith("226"):
            return reply
        self.ask(f"RNFR {temporary}", "350")
        reply = self.ask(f"RNTO {name}", "250")
        self.ledger.add_rename(name, data)
        return reply

    def upload_in_two(self, name: str, data: bytes, *, cut: int, append: bool) -> str:
        """Break an upload after `cut` bytes, look how much is there, and send the rest."""
        self.break_off(name, data, cut=cut)
        reply = self.command(f"SIZE {name}")
        there = int(reply.split()[1]) if reply.startswith("213") else 0
        if not 0 < there < len(data):
            return self.upload(name, data)
        if not append:
            self.ask(f"REST {there}", "350")
        with self.sending(f"{'APPE' if append else 'STOR'} {name}") as connection:
            if connection is None:
                return self._note((name,), data, Ending.REFUSED)
            return self._send_all(connection, data[there:], (name,), data)

    def break_off(self, name: str, data: bytes, *, cut: int) -> None:
        """Reset the data connection after `cut` bytes."""
        with self.sending(f"STOR {name}") as connection:
            if connection is not None:
                connection.sendall(data[:cut])
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        if connection is not None:
            self._expect_broken((name,), data)

    def end_short(self, name: str, data: bytes, *, cut: int) -> None:
        """End the upload after `cut` bytes, as if that were all."""
        with self.sending(f"STOR {name}") as connection:
            if connection is not None:
                connection.sendall(data[:cut])
        if connection is not None:
            self._expect_broken((name,), data)

    def abort(self, name: str, data: bytes, *, cut: int) -> None:
        """Send ABOR after `cut` bytes."""
        with self.sending(f"STOR {name}") as connection:
            if connection is None:
                return
            connection.sendall(data[:cut])
            self._say("ABOR")
            self._expect_broken((name,), data)
        self._expect("2")

    def leave(self, name: str, data: bytes, *, cut: int) -> None:
        """Hang up both connections after `cut` bytes."""
        with self.sending(f"STOR {name}") as connection:
            if connection is not None:
                connection.sendall(data[:cut])
            self.ledger.add((name,), data, Ending.BROKEN)
            self.close()

    def command(self, line: str) -> str:
        """Send a command and return the reply, whatever it is."""
        self._say(line)
        return self.reply()

    def ask(self, line: str, code: str) -> str:
        """Send a command; raise Refused unless the reply begins with `code`."""
        self._say(line)
        return self._expect(code)

    @contextlib.contextmanager
    def sending(self, command: str) -> Iterator[socket.socket | None]:
        """Open a data connection; None when the upload was refused before it began."""
        numbers = self.ask("PASV", "227").rsplit("(", 1)[1].split(")")[0].split(",")
        address = ("127.0.0.1", 256 * int(numbers[4]) + int(numbers[5]))
        with socket.create_connection(address, TIMEOUT) as connection:
            self._say(command)
            yield connection if self.reply().startswith("1") else None

    def _send_all(
        self, connection: socket.socket, rest: bytes, names: tuple[str, ...], data: bytes
    ) -> str:
        """Send what is left of `data`; write down how it ended."""
        try:
            connection.sendall(rest)
        except OSError:
            self.ledger.add(names, data, Ending.BROKEN)
            raise
        connection.close()
        try:
            reply = self.reply()
        except Gone:
            self.ledger.add(names, data, Ending.UNKNOWN)
            raise
        good = reply.startswith("226")
        return self._note(names, data, Ending.ACKNOWLEDGED if good else Ending.REFUSED)

    def _note(self, names: tuple[str, ...], data: bytes, ending: Ending) -> str:
        self.ledger.add(names, data, ending)
        return self.said

    def _expect_broken(self, names: tuple[str, ...], data: bytes) -> None:
        self.ledger.add(names, data, Ending.BROKEN)
        reply = self.reply()
        if reply.startswith("2"):
            self.ledger.wrong(f"{names[0]} was cut short, and the gateway says {reply}")

    def _say(self, line: str) -> None:
        self._control.sendall(f"{line}\r\n".encode())

    def _expect(self, code: str) -> str:
        reply = self.reply()
        if not reply.startswith(code):
            raise Refused(f"expected {code}, got {reply}")
        return reply

    def reply(self, timeout: float = TIMEOUT) -> str:
        """Read a reply."""
        self._control.settimeout(timeout)
        lines = [self._line()]
        while lines[0][3:4] == "-" and not lines[-1].startswith(lines[0][:3] + " "):
            lines.append(self._line())
        self.said = lines[-1]
        return self.said

    def _line(self) -> str:
        line = self._replies.readline().decode()
        if not line.endswith("\n"):
            raise EOFError("expected a line, got the end of the control connection")
        return line.strip()
