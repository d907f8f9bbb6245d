"""Messages and descriptors over a Unix socket of whole packets; both sides use it.

A packet is one message. A message too long for a packet is announced by a short one and travels
in a sealed memfd. `send` and `receive` never block longer than the socket's own mode says.
Standard library only, Python 3.9.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Sequence
from typing import Any

from tosip.errors import ProtocolError
from tosip.pipeline import protocol

MOST_DESCRIPTORS = 4
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW if hasattr(fcntl, "F_SEAL_SHRINK") else 0x0006


def pair() -> tuple[socket.socket, socket.socket]:
    """Make the two ends of a channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, descriptors: Sequence[int], type_: str, **fields: Any) -> None:
    """Send one message with descriptors; OSError if the other side is gone."""
    data = protocol.encode(type_, **fields)
    if len(data) <= protocol.LONGEST_INLINE:
        socket.send_fds(sock, [data], list(descriptors))
        return
    large = os.memfd_create("tosip-message", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(large, "wb", closefd=False) as file:
            file.write(data)
        fcntl.fcntl(large, fcntl.F_ADD_SEALS, _SEALS)
        header = protocol.encode("large", bytes=len(data))
        socket.send_fds(sock, [header], [*descriptors, large])
    finally:
        os.close(large)


def receive(sock: socket.socket) -> tuple[protocol.Message | None, list[int]]:
    """Receive one message and the descriptors beside it, which the caller has to close.

    The message is None when the other side has closed. A packet that is not what was agreed
    raises ProtocolError, its descriptors closed.
    """
    data, descriptors, flags, _ = socket.recv_fds(
        sock, protocol.LONGEST_INLINE + 1, MOST_DESCRIPTORS
    )
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise ProtocolError("packet: expected a shorter one or fewer descriptors")
        if not data:
            close(descriptors)
            return None, []
        message = protocol.decode(data)
        if message.type == "large":
            message = _receive_large(message["bytes"], descriptors)
    except ProtocolError:
        close(descriptors)
        raise
    return message, descriptors


def _receive_large(size: int, descriptors: list[int]) -> protocol.Message:
    if not descriptors or not 0 < size <= protocol.LONGEST:
        raise ProtocolError(f"large: expected a descriptor of 1 to {protocol.LONGEST} bytes")
    descriptor = descriptors.pop()
    try:
        # Read, not mapped: a sender that shortens the file must not kill the reader.
        data = os.pread(descriptor, size, 0)
    except OSError as error:
        raise ProtocolError(f"large: expected a readable descriptor, got {error}") from error
    finally:
        os.close(descriptor)
    return protocol.decode(data)


def close(descriptors: Sequence[int]) -> None:
    """Close descriptors that nobody wants."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
