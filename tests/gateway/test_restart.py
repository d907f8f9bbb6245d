"""A restart, or a SIGKILL, goes on with what is in the spool."""

import ftplib
import shutil

import pytest

from tosip.errors import ConfigurationError


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
    assert running.counters.delivered == 0


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


def test_broken_journal_is_named(site, image):
    site.start_gateway()
    site.stop_gateway()
    for path in site.spool.glob("journal.sqlite*"):
        path.unlink()
    (site.spool / "journal.sqlite").write_text("not a database at all " * 100)
    with pytest.raises(ConfigurationError, match="journal: expected an SQLite database, got"):
        site.start_gateway()
    shutil.rmtree(site.spool)
    site.start_gateway()


def test_rename_that_was_done_but_not_recorded_is_not_done_again(site, image):
    """As after a SIGKILL between the archive's reply to RNTO and our record of it."""
    site.start_archive()
    site.start_gateway()
    site.upload("x.fits", image())
    site.until_delivered(1)
    spool, file = site.gateway._spool, site.stored[0]
    spool.mark(file.id, "renaming", "x.fits")
    site.stop_gateway()
    site.start_gateway()
    site.until_delivered(1)
    assert site.archived() == {"x.fits": image()}


def test_stopping_twice_is_harmless(running):
    running.stop_gateway()
    running.stop_gateway()
