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
STANDARD = (0, 1, 2)  # descriptors that are never free


def test_second_gateway_on_one_spool_does_not_start_and_does_no_harm(running: Plant):
    with running.camera() as camera:
        assert camera.upload("before.fits", frame(6000)).startswith("226")
        assert running.fork_gateway().ready() is None
        assert "another gateway is using" in "\n".join(running.log_lines())
        assert camera.upload("after.fits", frame(6000)).startswith("226")
    running.drain()
    running.stop_gateway()
    assert_kept(running)


def test_gateway_without_descriptors_goes_on_and_takes_cameras_when_it_has_some_again(
    running: Plant,
):
    with running.camera() as camera, contextlib.ExitStack() as stack:
        with _no_new_descriptors(running):
            for _ in range(20):
                stack.enter_context(_stranger(running.port))
            running.until(lambda: _not_accepted(running))
            for _ in range(10):
                assert camera.command("NOOP").startswith("200")
                assert camera.command("PASV").startswith("425")
                time.sleep(0.1)
        assert _not_accepted(running) == 1
        with running.camera(2) as another:
            assert another.upload("another.fits", frame(6000)).startswith("226")
        assert camera.upload("after.fits", frame(6000)).startswith("226")
    running.drain()
    running.stop_gateway()
    assert_kept(running)


@contextlib.contextmanager
def _no_new_descriptors(plant: Plant):
    """Let the gateway keep the descriptors that it has, and get no others."""
    assert plant.gateway is not None
    pid = plant.gateway.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(STANDARD), hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def _not_accepted(plant: Plant) -> int:
    """Count how often the log tells of it."""
    return sum("could not be accepted: Too many open files" in line for line in plant.log_lines())


def _stranger(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10, source_address=(STRANGERS, 0))


def test_sixteen_cameras_upload_after_a_flood_of_strangers(running: Plant):
    """Of those who do not log in only the newest stay; 421 sends the others away."""
    with _many_files_open() as possible, contextlib.ExitStack() as stack:
        for _ in range(min(IDLE, possible - RESERVE)):
            stranger = stack.enter_context(_stranger(running.port))
            assert stranger.recv(3) in (b"220", b"421")

        def upload(number: int) -> None:
            with running.camera(number) as camera:
                for place in range(3):
                    reply = camera.upload(f"{number}-{place}.fits", frame(300_000))
                    assert reply.startswith("226")

        with ThreadPoolExecutor(CAMERAS) as threads:
            list(threads.map(upload, range(1, CAMERAS + 1)))
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
