"""One upload from the data connection to the partial file: what ends it, and what is kept."""

import asyncio
import socket
import threading
import time

import pytest

from tosip.gateway.digest import new_digest
from tosip.gateway.receiving.data import PassivePort
from tosip.gateway.receiving.memory import Memory
from tosip.gateway.receiving.refusal import Fate, UploadError
from tosip.gateway.settings import Policy
from tosip.gateway.spool.disk import Disk

CUTS = [0, 1, 2879, 2880, 65536, -1]


def assert_kept(reception, sent):
    """What is on the disk is the beginning of what was sent, and is described exactly."""
    written = reception.written()
    assert sent.startswith(written)
    described = reception.upload.description()
    assert described.size == len(written)
    assert described.digest == new_digest().update(written).hexdigest()
    assert not described.proven


def test_whole_file_is_written_hashed_proven_and_in_memory(reception, large_frame):
    outcome = reception.begin()
    reception.send_all(large_frame)
    assert outcome.result() is True
    assert reception.written() == large_frame
    described = reception.upload.description(camera="cam7", held=True)
    assert described.size == len(large_frame)
    assert described.digest == new_digest().update(large_frame).hexdigest()
    assert (described.name, described.user, described.camera) == ("x.fits", "cam01", "cam7")
    assert described.proven
    assert described.held
    assert reception.received.complete
    assert reception.decoded() == large_frame


def test_header_is_there_to_tell_the_camera(reception, small_frame):
    outcome = reception.begin()
    reception.send_all(small_frame)
    outcome.result()
    assert reception.upload.header["CAMERA"] == "cam 7/a"
    assert reception.upload.header["BITPIX"] == "16"


@pytest.mark.parametrize("cut", CUTS)
def test_fin_short_of_the_headers_is_451_and_for_the_quarantine(
    reception, small_frame, refusal_of, cut
):
    sent = small_frame[:cut]
    outcome = reception.begin()
    reception.send_all(sent)
    error = refusal_of(outcome)
    assert (error.code, error.fate) == ("451", Fate.QUARANTINE)
    assert str(error).endswith(f"bytes (FITS headers), got {len(sent)}")
    assert reception.written() == sent
    assert_kept(reception, small_frame)


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_fin_at_a_boundary_of_our_own_blocks_is_found(reception, large_frame, refusal_of, blocks):
    sent = large_frame[: blocks << 20]
    outcome = reception.begin()
    reception.send_all(sent)
    assert f"expected {2880 if not blocks else len(large_frame)} " in str(refusal_of(outcome))
    assert reception.written() == sent


@pytest.mark.parametrize("cut", [*CUTS, None])
def test_reset_at_any_byte_is_426_and_what_came_is_kept(reception, small_frame, refusal_of, cut):
    outcome = reception.begin()
    reception.client.sendall(small_frame[:cut])
    reception.reset()
    error = refusal_of(outcome)
    assert (error.code, error.fate) == ("426", Fate.KEEP)
    assert_kept(reception, small_frame)


def test_reset_in_the_middle_keeps_what_was_read_before(reception, large_frame, refusal_of):
    outcome = reception.begin()
    reception.client.sendall(large_frame[:1_500_000])
    reception.until(lambda: reception.upload.size >= 1 << 20)
    reception.reset()
    assert refusal_of(outcome).code == "426"
    assert len(reception.written()) >= 1 << 20
    assert_kept(reception, large_frame)


def test_client_that_stops_is_given_up(reception, small_frame, refusal_of):
    reception.make(stall_timeout=0.1)
    outcome = reception.begin()
    reception.client.sendall(small_frame[:9000])
    error = refusal_of(outcome)
    assert (error.code, error.fate) == ("426", Fate.KEEP)
    assert_kept(reception, small_frame)
    assert len(reception.written()) == 9000


def test_client_that_sends_nothing_at_all_is_given_up(reception, refusal_of):
    reception.make(stall_timeout=0.1, least_rate=0)
    assert "no data for 0.1 s" in str(refusal_of(reception.begin()))


def drip(reception, data, pause, piece):
    """Send a few bytes at a time until the other side has had enough."""
    try:
        for at in range(0, len(data), piece):
            reception.client.sendall(data[at : at + piece])
            threading.Event().wait(pause)
        reception.client.close()
    except OSError:
        pass


