"""Every snippet of docs/gateway.md runs, as it is written there."""

import ftplib
import io
import re
import shlex
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from tests.gateway.commands.conftest import add
from tests.gateway.conftest import until
from tosip.gateway import lives
from tosip.gateway.config import load_config
from tosip.gateway.spool.spool import Spool
from tosip.gateway.users import hash_password
from tosip.testing.archive import ArchiveProcess
from tosip.testing.ioc import free_port

TEXT = (Path(__file__).parents[3] / "docs" / "gateway.md").read_text()
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(TEXT)
FILES = {name: text for _, name, text in BLOCKS if name}
COMMANDS = [
    line.removeprefix("$ ")
    for language, _, text in BLOCKS
    if language == "console"
    for line in text.splitlines()
]
PASSWORD = "corr3ct horse"  # of upload.py


@pytest.fixture
def folder(tmp_path):
    """An empty folder, where the documents' files are; the ports are ones that are free here."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "frame.fits").write_bytes(b"no FITS")
    ports = {"2121": str(free_port()), "2100": str(free_port()), "2990": str(free_port())}
    for path in tmp_path.iterdir():
        path.write_text(re.sub("2121|2100|2990", lambda port: ports[port[0]], path.read_text()))
    return tmp_path


def test_all_snippets_are_known_here():
    assert set(FILES) == {"gateway.toml", "tls.toml", "upload.py"}
    assert [language for language, name, _ in BLOCKS if not name] == ["console"] * 2
    starts = ("tosip gateway passwd", "(umask", "python -m", *["tosip gateway"] * 3)
    for command, start in zip(COMMANDS, starts, strict=True):
        assert command.startswith(start)


def test_a_gateway_is_set_up_takes_a_file_and_delivers_it(command, folder, start, monkeypatch):
    passwd, secret, run, *_ = COMMANDS
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n"))
    assert command(*shlex.split(passwd)[2:]).returncode == 0
    subprocess.run(secret, shell=True, cwd=folder, check=True)
    config = load_config(folder / "gateway.toml")
    password = config.archive.settings().password
    archive = ArchiveProcess(folder / "archive", config.archive.port, password)
    try:
        assert run == "python -m tosip.gateway gateway.toml"
        running = start()
        assert running.ready == f"127.0.0.1:{config.listen.port}"
        subprocess.run([sys.executable, "upload.py"], cwd=folder, check=True, timeout=30)
        until(lambda: archive.files() == {"night1/frame.fits": b"no FITS"})
        assert running.stop() == 0
    finally:
        archive.stop()


def test_tls_is_as_it_is_written(folder, start):
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "gateway.key")
    (folder / "gateway.key").chmod(0o600)
    for chain in certificate.cert_chain_pems:
        chain.write_to_path(folder / "gateway.pem", append=True)
    (folder / "users").write_text(f"cam01:{hash_password(PASSWORD, cost=2)}\n")
    (folder / "archive-password").touch(0o600)
    (folder / "archive-password").write_text("secret\n")
    with (folder / "gateway.toml").open("a") as config:
        config.write((folder / "tls.toml").read_text())
    running = start()

    context = ssl.create_default_context()
    authority.configure_trust(context)
    with ftplib.FTP_TLS(context=context, timeout=15) as client:
        client.connect("127.0.0.1", running.port)
        client.login("cam01", PASSWORD)
        client.prot_p()
        assert client.storbinary("STOR a", io.BytesIO(b"a")).startswith("226")
    with ftplib.FTP(timeout=15) as client:
        client.connect("127.0.0.1", running.port)
        with pytest.raises(ftplib.error_perm, match="530"):
            client.login("cam01", PASSWORD)


def test_dead_letters_are_dealt_with_as_it_is_written(command, folder):
    spool = Spool(folder / "spool")
    dead = add(spool, "a.fits", dead="550 no")
    spool.close()
    status, retry, discard = (shlex.split(text)[2:] for text in COMMANDS[3:])

    assert command(*status).returncode == 1
    assert command(*[dead if word == "ID" else word for word in discard], "--yes").returncode == 0
    assert command(*retry).stdout == "no dead letters\n"
    assert command(*status).returncode == 0


def test_the_steps_of_a_life_are_those_of_the_module():
    here = TEXT.split("Each step of a file's life")[1].split("\n\n")[0]
    steps = set(re.findall(r"`(\w+)`", here))
    assert len(steps) > 10
    assert steps <= set(re.findall(r"\w+", str(lives.__doc__).split("The steps are")[1]))


def test_replies_mean_what_the_table_says(folder, start):
    (folder / "users").write_text(f"cam01:{hash_password(PASSWORD, cost=2)}\n")
    (folder / "archive-password").touch(0o600)
    (folder / "archive-password").write_text("secret\n")
    running = start()
    header = b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800)
    got = {
        "is safe": reply(running.port, "a", b"a"),
        "came short": reply(running.port, "b.fits", header[:80]),
        "or of ALLO": reply(running.port, "c", b"c", "ALLO 2"),
        "TYPE A": reply(running.port, "d", b"d", "TYPE A"),
        "a name that cannot be one": reply(running.port, "../e", b"e"),
        "cannot be resumed there": reply(running.port, "f", b"f", "REST 5"),
    }
    for words, code in got.items():
        (row,) = [line for line in TEXT.splitlines() if line.startswith("|") and words in line]
        assert row.startswith(f"| {code} |"), (words, code)


def reply(port: int, name: str, data: bytes, before: str = "TYPE I") -> str:
    """Upload something and return the code of the last reply."""
    with ftplib.FTP(timeout=15) as client:
        client.connect("127.0.0.1", port)
        client.login("cam01", PASSWORD)
        client.sendcmd("TYPE I")
        client.sendcmd(before)
        try:
            with client.transfercmd(f"STOR {name}") as connection:
                connection.sendall(data)
            return client.voidresp()[:3]
        except ftplib.Error as error:
            return str(error)[:3]
