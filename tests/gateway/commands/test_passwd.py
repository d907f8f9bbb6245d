"""`tosip gateway passwd`: lines of users files, printed or put in place."""

import asyncio
import io
import os
import pty
import subprocess
import sys

import pytest

from tests.commands.command import refused
from tests.gateway.commands.conftest import PASSWORD
from tosip.gateway.users import Users

# Not all of `tosip`, which takes longer to start.
ON_A_TERMINAL = """
import pathlib, sys
from tosip.commands.gateway.passwd import passwd
sys.exit(passwd("cam02", pathlib.Path("users")))
"""


@pytest.fixture
def say(monkeypatch):
    """Put a text on standard input."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def lets_in(folder, name: str, password: str) -> bool:
    return asyncio.run(Users.load(folder / "users").verify(name, password))


def test_the_line_is_printed_and_lets_its_user_in(command, folder, say):
    say("s3cret\n")

    done = command("passwd", "cam02")

    assert (done.returncode, done.stderr) == (0, "")
    assert "s3cret" not in done.stdout
    (folder / "users").write_text(done.stdout)
    assert lets_in(folder, "cam02", "s3cret")
    assert not lets_in(folder, "cam02", "other")


def test_a_new_file_is_its_owners_alone(command, folder, say):
    (folder / "users").unlink()
    say("s3cret\n")

    done = command("passwd", "cam02", "--file", "users")

    assert done.stdout == "added cam02 in users\n"
    assert (folder / "users").stat().st_mode & 0o777 == 0o600
    assert lets_in(folder, "cam02", "s3cret")


def test_a_user_is_added_beside_others_and_comments(command, folder, say):
    (old,) = (folder / "users").read_text().splitlines()
    (folder / "users").write_text(f"# who may upload\n\n{old}")
    say("s3cret\n")

    command("passwd", "cam02", "--file", "users")

    assert (folder / "users").read_text().startswith(f"# who may upload\n\n{old}\ncam02:scrypt$")
    assert lets_in(folder, "cam01", PASSWORD)


def test_a_user_who_is_there_gets_the_new_password_in_the_same_place(command, folder, say):
    line = (folder / "users").read_text()
    (folder / "users").write_text(f"{line}#\n{line}")
    (folder / "users").chmod(0o644)
    say("s3cret\n")

    done = command("passwd", "cam01", "--file", "users")

    assert done.stdout == "changed cam01 in users\n"
    assert [line[:6] for line in (folder / "users").read_text().splitlines()] == ["cam01:", "#"]
    assert (folder / "users").stat().st_mode & 0o777 == 0o600
    assert not lets_in(folder, "cam01", PASSWORD)
    assert lets_in(folder, "cam01", "s3cret")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_file_still_belongs_to_the_gateways_user(command, folder, say):
    os.chown(folder / "users", 12345, 12346)
    say("s3cret\n")

    command("passwd", "cam02", "--file", "users")

    status = (folder / "users").stat()
    assert (status.st_uid, status.st_gid) == (12345, 12346)


def test_a_link_to_the_file_stays_one(command, folder, say):
    (folder / "users").rename(folder / "real")
    (folder / "users").symlink_to("real")
    say("s3cret\n")

    command("passwd", "cam02", "--file", "users")

    assert (folder / "users").is_symlink()
    assert lets_in(folder, "cam02", "s3cret")


@pytest.mark.parametrize(
    ("name", "password", "file", "expected"),
    [
        ("cam02", "\n", "users", "passwd: expected a password, got none"),
        ("a:b", "s3cret\n", "users", "no usable name"),
        ("anonymous", "s3cret\n", "users", "a name of its own, got anonymous"),
        ("cam02", "s3cret\n", "none/users", "--file: expected a users file to write"),
        ("cam02", "s3cret\n", "", "--file: expected a users file to write"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    command, folder, say, name, password, file, expected
):
    before = (folder / "users").read_text()
    say(password)

    told = refused(command("passwd", name, "--file", file or folder))

    assert expected in told
    assert "s3cret" not in told
    assert (folder / "users").read_text() == before
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(("again", "status"), [("s3cret", 0), ("secret", 1)])
def test_on_a_terminal_it_asks_twice_and_shows_nothing(folder, again, status):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL],
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    for question, answer in ((b"Password: ", "s3cret"), (b"Again: ", again)):
        while not shown.endswith(question):
            shown += os.read(ours, 1000)
        os.write(ours, f"{answer}\n".encode())
    assert process.wait(30) == status
    shown += os.read(ours, 1000)
    os.close(ours)

    assert b"cret" not in shown
    assert lets_in(folder, "cam02", "s3cret") == (status == 0)
