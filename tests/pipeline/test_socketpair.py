"""Messages and descriptors over a real socket."""

import fcntl
import os
import socket
from collections.abc import Iterator

import pytest

from tests.pipeline.rig import descriptors
from tosip.errors import ProtocolError
from tosip.pipeline import protocol, socketpair


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
    socketpair.send(ours, [made], "forget", buffers=[1, 2])
    message, given = socketpair.receive(theirs)
    assert message is not None
    assert message["buffers"] == [1, 2]
    assert os.pread(given[0], 6, 0) == b"pixels"
    assert not os.get_inheritable(given[0])
    socketpair.close([made, *given])


@pytest.mark.parametrize("size", [10, protocol.LONGEST_INLINE, 1 << 20, protocol.LONGEST - 1000])
def test_message_of_any_length_arrives_beside_its_descriptor(ends, size):
    ours, theirs = ends
    before = descriptors()
    made = socketpair.memfd("test")
    socketpair.send(ours, [made], "ready", description={"é": 1}, code_hash="x" * size)
    os.close(made)
    message, given = socketpair.receive(theirs)
    assert message is not None
    assert len(message["code_hash"]) == size
    assert len(given) == 1
    socketpair.close(given)
    assert descriptors() == before


def test_longest_message_is_refused_before_it_is_sent(ends):
    ours, theirs = ends
    with pytest.raises(ProtocolError, match="expected at most"):
        socketpair.send(ours, [], "ready", description={}, code_hash="x" * protocol.LONGEST)
    with pytest.raises(BlockingIOError):
        socketpair.receive(theirs)


def test_closed_peer_is_told_from_silence(ends):
    ours, theirs = ends
    with pytest.raises(BlockingIOError):
        socketpair.receive(theirs)
    ours.close()
    assert socketpair.receive(theirs) == (None, [])


def _memory(data: bytes, seals: int = socketpair.F_SEAL_SHRINK | socketpair.F_SEAL_GROW) -> int:
    made = socketpair.memfd("test")
    os.write(made, data)
    fcntl.fcntl(made, socketpair.F_ADD_SEALS, seals)
    return made


STOP = protocol.encode("stop")
BAD_LARGE = {
    "no descriptor": (lambda: [], len(STOP)),
    "not sealed": (lambda: [_memory(STOP, 0)], len(STOP)),
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
