"""What a camera uploads reaches the archive and the pipeline unchanged; all of it is counted."""

import dataclasses
import ftplib
import io
import math

import pytest

from tests.gateway.conftest import put, until
from tosip.errors import ConfigurationError
from tosip.gateway import Gateway
from tosip.gateway.counters import GatewayCounters
from tosip.gateway.digest import new_digest
from tosip.gateway.panel import gateway_items
from tosip.gateway.rate import WINDOW
from tosip.gateway.spool.disk import Disk
from tosip.gateway.spool.stored import State
from tosip.gateway.spool.view import SpoolView


def test_stored_file_is_announced_with_what_is_known_of_it(running, image):
    data = image()
    with running.ftp() as client:
        client.cwd("night")
        client.storbinary("STOR x.fits", io.BytesIO(data))
    running.until(lambda: running.stored)
    (file,) = running.stored
    assert (file.name, file.user, file.size) == ("night/x.fits", "cam01", len(data))
    assert file.digest == new_digest().update(data).hexdigest()
    assert file.path.read_bytes() == data
    assert file.proven


@pytest.mark.parametrize("name", ["x.txt.gz", "notes.txt", "empty"])
def test_what_is_not_fits_is_accepted_and_marked_unproven(running, name):
    data = b"" if name == "empty" else b"\x1f\x8b not fits"
    assert running.upload(name, data).startswith("226")
    running.until_delivered(1)
    assert running.archived() == {name: data}
    assert not running.stored[0].proven


def test_spool_keeps_a_file_until_it_is_delivered_and_released(running, image, until):
    running.upload("x.fits", image())
    running.until_delivered(1)
    assert running.stored[0].path.exists()
    running.release(running.stored[0])
    until(lambda: not running.committed())


def test_counters_balance(running, image):
    for number in range(5):
        running.upload(f"{number}.fits", image(100 + number))
    running.upload("0.fits", image(100))
    with running.ftp() as client, pytest.raises(Exception, match="451"):
        client.storbinary("STOR short.fits", io.BytesIO(image()[:-1]))
    running.until_delivered(5)
    running.until(lambda: running.counters.quarantined)
    counters = running.counters
    assert counters.balanced
    assert (counters.acknowledged, counters.duplicates, counters.pending) == (6, 1, 0)
    assert (counters.refused, counters.quarantined) == (1, 1)
    assert counters.bytes_delivered == sum(len(image(100 + number)) for number in range(5))
    assert counters.archive_ok
    assert counters.receive_rate > 0


def test_second_gateway_on_one_spool_is_refused(running):
    with pytest.raises(ConfigurationError, match=f"got {running.spool}, which another gateway"):
        running.call(Gateway(running.settings()).start())
    with running.ftp() as client:
        assert client.pwd() == "/"


def test_only_loopback_is_listened_to(running):
    port = f":{running.gateway.port:04X}"
    with open("/proc/net/tcp") as sockets:
        listening = [line.split()[1] for line in sockets if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(port)] == [f"0100007F{port}"]


def test_dead_letters_are_tried_again_or_discarded(site, image):
    site.start_gateway()
    for number in range(3):
        site.upload(f"{number}.fits", image(100 + number))
    for path in site.committed():
        path.write_bytes(b"damaged")
    site.start_archive()
    site.call(site.gateway.retry())
    site.until(lambda: site.counters.dead == 3)
    site.until(lambda: len(site.counters.dead_letters) == 3)
    assert "given up" in site.counters.last_error
    first, second, third = (line.split()[0] for line in site.counters.dead_letters)

    (site.spool / "files" / first).write_bytes(image(100))
    assert [file.id for file in site.call(site.gateway.retry([first]))] == [first]
    site.until_delivered(1)
    assert [file.id for file in site.call(site.gateway.discard([second, "nobody"]))] == [second]
    site.until(lambda: (site.counters.dead, site.counters.discarded) == (1, 1))
    (site.spool / "files" / third).write_bytes(image(102))
    site.call(site.gateway.retry())
    site.until_delivered(2)
    assert site.archived() == {"0.fits": image(100), "2.fits": image(102)}
    assert site.counters.balanced


