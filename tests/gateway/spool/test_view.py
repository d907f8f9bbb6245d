"""Looking into a spool from outside, and asking its gateway for something."""

import subprocess
import sys
import threading

import pytest

from tests.gateway.spool.helpers import begun, deliver, described, put
from tosip.errors import ConfigurationError
from tosip.gateway.spool.requests import Request
from tosip.gateway.spool.stored import State
from tosip.gateway.spool.view import SpoolView


def test_view_shows_what_a_running_gateway_does(spool, folder):
    entry = put(spool, "x.fits", b"bytes")
    view = SpoolView(folder)
    assert view.running()
    assert view.totals() == spool.totals
    assert view.entries([State.PENDING]) == [entry]
    spool.mark(entry.file.id, State.DEAD, reason="550 no")
    assert view.entries([State.PENDING]) == []
    assert view.entries([State.DEAD, State.PENDING]) == spool.dead()
    spool.quarantine(begun(spool, b"s"), described("q.fits", b"s"), "short")
    assert view.quarantined() == spool.quarantined()
    assert view.totals() == spool.totals


def test_view_of_a_spool_that_nobody_holds(opened, folder):
    spool = opened(folder)
    put(spool, "x.fits", b"bytes")
    totals = spool.totals
    spool.close()
    view = SpoolView(folder)
    assert not view.running()
    assert view.totals() == totals
    assert opened(folder).totals == totals


def test_view_of_no_spool_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=f"expected a gateway's spool, got {tmp_path}"):
        SpoolView(tmp_path)


def test_notes_are_seen_from_outside(spool, folder):
    spool.note(archive="OK", error="")
    spool.note(archive="Unreachable", pid="12")
    notes = SpoolView(folder).notes()
    assert notes == {"archive": "Unreachable", "error": "", "pid": "12"}


def test_notes_that_have_not_changed_are_not_written(spool):
    spool.note(archive="OK")
    statements: list[str] = []
    spool._journal._db.set_trace_callback(statements.append)
    spool.note(archive="OK")
    assert statements == []


def test_each_request_waits_until_it_is_done(spool, folder):
    view = SpoolView(folder)
    assert spool.take_requests() == []
    first, second = view.ask("retry", None), view.ask("discard", ["a", "b"])
    asked = [Request(first, "retry", None), Request(second, "discard", ("a", "b"))]
    assert spool.take_requests() == spool.take_requests() == asked
    spool.finish_request(asked[1])
    assert spool.take_requests() == asked[:1]
    assert (view.waits(first), view.waits(second)) == (True, False)
    third = Request(view.ask("retry", ["c"]), "retry", ("c",))
    assert spool.take_requests() == [asked[0], third]
    spool.finish_request(asked[0])
    spool.finish_request(third)
    assert spool.take_requests() == []


def test_requests_wait_for_a_gateway(opened, folder):
    opened(folder).close()
    number = SpoolView(folder).ask("retry", ["a"])
    assert opened(folder).take_requests() == [Request(number, "retry", ("a",))]


def test_what_was_taken_but_not_done_is_taken_after_a_restart(opened, folder):
    spool = opened(folder)
    for name in "ab":
        SpoolView(folder).ask("retry", [name])
    done, taken = spool.take_requests()
    spool.finish_request(done)
    spool.close()
    assert opened(folder).take_requests() == [taken]


def test_asking_for_nothing_costs_nothing(spool):
    spool.take_requests()
    statements: list[str] = []
    spool._journal._db.set_trace_callback(statements.append)
    spool._journal._reader.set_trace_callback(statements.append)
    for number in range(5):
        put(spool, f"{number}.fits", bytes([number]))
        statements.clear()
        assert spool.take_requests() == []
        assert statements == ["PRAGMA data_version"]


def test_discarding_needs_ids(spool, folder):
    with pytest.raises(ValueError, match="expected the ids of what to discard, got none"):
        SpoolView(folder).ask("discard", None)


def all_done(spool) -> list[Request]:
    requests: list[Request] = spool.take_requests()
    for request in requests:
        spool.finish_request(request)
    return requests


def test_no_request_of_another_process_is_lost_while_the_gateway_works(spool, folder):
    script = (
        "import sys; from pathlib import Path; from tosip.gateway.spool.view import SpoolView\n"
        "view = SpoolView(Path(sys.argv[1]))\n"
        "for number in range(40): view.ask('retry', [f'{number}']); assert view.totals().balanced"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(folder)]) as asking:
        taken: list[Request] = []
        number = 0
        while asking.poll() is None:
            deliver(spool, put(spool, "x.fits", number.to_bytes(4, "little")))
            taken += all_done(spool)
            number += 1
    assert asking.returncode == 0
    taken += all_done(spool)
    assert [request.ids for request in taken] == [(f"{number}",) for number in range(40)]
    assert spool.totals.delivered == number


def test_totals_seen_from_outside_always_balance(spool, folder):
    view, stop = SpoolView(folder), threading.Event()
    seen = []

    def look() -> None:
        while not stop.is_set():
            seen.append(view.totals())

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(50):
        entry = put(spool, "x.fits", bytes([number]))
        spool.mark(entry.file.id, State.DEAD if number % 2 else State.DELIVERED)
        put(spool, "x.fits", bytes([number]))
    stop.set()
    looking.join()
    assert len(seen) > 1
    assert all(totals.balanced for totals in seen)
    assert [totals.acknowledged for totals in seen] == sorted(
        totals.acknowledged for totals in seen
    )
