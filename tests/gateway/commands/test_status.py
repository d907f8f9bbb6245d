"""`tosip gateway status`: what is in a spool, with and without its gateway."""

import json
import time

import pytest

from tests.commands.command import refused
from tests.gateway.commands.conftest import add
from tests.gateway.conftest import until
from tosip.gateway.spool.spool import Description


@pytest.fixture
def filled(folder, spool):
    """A spool with a pending, a dead and a short file, whose gateway has ended."""
    add(spool, "pending.fits", b"x" * 2048)
    add(spool, "dead.fits", dead="550 no")
    partial = spool.begin()
    partial.write(b"sho")
    described = Description("short.fits", "cam02", 3, "", proven=False)
    spool.quarantine(partial, described, "expected 2880 bytes (FITS headers), got 3")
    spool.note(archive="Refusing", last_error="550 no")
    spool.close()
    return spool


def test_a_healthy_spool_has_status_0(command, spool):
    add(spool, "pending.fits")
    spool.close()

    done = command("status", "gateway.toml")

    assert (done.returncode, done.stderr) == (0, "")
    assert "balanced" in done.stdout
    assert "pending.fits" in done.stdout
    assert "Dead letters" not in done.stdout


def test_dead_letters_are_shown_with_what_is_needed_and_status_1(command, filled):
    done = command("status", "gateway.toml")

    assert done.returncode == 1
    (row,) = [line for line in done.stdout.splitlines() if "dead.fits" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[1:4] == ["dead.fits", "CAM01", "4 B"]
    assert cells[5:] == ["8", "550 no"]
    assert cells[0] in filled_ids(command)


def filled_ids(command) -> list[str]:
    return [file["id"] for file in json.loads(command("status", "spool", "--json").stdout)["dead"]]


def test_everything_else_is_shown_too(command, filled):
    shown = command("status", "gateway.toml").stdout

    for words in ("not running", "Refusing", "2.0 KiB", "short.fits", "got 3", "pending.fits"):
        assert words in shown


def test_json_has_it_all(command, folder, filled):
    facts = json.loads(command("status", "gateway.toml", "--json").stdout)

    assert facts["spool"] == str(folder / "spool")
    assert facts["running"] is False
    assert facts["balanced"] is True
    assert facts["totals"] | {"acknowledged": 2, "pending": 1, "dead": 1} == facts["totals"]
    assert facts["totals"]["bytes_pending"] == 2048
    assert facts["archive"] == {"state": "Refusing", "last_error": "550 no"}
    (pending,), (dead,), (short,) = facts["pending"], facts["dead"], facts["quarantined"]
    assert pending["name"] == "pending.fits"
    assert pending["state"] == "pending"
    assert facts["oldest_pending_age"] == pending["age"]
    assert abs(time.time() - pending["received"] - pending["age"]) < 60
    assert (dead["reason"], dead["refusals"], dead["size"]) == ("550 no", 8, 4)
    assert (short["name"], short["user"], short["size"]) == ("short.fits", "cam02", 3)
    assert "got 3" in short["reason"]


def test_only_the_first_pending_are_shown_oldest_first(command, spool):
    for number in range(5):
        add(spool, f"n{number}.fits", str(number).encode())
    spool.close()

    shown = command("status", "spool", "--first", "2").stdout

    assert "Pending (2 of 5)" in shown
    assert ("n1.fits" in shown, "n2.fits" in shown) == (True, False)


def test_a_running_gateway_is_shown_with_its_archive(command, archive, start):
    start()

    until(lambda: facts_of(command)["archive"]["state"] == "OK")
    assert facts_of(command)["running"] is True


def facts_of(command):
    return json.loads(command("status", "gateway.toml", "--json").stdout)


def test_names_cannot_talk_to_the_terminal(command, spool):
    add(spool, "a\x1b]0;b\x07\udcff.fits")
    spool.close()

    done = command("status", "spool")

    assert r"a\x1b]0;b\x07\xff.fits" in done.stdout
    assert facts_of(command)["pending"][0]["name"] == "a\x1b]0;b\x07\udcff.fits"


def test_the_configuration_is_enough_its_users_and_passwords_are_not_needed(command, folder, spool):
    spool.close()
    for name in ("users", "archive-password"):
        (folder / name).unlink()
    assert command("status", "gateway.toml").returncode == 0


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("none.toml", "none.toml: No such file"),
        ("users", "users: "),
        (".", "expected a gateway's spool"),
    ],
)
def test_what_is_no_spool_is_one_line(command, path, expected):
    assert expected in refused(command("status", path))


def test_a_spool_that_was_never_used_is_one_line(command):
    assert "expected a gateway's spool" in refused(command("status", "gateway.toml"))


def test_a_broken_journal_is_one_line(command, folder, spool):
    spool.close()
    (folder / "spool" / "journal.sqlite").write_bytes(b"no database" * 1000)
    assert "not a database" in refused(command("status", "spool"))
