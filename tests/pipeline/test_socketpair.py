"""Messages and descriptors over a real socket."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator

import numpy as np
import pytest

from tests.pipeline.rig import descriptors
from tosip.errors import ProtocolError
from tosip.pipeline import protocol, socketpair

RESULT = {
    "sequence": 1,
    "status": "ok",
    "message": "",
    "outputs": {},
    "params": {},
    "attributes": {},
    "image": None,
    "seconds": 0.0,
}


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socketpair.pair()
    with ours, theirs:
        theirs.setblocking(False)
        yield ours, theirs


def test_message_and_descriptor_arrive_and_are_not_inherited(ends):
    ours, theirs = ends
    made = socketpair.memfd("test")
    os.write(made, b"pixels")
    socketpair.send(ours, [made], "forget", buffers=[1, 2], images=[])
    message, given = socketpair.receive(theirs)
    assert message is not None
    assert message["buffers"] == [1, 2]
    assert os.pread(given[0], 6, 0) == b"pixels"
    assert not os.get_inheritable(given[0])
    socketpair.close([made, *given])


@pytest.mark.parametrize(
    "size", [10, protocol.LONGEST_INLINE, 1 << 20, protocol.LONGEST_JSON - 1000]
)
def test_message_of_any_length_arrives_beside_its_descriptor(ends, size):
    ours, theirs = ends
    before = descriptors()
    made = socketpair.memfd("test")
    socketpair.send(ours, [made], "ready", description={"é": "x" * size}, data={})
    os.close(made)
    message, given = socketpair.receive(theirs)
    assert message is not None
    assert len(message["description"]["é"]) == size
    assert len(given) == 1
    socketpair.close(given)
    assert descriptors() == before


@pytest.mark.parametrize("count", [0, 3, 100_000, protocol.LONGEST // 8 - 1000])
def test_array_of_any_length_arrives_and_leaves_no_descriptor(ends, count):
    ours, theirs = ends
    before = descriptors()
    line = np.arange(count, dtype=np.float64)
    socketpair.send(ours, [], "result", **{**RESULT, "outputs": {"line": line}})
    message, given = socketpair.receive(theirs)
    assert message is not None
    assert given == []
    np.testing.assert_array_equal(message["outputs"]["line"], line)
    assert descriptors() == before


def test_message_is_encoded_once_however_often_it_is_tried(ends):
    ours, theirs = ends
    ours.setblocking(False)
    data = protocol.encode("failed", sequence=1, stage="", error="", traceback="x" * 1000)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < 10_000:
            socketpair.send_encoded(ours, [], data)
            sent += 1
    assert 0 < sent < 10_000
    for _ in range(sent):
        socketpair.receive(theirs)
    socketpair.send_encoded(ours, [], data)
    assert socketpair.receive(theirs)[0] is not None


def test_longest_message_is_refused_before_it_is_sent(ends):
    ours, theirs = ends
    with pytest.raises(ProtocolError, match="expected at most"):
        socketpair.send(ours, [], "ready", description={"x": "x" * protocol.LONGEST}, data={})
    with pytest.raises(BlockingIOError):
        socketpair.receive(theirs)


def test_closed_peer_is_told_from_silence(ends):
    ours, theirs = ends
    with pytest.raises(BlockingIOError):
        socketpair.receive(theirs)
    ours.close()
    assert socketpair.receive(theirs) == (None, [])


def _memory(data: bytes, seals: int = socketpair.SEALS) -> int:
    made = socketpair.memfd("test")
    os.write(made, data)
    fcntl.fcntl(made, socketpair.F_ADD_SEALS, seals)
    return made


STOP = protocol.encode("stop")
SHRINK_AND_GROW = socketpair.F_SEAL_SHRINK | socketpair.F_SEAL_GROW
BAD_LARGE = {
    "no descriptor": (lambda: [], len(STOP)),
    "not sealed": (lambda: [_memory(STOP, 0)], len(STOP)),
    "writable": (lambda: [_memory(STOP, SHRINK_AND_GROW)], len(STOP)),
    "too short": (lambda: [_memory(STOP)], len(STOP) + 1),
    "too long": (lambda: [_memory(STOP)], len(STOP) - 1),
    "negative": (lambda: [_memory(STOP)], -1),
    "above the limit": (lambda: [_memory(STOP)], protocol.LONGEST + 1),
    "a pipe": (lambda: list(os.pipe()), len(STOP)),
    "a file": (lambda: [os.open(__file__, os.O_RDONLY)], len(STOP)),
    "rubbish": (lambda: [_memory(b"rubbish")], 7),
}


@pytest.mark.parametrize(("make", "size"), BAD_LARGE.values(), ids=BAD_LARGE)
def test_bad_large_message_is_refused_and_leaks_nothing(ends, make, size):
    ours, theirs = ends
    before = descriptors()
    given = make()
    socket.send_fds(ours, [protocol.encode("large", bytes=size)], given)
    socketpair.close(given)
    with pytest.raises(ProtocolError):
        socketpair.receive(theirs)
    assert descriptors() == before


@pytest.mark.parametrize("packet", [b"rubbish", STOP, b"x" * (protocol.LONGEST_INLINE + 10)])
def test_too_many_descriptors_or_rubbish_leak_nothing(ends, packet):
    ours, theirs = ends
    before = descriptors()
    many = [os.dup(0) for _ in range(50)]
    socket.send_fds(ours, [packet], many)
    socketpair.close(many)
    with pytest.raises(ProtocolError):
        socketpair.receive(theirs)
    assert descriptors() == before


def test_sealed_memory_of_a_message_cannot_be_written(ends):
    made = _memory(STOP)
    with pytest.raises(PermissionError):
        os.pwrite(made, b"x", 0)
    os.close(made)


def test_memory_can_be_made_without_help_of_os():
    # Pythons from conda and uv are built for a C library that has no memfd_create.
    made = socketpair._memfd_of_libc("test")
    os.write(made, b"1234")
    fcntl.fcntl(made, socketpair.F_ADD_SEALS, socketpair.F_SEAL_SHRINK)
    assert "memfd:test" in os.readlink(f"/proc/self/fd/{made}")
    with pytest.raises(PermissionError):
        os.ftruncate(made, 1)
    assert not os.get_inheritable(made)
    os.close(made)
