"""One gateway has a spool, and says clearly when it cannot."""

import threading

import pytest

from tosip.errors import ConfigurationError
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.view import SpoolView


def test_second_gateway_on_one_spool_is_refused(spool, folder):
    with pytest.raises(ConfigurationError, match=f"got {folder}, which another gateway is using"):
        Spool(folder)
    assert spool.totals.acknowledged == 0


def test_spool_is_free_after_it_was_closed(opened, folder):
    opened(folder).close()
    opened(folder)


def test_spool_is_free_after_a_failed_start(opened, folder):
    (folder / "journal.sqlite").mkdir(parents=True)
    with pytest.raises(
        ConfigurationError, match=r"folder to work in, got .*journal: unable to open"
    ):
        Spool(folder)
    (folder / "journal.sqlite").rmdir()
    opened(folder)


def test_folder_that_is_a_file_is_refused(folder):
    folder.write_text("a file")
    with pytest.raises(ConfigurationError, match=f"expected a folder to write to, got {folder}"):
        Spool(folder)


def test_looking_whether_a_gateway_runs_does_not_keep_one_from_starting(opened, folder):
    opened(folder).close()
    view, stop = SpoolView(folder), threading.Event()

    def look() -> None:
        while not stop.is_set():
            view.running()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(20):
            opened(folder).close()
    finally:
        stop.set()
        looking.join()
