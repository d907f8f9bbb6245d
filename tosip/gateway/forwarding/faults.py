"""What can go wrong on the way to the archive, by whose fault it is.

`ArchiveRefusal`, `SpoolDamage` and `SpoolUnreadable` concern one file, `SpoolTrouble` the machine
that we run on; all other exceptions put the archive in doubt: it is left in peace for a while.
"""

from __future__ import annotations

import os
import socket
import ssl

import aioftp

from tosip.errors import DeliveryError
from tosip.gateway.forwarding.pace import TooSlow

# Others, such as 552, may be said to all files by an archive that is full or broken.
ABOUT_FILE = ("501", "550", "551", "553", "554")
NOT_LOGGED_IN = "530"
LONGEST_EXPLANATION = 200


class ArchiveRefusal(DeliveryError):
    """The archive does not take this file, or did not keep it as it was sent."""


class SpoolDamage(DeliveryError):
    """The spool's copy is not what was acknowledged; it must not be sent."""


class SpoolTrouble(DeliveryError):
    """The spool cannot be read or written now; neither file nor archive is to blame."""


class SpoolUnreadable(DeliveryError):
    """The disk does not give back the spool's copy; perhaps another day."""


class ForgottenFile(DeliveryError):
    """The file is not to be delivered any more: a person has given it up."""


class UnexpectedReply(aioftp.StatusCodeError):
    """The archive's reply to a command is none that helps."""

    def __init__(self, command: str, code: aioftp.Code, lines: list[str]) -> None:
        super().__init__((), code, lines)
        self.verb = command.partition(" ")[0]


def is_about_file(error: aioftp.StatusCodeError) -> bool:
    """Tell whether the archive's words are about the file at hand."""
    return error.received_codes[-1] in ABOUT_FILE


def is_permanent(error: BaseException) -> bool:
    """Tell whether the archive's words are about the file if it takes others meanwhile."""
    if not isinstance(error, aioftp.StatusCodeError):
        return False
    code = error.received_codes[-1]
    return code.startswith("5") and code != NOT_LOGGED_IN


def explain(error: BaseException) -> str:
    """Say in one printable line what went wrong."""
    text = "".join(letter if letter.isprintable() else "?" for letter in _words(error))
    return text if len(text) <= LONGEST_EXPLANATION else text[: LONGEST_EXPLANATION - 3] + "..."


def _words(error: BaseException) -> str:
    if isinstance(error, aioftp.StatusCodeError):
        verb = f"{error.verb}: " if isinstance(error, UnexpectedReply) else ""
        return f"{verb}{error.received_codes[-1]} {' '.join(error.info).strip(' -')}"
    if isinstance(error, DeliveryError | TooSlow):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError | socket.gaierror):
        return str(error.strerror or error)
    if isinstance(error, OSError) and error.errno:
        # asyncio puts addresses into the text, which change from try to try.
        return os.strerror(error.errno)
    return f"{type(error).__name__}: {error}".removesuffix(": ")
