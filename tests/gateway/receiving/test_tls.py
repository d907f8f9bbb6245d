"""Protected data connections: an end that was not announced proves that something is missing."""

import contextlib
import itertools
import socket
import ssl
import struct
import time

import pytest

from tosip.gateway.receiving.refusal import Fate

RESET = struct.pack("ii", 1, 0)


@pytest.fixture
def protected(reception, contexts):
    """An upload with TLS; `shake` gives the client's side of it once it has begun."""
    server, client = contexts
    reception.make(tls=server)

    def shake():
        reception.client = client.wrap_socket(reception.client, server_hostname="localhost")
        return reception.client

    reception.shake = shake
    return reception


def test_whole_file_is_received_and_the_client_hears_the_end(protected, large_frame):
    outcome = protected.begin()
    client = protected.shake()
    client.sendall(large_frame)
    client.unwrap()  # waits for our notice, as ftplib does
    assert outcome.result() is True
    assert protected.written() == large_frame
    assert protected.decoded() == large_frame


def test_client_that_never_reads_after_the_handshake_loses_nothing(
    protected, contexts, large_frame
):
    outcome = protected.begin()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = contexts[1].wrap_bio(incoming, outgoing, server_hostname="localhost")
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            protected.client.sendall(outgoing.read())
            incoming.write(protected.client.recv(4096))
    client.write(large_frame)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.unwrap()
    # Closed with something unread, the connection would be reset, and the last bytes lost.
    protected.send_all(outgoing.read())
    assert outcome.result() is True
    assert protected.written() == large_frame


@pytest.mark.parametrize("cut", [0, 1, 2880, 20_000, 1 << 20, None])
def test_end_without_notice_is_426_although_the_file_looks_whole(
    protected, large_frame, refusal_of, cut
):
    outcome = protected.begin()
    client = protected.shake()
    client.sendall(large_frame[:cut])
    with socket.socket(fileno=client.detach()) as plain:
        plain.shutdown(socket.SHUT_WR)
        error = refusal_of(outcome)
    assert (error.code, error.fate) == ("426", Fate.KEEP)
    assert "without notice" in str(error)
    assert protected.written() == large_frame[:cut]
    assert protected.upload.description().size == len(protected.written())


def test_reset_is_426(protected, large_frame, refusal_of):
    outcome = protected.begin()
    client = protected.shake()
    client.sendall(large_frame[:1_500_000])
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    assert refusal_of(outcome).code == "426"


def test_short_file_with_a_proper_end_is_451(protected, small_frame, refusal_of):
    outcome = protected.begin()
    client = protected.shake()
    client.sendall(small_frame[:-1])
    client.unwrap()
    assert refusal_of(outcome).code == "451"


@pytest.mark.parametrize(
    "greeting", [b"GET / HTTP/1.1\r\n\r\n", b"SIMPLE  =" + bytes(9000), b"\x16\x03\x01\xff\xff"]
)
def test_other_protocol_on_the_port_is_425(protected, refusal_of, greeting):
    outcome = protected.begin()
    with contextlib.suppress(OSError):  # it may be hung up on at the first byte
        protected.client.sendall(greeting)
        protected.client.shutdown(socket.SHUT_WR)
    error = refusal_of(outcome)
    assert (error.code, error.fate) == ("425", Fate.KEEP)
    assert "TLS handshake failed" in str(error)
    assert protected.written() == b""


def test_client_that_hangs_up_before_the_handshake_is_425(protected, refusal_of):
    protected.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    protected.client.close()
    protected.until(lambda: _is_gone(protected.server))
    assert refusal_of(protected.begin()).code == "425"


def _is_gone(connection: socket.socket) -> bool:
    try:
        connection.getpeername()
    except OSError:
        return True
    return False


def test_client_that_does_not_shake_hands_is_425(protected, contexts, refusal_of):
    protected.make(tls=contexts[0], connect_timeout=0.1)
    assert "no TLS handshake within 0.1 s" in str(refusal_of(protected.begin()))


def test_garbage_after_the_handshake_is_426(protected, small_frame, refusal_of):
    outcome = protected.begin()
    client = protected.shake()
    client.sendall(small_frame)
    with socket.socket(fileno=client.detach()) as plain:
        plain.sendall(b"this is no record of TLS" * 9)
        error = refusal_of(outcome)
    assert error.code == "426"
    assert protected.written() == small_frame


def test_stalled_client_is_given_up(protected, contexts, small_frame, refusal_of):
    protected.make(tls=contexts[0], stall_timeout=0.2)
    outcome = protected.begin()
    protected.shake().sendall(small_frame[:20_000])
    error = refusal_of(outcome)
    assert (error.code, error.fate) == ("426", Fate.KEEP)
    assert len(protected.written()) == 20_000


def test_dripping_client_is_given_up(protected, contexts, small_frame, refusal_of):
    protected.make(tls=contexts[0], stall_timeout=0.2, least_rate=100_000)
    outcome = protected.begin()
    client = protected.shake()
    with contextlib.suppress(OSError):
        for at in itertools.count():
            client.sendall(small_frame[at : at + 1])
            time.sleep(0.01)
    assert "expected at least" in str(refusal_of(outcome))


@pytest.mark.parametrize("shaken", [False, True])
def test_abort_is_426_at_any_time(protected, small_frame, refusal_of, shaken):
    outcome = protected.begin()
    if shaken:
        protected.shake().sendall(small_frame)
    else:
        protected.until(lambda: isinstance(protected.upload._connection, ssl.SSLSocket))
    protected.upload.abort("ABOR")
    error = refusal_of(outcome)
    assert (error.code, str(error)) == ("426", "upload interrupted: ABOR")
