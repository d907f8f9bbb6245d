"""226 is said when the bytes are durable, and not before."""

import os
import sqlite3

import pytest

from tosip.gateway import receiving, server, spool
from tosip.gateway.journal import Journal


@pytest.fixture
def steps(monkeypatch):
    """Record, in order, each step of a commit that an upload really takes."""
    taken = []

    def record(owner: object, attribute: str, name: str) -> None:
        real = getattr(owner, attribute)

        def recorded(*arguments):
            result = real(*arguments)
            taken.append(name)
            return result

        monkeypatch.setattr(owner, attribute, recorded)

    record(receiving, "_write", "write")
    record(os, "fdatasync", "sync file")
    record(os, "rename", "rename")
    record(spool, "_sync_folder", "sync folder")
    record(Journal, "add", "journal")

    def saying(
        self, stream, code, lines="", listed=False, real=server.GatewayServer.write_response
    ):
        taken.append(code)
        return real(self, stream, code, lines, listed)

    monkeypatch.setattr(server.GatewayServer, "write_response", saying)
    return taken


def test_every_step_comes_before_226(running, image, steps):
    running.upload("x.fits", image())
    assert steps[steps.index("150") : steps.index("226") + 1] == [
        "150",
        "write",
        "sync file",
        "rename",
        "rename",
        "sync folder",
        "journal",
        "226",
    ]


def test_journal_syncs_each_record(tmp_path):
    folder = tmp_path / "spool"
    opened = spool.Spool(folder)
    with sqlite3.connect(folder / "journal.sqlite") as reader:
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert opened._journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    opened.close()


def test_failed_sync_is_not_acknowledged_and_leaves_nothing(running, image, monkeypatch):
    def fail(fd):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(Exception, match=r"451.*Input/output error"):
        running.upload("x.fits", image())
    assert running.committed() == []
    assert list((running.spool / "partial").iterdir()) == []