def test_client_that_drips_is_given_up(reception, small_frame, refusal_of):
    reception.make(stall_timeout=0.2, least_rate=100_000)
    outcome = reception.begin()
    drip(reception, small_frame, pause=0.01, piece=10)
    error = refusal_of(outcome)
    assert (error.code, error.fate) == ("426", Fate.KEEP)
    assert "expected at least 100000 bytes/s, got" in str(error)
    assert len(reception.written()) > 50
    assert_kept(reception, small_frame)


def test_rate_is_watched_when_blocks_are_full_too(reception, large_frame, refusal_of):
    reception.make(stall_timeout=0.1, least_rate=1 << 40)
    outcome = reception.begin()
    drip(reception, large_frame, pause=0.02, piece=300_000)
    assert refusal_of(outcome).code == "426"


def test_slow_client_that_is_fast_enough_gets_through(reception, small_frame):
    reception.make(stall_timeout=0.1, least_rate=1000)
    outcome = reception.begin()
    drip(reception, small_frame, pause=0.03, piece=20_000)
    assert outcome.result() is True
    assert reception.written() == small_frame


class SlowDisk(Disk):
    """A disk on which every write takes long."""

    def write(self, fd, block, offset):
        time.sleep(0.15)
        return super().write(fd, block, offset)


def test_slowness_of_the_disk_is_not_held_against_the_client(reception, large_frame):
    reception.partial = reception.open(SlowDisk())
    reception.make(stall_timeout=0.1, least_rate=100_000_000)
    sending = threading.Thread(target=reception.send_all, args=(large_frame[: 1 << 21],))
    sending.start()
    outcome = reception.begin()
    sending.join()
    # As short as it is: the whole of it was waited for.
    assert isinstance(outcome.exception(), UploadError)
    assert "FITS headers" in str(outcome.exception())


class FullDisk(Disk):
    """A disk with room for one MiB."""

    def write(self, fd, block, offset):
        if offset >= 1 << 20:
            raise OSError(28, "No space left on device")
        return super().write(fd, block, offset)


def test_full_disk_is_452_and_nothing_is_kept(reception, large_frame, refusal_of):
    reception.partial = reception.open(FullDisk())
    outcome = reception.begin()
    drip(reception, large_frame, pause=0, piece=1 << 20)
    error = refusal_of(outcome)
    assert (error.code, error.fate) == ("452", Fate.DISCARD)
    assert reception.server.fileno() == -1


def test_abort_while_data_is_coming_is_426_at_once(reception, large_frame, refusal_of):
    outcome = reception.begin()
    reception.client.sendall(large_frame[:1_500_000])
    reception.until(lambda: reception.upload.size >= 1 << 20)
    reception.upload.abort("ABOR")
    reception.upload.abort("something later")
    error = refusal_of(outcome)
    assert (error.code, str(error), error.fate) == ("426", "upload interrupted: ABOR", Fate.KEEP)
    assert_kept(reception, large_frame)


def test_abort_when_all_but_the_fin_has_come_is_426(reception, small_frame, refusal_of):
    outcome = reception.begin()
    reception.client.sendall(small_frame)
    reception.upload.abort("control connection lost")
    assert str(refusal_of(outcome)) == "upload interrupted: control connection lost"
    assert_kept(reception, small_frame)


def test_abort_before_the_thread_begins_is_426(reception, small_frame, refusal_of):
    reception.upload.abort("the gateway is stopping")
    reception.client.sendall(small_frame)
    assert "the gateway is stopping" in str(refusal_of(reception.begin()))
    assert reception.written() == b""


def test_abort_after_all_has_come_is_seen_before_the_commit(reception, small_frame):
    outcome = reception.begin()
    reception.send_all(small_frame)
    assert outcome.result()
    reception.upload.abort("control connection lost")
    with pytest.raises(UploadError, match="control connection lost"):
        reception.upload.check()


@pytest.mark.parametrize("late", [False, True])
def test_abort_while_the_data_connection_is_awaited_is_426(reception, late):
    async def scenario():
        port = PassivePort("127.0.0.1", "127.0.0.1")
        connecting = asyncio.create_task(reception.upload.connect(port))
        if late:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        reception.upload.abort("ABOR")
        with pytest.raises(UploadError, match="ABOR") as caught:
            await connecting
        assert caught.value.code == "426"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((port.host, port.port))

    asyncio.run(scenario())


def test_upload_over_a_passive_port_is_received(reception, small_frame):
    async def scenario():
        port = PassivePort("127.0.0.1", "127.0.0.1")
        reception.client.close()
        reception.client = socket.create_connection((port.host, port.port))
        reception.server = await reception.upload.connect(port)

    asyncio.run(scenario())
    outcome = reception.begin()
    reception.send_all(small_frame)
    assert outcome.result() is True


