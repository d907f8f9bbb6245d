"""Those who are in the way: a second gateway, and thousands who connect and ask nothing."""

import contextlib
import resource
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from tests.gateway.faults.frames import frame
from tests.gateway.faults.oracle import assert_kept
from tests.gateway.faults.plant import Plant

IDLE = 1500
STRANGERS = "127.0.0.2"
CAMERAS = 16
RESERVE = 200
IN_TIME = 10.0


def test_second_gateway_on_one_spool_does_not_start_and_does_no_harm(running: Plant):
    with running.camera() as camera:
        assert camera.upload("before.fits", frame(6000)).startswith("226")
        assert running.fork_gateway().ready() is None
        assert "another gateway is using" in "\n".join(running.log_lines())
        assert camera.upload("after.fits", frame(6000)).startswith("226")
    running.drain()
    running.stop_gateway()
    assert_kept(running)


def test_sixteen_cameras_upload_in_time_beside_thousands_of_idle_connections(running: Plant):
    with _many_files_open() as possible, contextlib.ExitStack() as stack:
        # The gateway's own limit is that of this process: each connection counts on both sides.
        for _ in range(min(IDLE, possible - RESERVE)):
            address, source = ("127.0.0.1", running.port), (STRANGERS, 0)
            stranger = socket.create_connection(address, 10, source_address=source)
            stack.enter_context(stranger)
            assert stranger.recv(3) in (b"220", b"421")

        def upload(number: int) -> float:
            begun = time.monotonic()
            with running.camera(number) as camera:
                for place in range(3):
                    reply = camera.upload(f"{number}-{place}.fits", frame(300_000))
                    assert reply.startswith("226")
            return time.monotonic() - begun

        with ThreadPoolExecutor(CAMERAS) as threads:
            slowest = max(threads.map(upload, range(1, CAMERAS + 1)))
    assert slowest < IN_TIME
    running.drain()
    running.stop_gateway()
    assert_kept(running)


@contextlib.contextmanager
def _many_files_open():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + RESERVE
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    try:
        yield max(soft, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