def test_what_takes_time_is_told_again_and_again_though_nothing_changes(site, monkeypatch):
    monkeypatch.setattr(Disk, "free_space", lambda _disk, _folder: 1 << 40)
    told: list[GatewayCounters] = []
    site.start_gateway()
    site.gateway.on_change = told.append

    until(lambda: len(told) >= 3 and told[-1] == told[-3])


def test_a_refusal_does_not_hide_what_the_archive_said(site, image):
    site.start_gateway()
    site.upload("x.fits", image())
    site.until(lambda: "Connection refused" in site.counters.last_error)
    with pytest.raises(ftplib.error_temp, match="451"):
        site.upload("short.fits", image()[:5000])

    site.until(lambda: site.counters.refused == 1)
    assert site.counters.last_refusal.startswith("451 expected")
    assert "Connection refused" in site.counters.last_error


def test_what_came_last_is_known_after_a_restart(site, image):
    site.start_gateway()
    for name, size in (("x.fits", 100), ("y.fits", 101)):
        site.upload(name, image(size))
    came = site.counters.last
    site.stop_gateway()

    site.start_gateway()
    assert site.counters.last == came
    assert came["cam01"].name == "y.fits"
    assert site.counters.free_space


def test_an_upload_that_gets_its_final_name_later_counts_once(running, image):
    data = image(200)
    with running.ftp() as client:
        put(client, "x.tmp", data)
        client.rename("x.tmp", "x.fits")
    running.until(lambda: running.counters.last["cam01"].name == "x.fits")
    assert 0 < running.counters.receive_rate * WINDOW <= len(data)


def test_rates_are_those_of_the_bytes_that_came_and_went(running, image):
    data = image(200)
    running.upload("x.fits", data)
    expected = pytest.approx(len(data) / WINDOW)
    running.until(lambda: running.counters.receive_rate == expected)
    running.until(lambda: running.counters.forward_rate == expected)


def test_who_is_logged_in_is_known(running):
    assert (running.counters.connections, running.counters.cameras) == (0, frozenset())
    with running.ftp("cam01"), running.ftp("cam02"), running.ftp("cam02"):
        running.until(lambda: running.counters.connections == 3)
        assert running.counters.cameras == {"cam01", "cam02"}
    running.until(lambda: running.counters.connections == 0)
    assert running.counters.cameras == frozenset()


def test_before_the_start_no_alarm_is_raised(site):
    gateway = Gateway(site.settings(free_space=1 << 30))
    shown = {item.pv: item.read(gateway) for item in gateway_items(["cam01"]) if item.read}
    assert shown["DiskState"] == "OK"
    assert math.isnan(shown["FreeSpace"])


def test_an_address_that_is_not_ours_is_named(site):
    settings = dataclasses.replace(site.settings(), hosts=("192.0.2.1",))
    with pytest.raises(
        ConfigurationError, match=r"listen: expected free ports.* 192\.0\.2\.1 port 0"
    ):
        site.start_with(settings)


def test_paused_forwarding_gathers_files(running, image):
    running.loop.call_soon_threadsafe(running.gateway.pause, True)
    running.upload("x.fits", image())
    running.until(lambda: running.counters.archive == "Paused")
    assert running.counters.pending == 1
    assert running.gateway._spool.reconcile()[0].state == State.PENDING
    running.loop.call_soon_threadsafe(running.gateway.pause, False)
    running.until_delivered(1)


def test_requests_of_the_commands_are_met(site, image):
    site.start_gateway()
    site.upload("x.fits", image())
    (path,) = site.committed()
    path.write_bytes(b"damaged")
    site.start_archive()
    site.call(site.gateway.retry())
    site.until(lambda: site.counters.dead == 1)
    path.write_bytes(image())
    SpoolView(site.spool).ask("retry", [path.name])
    site.until_delivered(1)
