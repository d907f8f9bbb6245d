"""`tosip gateway retry` and `discard`: a person's decision, with and without a gateway."""

import json
import os
import pty
import sys

import pytest

from tests.commands.command import refused
from tests.gateway.commands.conftest import add
from tests.gateway.conftest import until
from tosip.commands.gateway import dead_letters
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import State
from tosip.gateway.spool.view import SpoolView


@pytest.fixture
def dead(spool):
    """The ids of two dead letters in a spool."""
    ids = [add(spool, f"n{n}.fits", f"data{n}".encode(), dead="550 no") for n in range(2)]
    spool.close()
    return ids


def in_state(folder, state: State) -> list[str]:
    return [entry.file.id for entry in SpoolView(folder / "spool").entries([state])]


def test_retry_without_a_gateway_makes_it_pending(command, folder, dead):
    done = command("retry", "gateway.toml", dead[0])

    assert done.returncode == 0, done
    assert "n0.fits" in done.stdout
    assert "retried" in done.stdout
    assert in_state(folder, State.PENDING) == dead[:1]
    assert in_state(folder, State.DEAD) == dead[1:]


def test_retry_all_takes_all(command, folder, dead):
    assert command("retry", "spool", "--all").returncode == 0
    assert in_state(folder, State.PENDING) == dead


def test_retry_all_of_none_is_fine(command, spool):
    spool.close()
    assert command("retry", "spool", "--all").stdout == "no dead letters\n"


def test_a_running_gateway_forwards_what_is_retried(command, folder, archive, dead, start):
    start()

    done = command("retry", "gateway.toml", dead[1], "--json")

    assert [row["outcome"] for row in json.loads(done.stdout)] == ["retried"]
    until(lambda: archive.files() == {"n1.fits": b"data1"})
    assert in_state(folder, State.DEAD) == dead[:1]


def test_a_running_gateway_discards(command, folder, dead, start):
    start()

    done = command("discard", "spool", *dead, "--yes")

    assert done.returncode == 0, done
    assert in_state(folder, State.DISCARDED) == dead
    assert not (folder / "spool" / "files" / dead[0]).exists()
    totals = SpoolView(folder / "spool").totals()
    assert (totals.acknowledged, totals.discarded, totals.balanced) == (2, 2, True)


def test_discard_without_a_gateway_removes_the_bytes(command, folder, dead):
    done = command("discard", "gateway.toml", dead[1], "--yes", "--json")

    assert [row["outcome"] for row in json.loads(done.stdout)] == ["discarded"]
    assert in_state(folder, State.DISCARDED) == dead[1:]
    assert not (folder / "spool" / "files" / dead[1]).exists()
    assert (folder / "spool" / "files" / dead[0]).read_bytes() == b"data0"


def test_what_is_gone_from_the_disk_stays_dead_and_is_told(command, folder, dead):
    (folder / "spool" / "files" / dead[0]).unlink()

    done = command("retry", "spool", "--all")

    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if "n0.fits" in line]
    assert "dead still" in line
    assert in_state(folder, State.PENDING) == dead[1:]


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_unknown_ids_are_named_and_nothing_is_done(command, folder, dead, action):
    yes = ["--yes"] if action == "discard" else []

    told = refused(command(action, "spool", dead[0], "nonsense", "17-x", *yes))

    assert told.endswith("got nonsense, 17-x")
    assert in_state(folder, State.DEAD) == dead


def test_a_file_that_is_not_dead_cannot_be_discarded(command, folder, spool):
    pending = add(spool, "a.fits")
    spool.close()

    assert pending in refused(command("discard", "spool", pending, "--yes"))
    assert in_state(folder, State.PENDING) == [pending]


def test_a_gateway_that_does_not_act_is_told_and_acts_later(command, folder, dead, monkeypatch):
    monkeypatch.setattr(dead_letters, "PATIENCE", 0.2)
    busy = Spool(folder / "spool")
    busy.note(last_error="disk full")
    try:
        told = refused(command("discard", "spool", dead[0], "--yes"))
        asked = busy.take_requests()
    finally:
        busy.close()

    assert "discard: expected the gateway to act within" in told
    assert "(its last error: disk full); it will" in told
    assert [(request.action, request.ids) for request in asked] == [("discard", (dead[0],))]


def test_retry_wants_ids_or_all(command, dead):
    assert "expected ids or --all, got neither" in refused(command("retry", "spool"))
    assert "expected ids or --all, got both" in refused(command("retry", "spool", "x", "--all"))


def test_discard_where_nobody_can_be_asked_wants_yes(command, folder, dead, monkeypatch):
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        assert "--yes" in refused(command("discard", "spool", dead[0]))
    assert in_state(folder, State.DEAD) == dead


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("", 1)])
def test_on_a_terminal_discard_shows_what_and_asks(
    command, folder, dead, answer, status, monkeypatch
):
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    with open(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        done = command("discard", "spool", dead[0])
    os.close(ours)

    assert done.returncode == status
    assert "n0.fits" in done.stderr
    assert "[y/N]" in done.stderr
    assert in_state(folder, State.DEAD) == (dead[1:] if status == 0 else dead)
