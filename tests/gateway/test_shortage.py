"""A gateway without descriptors, disk space or threads, or with its own fault, goes on after."""

import contextlib
import ftplib

import pytest

from tests.gateway.conftest import put
from tests.shortages import no_descriptors, no_file_space, no_threads
from tosip.gateway.server.crowd import Crowd
from tosip.health import HEALTH


@pytest.mark.parametrize("shortage", [no_descriptors, no_file_space, no_threads])
def test_upload_during_a_shortage_is_refused_or_stored_and_those_after_it_are_stored(
    running, image, shortage
):
    with running.ftp() as client:
        stored = 0
        # The client is in this process and meets the shortage, too.
        with shortage(), contextlib.suppress(OSError, ftplib.Error, EOFError):
            put(client, "during.fits", image())
            stored = 1
    assert running.upload("after.fits", image()).startswith("226")
    running.until_delivered(stored + 1)
    running.until(lambda: running.stored[-1].name == "after.fits")
    for file in running.stored:
        running.release(file)
    running.until(lambda: running.counters.pending == 0)
    assert not HEALTH.failing


def test_fault_in_a_round_is_shown_and_the_rounds_go_on(running, monkeypatch, image):
    spool, calls = running.gateway._spool, []
    real = spool.take_requests

    def fail_once():
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("odd")
        return real()

    monkeypatch.setattr(spool, "take_requests", fail_once)
    running.until(lambda: len(calls) > 1)
    assert "KeyError('odd')" in running.counters.last_error
    assert running.upload("a.fits", image()).startswith("226")


def test_connection_that_cannot_be_judged_is_closed_and_the_next_one_is_served(
    running, monkeypatch, image
):
    real, calls = Crowd.refusal, []

    def fail_once(crowd, address):
        calls.append(address)
        if len(calls) == 1:
            raise ValueError("no address")
        return real(crowd, address)

    monkeypatch.setattr(Crowd, "refusal", fail_once)
    with pytest.raises((EOFError, OSError)), running.ftp():
        pass
    assert running.upload("a.fits", image()).startswith("226")
    assert len(calls) == 2


def test_pipeline_that_raises_at_a_file_gets_the_next_one(running, image, caplog):
    names = []

    def on_stored(file, _):
        names.append(file.name)
        raise IndexError

    running.gateway._announcer._on_stored = on_stored
    for name in ("a.fits", "b.fits"):
        running.upload(name, image())
    running.until_delivered(2)
    assert names == ["a.fits", "b.fits"]
    assert "IndexError" in caplog.text
