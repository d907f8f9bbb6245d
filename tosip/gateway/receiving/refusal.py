"""Uploads that are not acknowledged: the reply, and what becomes of the bytes that came."""

from __future__ import annotations

import errno
from enum import StrEnum

from tosip.errors import TosipError


class Fate(StrEnum):
    """What becomes of the bytes: dropped, kept so that the client may go on, or put aside."""

    DISCARD = "discard"
    KEEP = "keep"
    QUARANTINE = "quarantine"


class UploadError(TosipError):
    """An upload that is not acknowledged; `code` is what FTP calls the reason.

    `fate` tells what the caller does with the partial: `Spool.discard`, `keep` or `quarantine`.
    """

    def __init__(self, code: str, reason: str, fate: Fate = Fate.DISCARD) -> None:
        super().__init__(reason)
        self.code = code
        self.fate = fate


def interrupted(reason: str) -> UploadError:
    """Return the error of an upload that ended before its end: 426, and it may be resumed."""
    return UploadError("426", f"upload interrupted: {reason}", Fate.KEEP)


def unconnected(reason: str) -> UploadError:
    """Return the error of an upload whose data connection did not come: 425."""
    return UploadError("425", reason, Fate.KEEP)


def from_os_error(error: OSError) -> UploadError:
    """Turn what the disk says into what FTP says."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    code, hint = ("452", "disk full") if full else ("451", "storage failed")
    return UploadError(code, f"upload discarded: {hint} ({error.strerror})")