def test_cancelled_wait_for_the_data_connection_counts_as_stopping(reception):
    async def scenario():
        port = PassivePort("127.0.0.1", "127.0.0.1")
        connecting = asyncio.create_task(reception.upload.connect(port))
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(UploadError, match="stopping"):
            await connecting

    asyncio.run(scenario())


@pytest.mark.parametrize("at", [1, 2880, 1 << 20, 3_000_000])
def test_resumed_upload_is_judged_as_a_whole(reception, large_frame, at):
    reception.partial = reception.open(Disk(), large_frame[:at])
    outcome = reception.begin()
    reception.send_all(large_frame[at:])
    assert outcome.result() is True
    assert reception.written() == large_frame
    described = reception.upload.description()
    assert described.size == len(large_frame)
    assert described.digest == new_digest().update(large_frame).hexdigest()
    assert reception.upload.header["CAMERA"] == "cam 7/a"


def test_resumed_upload_is_not_in_memory_but_has_its_size(reception, small_frame, memory):
    reception.partial = reception.open(Disk(), small_frame[:3000])
    outcome = reception.begin()
    reception.send_all(small_frame[3000:])
    outcome.result()
    assert not reception.received.complete
    assert reception.received.size == len(small_frame)
    assert reception.decoded() == b""
    assert memory.free == 64 << 20


def test_resumed_upload_that_is_still_short_is_451(reception, small_frame, refusal_of):
    reception.partial = reception.open(Disk(), small_frame[:3000])
    outcome = reception.begin()
    reception.send_all(small_frame[3000:-1])
    assert f"got {len(small_frame) - 1}" in str(refusal_of(outcome))


def test_resumed_upload_whose_connection_never_came_is_described_as_kept(reception, small_frame):
    reception.partial = reception.open(Disk(), small_frame[:3000])
    reception.make(connect_timeout=0.02)
    reception.upload.resume(reception.partial, reception.received)

    async def scenario():
        await reception.upload.connect(PassivePort("127.0.0.1", "127.0.0.1"))

    with pytest.raises(UploadError, match="no data connection") as caught:
        asyncio.run(scenario())
    assert (caught.value.code, caught.value.fate) == ("425", Fate.KEEP)
    assert_kept(reception, small_frame)
    assert reception.upload.size == 3000


def test_resumed_bytes_are_hashed_once_although_asked_twice(reception, small_frame):
    reception.partial = reception.open(Disk(), small_frame[:3000])
    reception.upload.resume(reception.partial, reception.received)
    outcome = reception.begin()
    reception.send_all(small_frame[3000:])
    outcome.result()
    whole = new_digest().update(small_frame).hexdigest()
    assert reception.upload.description().digest == whole


def test_resumed_bytes_that_are_not_all_there_are_451(reception, small_frame, refusal_of):
    reception.partial = reception.open(Disk(), small_frame[:3000])
    reception.partial.size = 3001
    with pytest.raises(UploadError, match="expected 3001 bytes kept, got 3000") as caught:
        reception.upload.resume(reception.partial, reception.received)
    assert (caught.value.code, caught.value.fate) == ("451", Fate.DISCARD)


def test_unwanted_file_is_refused_before_it_has_all_come(reception, refusal_of):
    reception.make("x.raw", policy=Policy(other_files="refuse"))
    outcome = reception.begin()
    drip(reception, bytes(64 << 20), pause=0, piece=1 << 20)
    error = refusal_of(outcome)
    assert (error.code, error.fate) == ("550", Fate.DISCARD)
    assert len(reception.written()) < 2 << 20


def test_upload_goes_on_when_the_memory_is_used_up(reception, large_frame):
    reception.memory = Memory(3 << 20)
    reception.received = reception.memory.begin()
    outcome = reception.begin()
    reception.send_all(large_frame)
    assert outcome.result() is True
    assert reception.written() == large_frame
    assert not reception.received.complete
    assert reception.received.size == len(large_frame)
    assert reception.memory.free == 3 << 20


def test_connection_is_closed_whatever_happened(reception, small_frame, refusal_of):
    outcome = reception.begin()
    reception.client.sendall(small_frame[:100])
    reception.client.shutdown(socket.SHUT_WR)
    refusal_of(outcome)
    assert reception.client.recv(1) == b""
