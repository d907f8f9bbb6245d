"""A restart, or a SIGKILL, goes on with what is in the spool."""

import ftplib

import pytest


@pytest.fixture
def killable(site, gateway_process):
    """Start a gateway process; return it and a client that is logged in there."""
    clients = []

    def start():
        process, port = gateway_process()
        client = ftplib.FTP(timeout=10)
        clients.append(client)
        client.connect("127.0.0.1", port)
        client.login("cam01", site.password)
        return process, client

    yield start
    for client in clients:
        client.close()


def test_killed_after_226_it_delivers_what_it_acknowledged(site, killable, image, put, until):
    process, client = killable()
    for number in range(3):
        assert put(client, f"{number}.fits", image(200 + number)).startswith("226")
    process.kill()
    site.start_archive()
    killable()
    until(lambda: len(site.archived()) == 3)
    assert site.archived() == {f"{number}.fits": image(200 + number) for number in range(3)}


def test_killed_in_the_middle_of_an_upload_nothing_of_it_is_forwarded(
    site, killable, image, put, until
):
    process, client = killable()
    client.voidcmd("TYPE I")
    connection = client.transfercmd("STOR cut.fits")
    connection.sendall(image(2000)[: 2 << 20])
    partials = site.spool / "partial"
    until(lambda: any(path.stat().st_size for path in partials.iterdir()))
    process.kill()
    connection.close()
    assert site.committed() == []
    site.start_archive()
    _, client = killable()
    assert list(partials.iterdir()) == []
    put(client, "whole.fits", image())
    until(lambda: site.archived() == {"whole.fits": image()})


def test_unreleased_files_are_announced_once_a_start(running, image):
    running.upload("0.fits", image())
    running.upload("1.fits", image())
    running.until_delivered(2)
    running.release(running.stored[0])
    running.stop_gateway()
    running.stored.clear()
    running.start_gateway()
    running.until(lambda: running.counters.archive_ok)
    assert [file.name for file in running.stored] == ["1.fits"]
    assert running.stored[0].path.read_bytes() == image()
    assert running.counters.delivered == 2


def test_committed_files_without_a_journal_are_found_again(site, image):
    site.start_gateway()
    site.upload("cam01/x.fits", image())
    site.stop_gateway()
    for path in site.spool.glob("journal.sqlite*"):
        path.unlink()
    before, site.stored = site.stored, []
    site.start_archive()
    site.start_gateway()
    site.until_delivered(1)
    assert site.stored == before
    assert site.archived() == {"cam01/x.fits": image()}


def test_stopping_twice_is_harmless(running):
    running.stop_gateway()
    running.stop_gateway()
