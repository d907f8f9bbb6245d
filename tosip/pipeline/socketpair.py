"""Messages and descriptors over a Unix socket of whole packets; both sides use it.

A packet is one message. A message too long for a packet is announced by a short one and travels
in a memfd that is sealed: it can neither shrink, grow nor change while the other side reads it.
`send` and `receive` never block longer than the socket's own mode says.
Standard library only, Python 3.9, and of `os` and `fcntl` no more than conda's and uv's Pythons
have, which are built for a C library that is older than memfd.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Sequence
from typing import Any

from tosip.errors import ProtocolError
from tosip.pipeline import protocol

MOST_DESCRIPTORS = 4

# From Linux's fcntl.h and memfd.h.
F_ADD_SEALS = 1033
F_GET_SEALS = 1034
F_SEAL_SHRINK = 0x0002
F_SEAL_GROW = 0x0004
F_SEAL_WRITE = 0x0008
_MFD_CLOEXEC = 0x0001
_MFD_ALLOW_SEALING = 0x0002
SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE

_MSG_CMSG_CLOEXEC = 0x40000000  # Linux's; PyPy has no name for it
_CONTROL_BYTES = socket.CMSG_LEN(MOST_DESCRIPTORS * 4)


class ContentLost(OSError):
    """This process had no descriptor or memory for what came with a packet.

    `message` is what came nevertheless; None if the message itself is lost.
    """

    def __init__(self, number: int, message: protocol.Message | None = None) -> None:
        super().__init__(number, os.strerror(number))
        self.message = message


def memfd(name: str) -> int:
    """Make nameless shared memory that can be sealed and return its descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, _MFD_CLOEXEC | _MFD_ALLOW_SEALING)
    return _memfd_of_libc(name)


def _memfd_of_libc(name: str) -> int:
    create = ctypes.CDLL(None, use_errno=True).memfd_create
    descriptor: int = create(name.encode(), ctypes.c_uint(_MFD_CLOEXEC | _MFD_ALLOW_SEALING))
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return descriptor


def pair() -> tuple[socket.socket, socket.socket]:
    """Make the two ends of a channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, descriptors: Sequence[int], type_: str, **fields: Any) -> None:
    """Send one message with descriptors; OSError if the other side is gone."""
    send_encoded(sock, descriptors, protocol.encode(type_, **fields))


def send_encoded(sock: socket.socket, descriptors: Sequence[int], data: bytes) -> None:
    """Send a message that `protocol.encode` has made; who has to try again encodes once."""
    if len(data) <= protocol.LONGEST_INLINE:
        _send_packet(sock, data, descriptors)
        return
    large = memfd("tosip-message")
    try:
        with open(large, "wb", closefd=False) as file:
            file.write(data)
        fcntl.fcntl(large, F_ADD_SEALS, SEALS)
        header = protocol.encode("large", bytes=len(data))
        _send_packet(sock, header, [*descriptors, large])
    finally:
        os.close(large)


def _send_packet(sock: socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
    if not descriptors:
        sock.send(data)
        return
    beside = struct.pack(f"{len(descriptors)}i", *descriptors)
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, beside)])


def receive(sock: socket.socket) -> tuple[protocol.Message | None, list[int]]:
    """Receive one message and the descriptors beside it, which the caller has to close.

    The message is None when the other side has closed. A packet that is not what was agreed
    raises ProtocolError, its descriptors closed; ContentLost if this process has no room for them.
    """
    # Python makes 64 KiB of room sooner than it copies out of a buffer that is kept.
    data, control, flags, _ = sock.recvmsg(
        protocol.LONGEST_INLINE + 1, _CONTROL_BYTES, _MSG_CMSG_CLOEXEC
    )
    descriptors = _descriptors(control)
    # The kernel stops at the first that it has no place for, in this process or in our buffer.
    lost = bool(flags & socket.MSG_CTRUNC) and len(descriptors) < MOST_DESCRIPTORS
    try:
        if flags & socket.MSG_TRUNC or (flags & socket.MSG_CTRUNC and not lost):
            raise ProtocolError("packet: expected a shorter one or fewer descriptors")
        if not data:
            close(descriptors)
            return None, []
        message = protocol.decode(data)
        if lost:
            close(descriptors)
            raise ContentLost(errno.EMFILE, None if message.type == "large" else message)
        if message.type == "large":
            message = _receive_large(message["bytes"], descriptors)
    except ProtocolError:
        close(descriptors)
        raise
    return message, descriptors


def _descriptors(control: Sequence[tuple[int, int, bytes]]) -> list[int]:
    found: list[int] = []
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            count = len(data) // 4
            found += struct.unpack(f"{count}i", data[: 4 * count])
    return found


def _receive_large(size: int, descriptors: list[int]) -> protocol.Message:
    if not descriptors or not 0 < size <= protocol.LONGEST:
        raise ProtocolError(f"large: expected a descriptor of 1 to {protocol.LONGEST} bytes")
    descriptor = descriptors.pop()
    try:
        # Only sealed memory: reading from anything else might block, or never end.
        if fcntl.fcntl(descriptor, F_GET_SEALS) & SEALS != SEALS:
            raise ProtocolError("large: expected sealed memory, got one that is not sealed")
        given = os.fstat(descriptor)
        if not stat.S_ISREG(given.st_mode) or given.st_size != size:
            raise ProtocolError(f"large: expected {size} bytes, got {given.st_size}")
        data = os.pread(descriptor, size, 0)
    except MemoryError:
        raise ContentLost(errno.ENOMEM) from None
    except OSError as error:
        raise ProtocolError(f"large: expected sealed memory, got {error}") from error
    finally:
        os.close(descriptor)
    return protocol.decode(data)


def close(descriptors: Sequence[int]) -> None:
    """Close descriptors that nobody wants."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
